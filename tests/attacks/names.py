"""Names of what no checkpoint may construct, call or refer to, and where it can put them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.attacks.checkpoints import Attack, Change, call, manifest, module, structure

NAMES = (
    # Whatever runs what it is given.
    "os:system os:popen os:execv os:remove posix:system nt:system subprocess:Popen subprocess:run "
    "builtins:eval builtins:exec builtins:compile builtins:__import__ builtins:getattr "
    "builtins:setattr builtins:open builtins:type builtins:object builtins:print pickle:loads "
    "pickle:Unpickler marshal:loads shelve:open importlib:import_module importlib:reload "
    "runpy:run_path runpy:run_module code:interact ctypes:CDLL socket:socket shutil:rmtree "
    "webbrowser:open pty:spawn platform:popen timeit:timeit cProfile:run pdb:run "
    "multiprocessing.util:spawnv_passfds threading:Thread pathlib:Path pathlib:Path.unlink "
    "tempfile:TemporaryDirectory zipfile:ZipFile logging.config:dictConfig "
    # What leads to it by another way.
    "functools:partial functools:reduce functools:cached_property operator:methodcaller "
    "operator:attrgetter operator:itemgetter operator:call types:FunctionType types:CodeType "
    "types:MethodType enum:Enum weakref:ref weakref:finalize copyreg:_reconstructor "
    "inspect:getattr_static antigravity:fly this:d __main__:anything __main__:sys "
    # torch's own.
    "torch:load torch:save torch:compile torch:from_file torch:hub torch:classes torch:ops "
    "torch:hub.load torch:os.system torch:nn.__builtins__ torch:sys.modules torch.hub:load "
    "torch.hub:load_state_dict_from_url torch.serialization:load torch.jit:load torch.jit:script "
    "torch.jit._script:ScriptModule torch.package:PackageImporter torch._dynamo:optimize "
    "torch.utils.cpp_extension:load_inline torch.utils.cpp_extension:load "
    "torch.utils.data:DataLoader torch.utils._pytree:tree_map torch._ops:load_library "
    "torch.ops:load_library torch.ops.load_library:x torch._inductor:compile "
    "torch.utils.model_zoo:load_url torch.distributed.rpc:rpc_sync torch.multiprocessing:spawn "
    "torch.distributed.nn.api.remote_module:RemoteModule torch.fx.graph_module:GraphModule "
    "torch.export.unflatten:UnflattenedModule torch.nn:__builtins__ torch.nnx:Linear "
    "torch.nn.functional:__builtins__ torch.nn.functional:__loader__ "
    "torch.nn.functional:torch.load torch.nn.functional:importlib.import_module "
    "torch.nn.functional:handle_torch_function torch.nn.functional:boolean_dispatch "
    "torch.nn.functional:_verify_batch_size torch.nn.init:warnings.warn "
    "torch.nn.modules.module:warnings.warn torch.nn.modules.module:itertools "
    "torch.nn.modules.module:register_module_forward_hook torch.nn.utils.parametrize:deepcopy "
    "torch.nn.utils.parametrize:contextmanager torch.nn.modules.module:Module.__init__.__globals__ "
    "torch.nn.modules.module:Module.__class__ torch.nn.modules.module:Module.__dict__ "
    "torch.nn.modules.linear:Linear.__subclasses__ torch.ao.quantization:os.system "
    "torch.ao.quantization.fx.graph_module:ObservedGraphModule "
    # Other libraries'.
    "numpy:load numpy:os.system numpy:lib.os numpy.f2py:compile numpy.ctypeslib:load_library "
    "mlflow:run mlflow.pyfunc:load_model mlflow.pytorch:load_model sqlalchemy:create_engine "
    "blake3:blake3 tracker:load_model tracker.api:log_checkpoint tracker.architecture.isolated:"
    "run_isolated pip.__main__:sys pip:main setuptools:setup _pytest.main:wrap_session "
    # What the model's own file happens to import or hold.
    "ours.net:os.system ours.net:system ours.net:run ours.net:subprocess.run "
    "ours.net:TemporaryDirectory ours.net:functools.partial ours.net:__builtins__ "
    "ours.net:__builtins__.eval ours.net:Net.__init__.__globals__ ours.net:Net.__class__ "
    "ours.net:Net.__subclasses__ ours.net:sing.__globals__ ours.net:Namespace.method "
    "ours.net:Namespace.Inner.secret ours.net:Described.descriptor ours.net:Described.weight "
    "ours.net:no_such "
    # Modules that must not even be imported.
    "bystander:dangerous bystander:main bystander:sys bystander:no_such effects_package:Net "
    "effects_package:sys effects_package.inner:VALUE effects_package.inner:Net "
    "effects_package.__main__:sys "
    # No names.
    "../evil:x /etc/passwd:x a/b:x ..evil:x a..b:x a.:x .a:x a:b:c os:system: :os.system os: "
    "ours.net:a() ours.net:1 lambda:x os system os.system"
).split()

EXAMPLES = (
    "os:system builtins:eval functools:partial operator:attrgetter torch:load torch:os.system "
    "ours.net:system bystander:dangerous effects_package:Net"
).split()

ODD_NAMES: tuple[Any, ...] = (
    "a b:x y",
    "a\0b:c",
    "ours.net:\0",
    "\ud800:x",
    "ours.net:\udfff",
    "ours。net:Net",
    "ours.net:" + "a." * 100_000 + "a",
    "a." * 100_000 + "a:b",
    "x" * 1_000_000 + ":y",
    "",
    ":",
    None,
    3,
    1.5,
    True,
    [],
    ["ours.net:Net"],
    {},
    {"$class": "ours.net:Net"},
)


def _attribute(value: Any, objects: Any = ()) -> Change:
    return structure(module(attributes={"x": value}), objects=objects)


def _object(name: Any) -> list[Any]:
    return [{"class": name, "attributes": {"x": 1}, "items": []}]


def _training(value: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        data["training"]["optimizer"]["state_dict"]["state"] = value
        data["training"]["state"] = {"x": {"value": value}}

    return manifest(change)


def _node(target: Any, op: str = "call_function") -> Change:
    nodes = [["placeholder", "x", "x", {"$tuple": []}, {"$dict": []}]]
    nodes.append([op, "y", target, {"$tuple": [{"$node": "x"}]}, {"$dict": []}])
    return structure(module(**{"class": {"$graph": {"name": "G", "nodes": nodes}}}))


MODEL = "load_model"

PLACES: dict[str, tuple[Callable[[Any], Change], str]] = {
    "class of a module": (lambda name: structure(module(**{"class": name})), MODEL),
    "class that was parametrized": (
        lambda name: structure(module(**{"class": {"$parametrized": name}})),
        MODEL,
    ),
    "class that is constructed": (lambda name: call(name, ["echo owned"]), MODEL),
    "class, loudly": (lambda name: call(name, ["echo owned"], aloud=True), MODEL),
    "factory": (lambda name: call(name, ["echo owned"], kind="factory"), MODEL),
    "class as attribute": (lambda name: _attribute({"$class": name}), MODEL),
    "function as attribute": (lambda name: _attribute({"$function": name}), MODEL),
    "partial": (lambda name: _attribute({"$partial": [{"$function": name}, ["x"], {}]}), MODEL),
    "class as argument": (lambda name: call(args=[{"$class": name}, "echo owned"]), MODEL),
    "function as argument": (lambda name: call(args=[{"$function": name}, "echo owned"]), MODEL),
    "partial as argument": (
        lambda name: call(args=[{"$partial": [{"$function": name}, ["echo owned"], {}]}]),
        MODEL,
    ),
    "hook": (
        lambda name: structure(
            module(hooks={"_forward_hooks": [[{"$function": name}, [False, False]]]})
        ),
        MODEL,
    ),
    "object": (lambda name: _attribute({"$object": 0}, _object(name)), MODEL),
    "object as argument": (lambda name: call(args=[{"$object": 0}], objects=_object(name)), MODEL),
    "enum": (lambda name: _attribute({"$enum": [name, "echo owned"]}), MODEL),
    "method": (
        lambda name: call(args=[{"$method": [{"$object": 0}, "x"]}], objects=_object(name)),
        MODEL,
    ),
    "weak reference": (lambda name: _attribute({"$weakref": {"$class": name}}), MODEL),
    "function of a graph": (lambda name: _node(name), MODEL),
    "method of a graph": (lambda name: _node(name, "call_method"), MODEL),
    "module of a graph": (lambda name: _node(name, "call_module"), MODEL),
    "attribute of a graph": (lambda name: _node(name, "get_attr"), MODEL),
    "training state": (lambda name: _training({"$function": name}), "resume"),
}
"""Where a checkpoint can name something, and which entry point reads that."""

LEADING = (
    "class of a module",
    "class that is constructed",
    "class as attribute",
    "function as argument",
    "object",
    "enum",
)
"""Of these places, those whose names are found by code of their own."""


def attacks() -> list[Attack]:
    """Return every name in every place that leads elsewhere, and examples in all others."""
    return [
        Attack(f"{str(name)[:60]!r} as {place}", change(name), (entry_point,), (entry_point,))
        for place, (change, entry_point) in PLACES.items()
        for name in (*(NAMES if place in LEADING else EXAMPLES), *ODD_NAMES)
    ]
