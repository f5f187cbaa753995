"""What an attacker writes into a manifest beside names: data that no writer makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attacks.checkpoints import ALL, Attack, Change, call, manifest, module, structure
from tracker.format import MANIFEST

HUGE = 10**12
COUNTER = "layers.1.num_batches_tracked"


def slot(**changes: Any) -> dict[str, Any]:
    """Return the slot of a weight of the good checkpoint, but for what is given."""
    good = {"group": "model", "name": "head.weight", "dtype": "float32", "shape": [1, 2]}
    return {**good, "parameter": True, "requires_grad": True, **changes}


def _attributes(objects: Any = (), **values: Any) -> Change:
    return structure(module(attributes=values), objects=objects)


def _named(kind: str, name: Any) -> Change:
    """Return the attack with a child, parameter or buffer of a name."""
    entries = {
        "children": [name, 1],
        "parameters": [name, slot()],
        "buffers": [name, slot(parameter=False), True],
    }
    return structure(module(**{kind: [entries[kind]]}), module())


def _view(**changes: Any) -> Change:
    view = {"of": slot(), "offset": 0, "stride": [1], **changes.pop("view", {})}
    part = {**slot(group="architecture", name="v", shape=[2], parameter=False), "view": view}
    return _attributes(x={"$tensor": {**part, **changes}})


def _nested(depth: int, tag: str | None = None) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if tag is None else {tag: [value]}
    return value


def _tree(count: int, children: Callable[[int], list[int]]) -> Change:
    return structure(
        *(module(children=[[str(n), c] for n, c in enumerate(children(i))]) for i in range(count))
    )


def _holders(count: int, times: int) -> Change:
    """Return constructor calls of which each takes the next one so many times."""
    inner = [
        {"class": "ours.net:Holder", "args": [{"$module": i + 1}] * times, "kwargs": []}
        for i in range(1, count)
    ]
    last = {"class": "torch.nn.modules.activation:ReLU", "args": [], "kwargs": []}
    return call("ours.net:Holder", [{"$module": 1}] * times, inner=[*inner, last])


def _objects(*attributes: Any, cls: str = "ours.net:Trap", **more: Any) -> list[Any]:
    return [{"class": cls, "attributes": each, **more} for each in attributes]


def _text(change: Callable[[str], str]) -> Change:
    """Return the attack that changes the manifest as text."""

    def apply(directory: Path) -> None:
        path = directory / MANIFEST
        path.write_bytes(change(path.read_text()).encode("utf-8", "surrogatepass"))

    return apply


def _tensors(change: Callable[[dict[str, Any]], object]) -> Change:
    return manifest(lambda data: change(data["tensors"]["model"]))


def _graph(*nodes: Any) -> Change:
    """Return the attack with a graph of these nodes, which takes ``x``, over one submodule."""
    first = ["placeholder", "x", "x", {"$tuple": []}, {"$dict": []}]
    graph = {"$graph": {"name": "G", "nodes": [first, *nodes]}}
    return structure(module(**{"class": graph, "children": [["inner", 1]]}), module())


def _node(op: str, target: str, *args: Any, name: str = "y", keywords: Any = ()) -> list[Any]:
    return [op, name, target, {"$tuple": list(args)}, {"$dict": list(keywords)}]


SING = {"$function": "ours.net:sing"}
METHOD = {"$method": [{"$module": 0}, "get_extra_state"]}
CALLS = {"$partial": [SING, ["owned"], {}]}

NESTING = {
    "a module inside of itself": _tree(1, lambda i: [0]),
    "modules inside of each other": _tree(2, lambda i: [1 - i]),
    "a billion ways through thirty modules": _tree(31, lambda i: [i + 1] * 2 if i < 30 else []),
    "modules nested without end": _tree(5_000, lambda i: [i + 1] if i < 4_999 else []),
    "more children than any model has": _tree(2, lambda i: [1] * 600_000 if i == 0 else []),
    "a million modules": structure(*[{}] * 1_000_000),
    "a billion modules by constructors": _holders(30, 2),
    "constructors nested without end": _holders(5_000, 1),
    "constructors nested deep": _holders(120, 1),
    "a module that is its own argument": call(args=[{"$module": 0}]),
    "modules that are each other's arguments": call(
        args=[{"$module": 1}],
        inner=[{"class": "ours.net:Caller", "args": [{"$module": 0}], "kwargs": []}],
    ),
    "lists nested without end": _attributes(x=_nested(400)),
    "tuples nested without end": _attributes(x=_nested(200, "$tuple")),
    "weak references nested without end": _attributes(x=_nested(240, "$weakref")),
    "partials nested without end": _attributes(x=_nested(240, "$partial")),
    "JSON nested without end": _text(lambda text: "[" * 100_000),
    "objects nested without end": _attributes(
        objects=_objects(*({"x": {"$object": i + 1}} for i in range(5_000)), {}),
        x={"$object": 0},
    ),
    "a tuple that holds itself": _attributes(
        objects=_objects({}, cls="ours.net:Pair", items=[{"$object": 0}]), x={"$object": 0}
    ),
    "an object that is not there": _attributes(x={"$object": 3}),
    "a module that is not there": _attributes(x={"$module": 3}),
    "a weak reference to a number": _attributes(x={"$weakref": 1}),
}

NAMES_OF_ATTRIBUTES = {
    **{
        f"an attribute {name}": _attributes(**{name: 1})
        for name in (
            "__class__ __dict__ __init__ __call__ __getattr__ __setattr__ __reduce__ __module__ "
            "_parameters _buffers _modules _forward_hooks _backward_hooks training "
            "_non_persistent_buffers_set _state_dict_hooks _load_state_dict_pre_hooks"
        ).split()
    },
    **{
        f"a function in place of {name}()": _attributes(**{name: CALLS})
        for name in (
            "eval train children modules named_modules state_dict load_state_dict get_submodule "
            "parameters set_extra_state get_extra_state to apply _apply requires_grad_ __dir__"
        ).split()
    },
    "a bound method in place of eval()": _attributes(eval=METHOD),
    "an object in place of train()": _attributes(objects=_objects({}), train={"$object": 0}),
    **{
        f"a name {name!r} in {kind}": _named(kind, name)
        for kind in ("children", "parameters", "buffers")
        for name in ("eval", "__class__", "forward", "state_dict", "", "a.b", 3, None, ["x"])
    },
    **{
        f"hooks of the kind {name}": structure(module(hooks={name: []}))
        for name in ("__class__", "register_forward_hook", "_evil_hooks", "forward", "_modules")
    },
}

CLASSES = {
    "an object that does something when dropped": _attributes(
        objects=_objects({}, cls="ours.net:Dropped"), x={"$object": 0}
    ),
    "a module that does something when dropped": structure(
        module(**{"class": "ours.net:DroppedModule"})
    ),
    "an enum's _missing_": _attributes(x={"$enum": ["ours.net:Answering", 2]}),
    "a class with a property as parametrized": structure(
        module(
            **{
                "class": {"$parametrized": "ours.net:Described"},
                "children": [["parametrizations", 1]],
            }
        ),
        module(children=[["weight", 2]]),
        module(),
    ),
    **{
        f"a parametrized tensor {name!r}": structure(
            module(
                **{
                    "class": {"$parametrized": "ours.net:Caller"},
                    "children": [["parametrizations", 1]],
                }
            ),
            module(children=[[name, 2]]),
            module(),
        )
        for name in ("__del__", "__getitem__", "eval", "training", "a b", 3)
    },
    "an object of a module's class": _attributes(
        objects=_objects({}, cls="ours.net:Net"), x={"$object": 0}
    ),
    "a class that is a module, as object of a bystander": _attributes(
        objects=_objects({}, cls="bystander:Net"), x={"$object": 0}
    ),
    **{
        f"the method {name} of {str(owner)[:30]}": call(args=[{"$method": [owner, name]}])
        for owner in (
            {"$path": "/tmp/x"},
            "text",
            {"$bytes": ""},
            {"$logger": "x"},
            [1],
            {"$class": "ours.net:Caller"},
            {"$function": "torch:relu"},
            {"$namespace": []},
        )
        for name in ("unlink", "write_text", "format", "__init__", "__reduce__", "mro")
    },
    **{
        f"the method {name!r} of a module": structure(
            module(attributes={"x": {"$method": [{"$module": 0}, name]}, "act": SING})
        )
        for name in ("act", "__class__", "__dict__", "no_such", "__init_subclass__", 3, None)
    },
    "a reduced object": _attributes(x={"$reduce": [SING, ["owned"]]}),
    "an object with a state": _attributes(x={"$setstate": ["ours.net:Trap", {}]}),
    "a weak reference with a callback": _attributes(x={"$weakref": [{"$module": 0}, SING]}),
}

GRAPHS = {
    "a graph that calls a method of a module": _graph(
        _node("call_module", "inner.load_state_dict", {"$node": "x"})
    ),
    "a graph that calls a method of itself": _graph(_node("call_module", "eval")),
    "a graph that reads a method": _graph(_node("get_attr", "inner.forward")),
    "a graph that reads what is reserved": _graph(_node("get_attr", "inner.__class__")),
    "a graph that reads what is not there": _graph(_node("get_attr", "inner.no_such.x")),
    "a graph whose code would be other code": _graph(_node("call_module", "inner(); evil")),
    "a graph with a node named as code": _graph(
        _node("call_module", "inner", name="y = evil(); z")
    ),
    "a graph with a keyword named as code": _graph(
        _node("call_module", "inner", keywords=[["x=evil()", 1]])
    ),
    "a graph with a keyword of Python": _graph(
        _node("call_module", "inner", keywords=[["lambda", 1]])
    ),
    "a graph whose input is a keyword of Python": _graph(_node("placeholder", "lambda")),
    "a graph that calls getattr for more": _graph(
        _node("call_function", "builtins:getattr", {"$node": "x"}, "__class__")
    ),
    "a graph that calls getattr with a list": _graph(
        _node("call_function", "builtins:getattr", {"$node": "x"}, ["shape"])
    ),
    "a graph with a node that comes later": _graph(
        _node("call_module", "inner", {"$node": "z"}),
    ),
    "a graph that registers a hook": _graph(
        _node("call_method", "register_hook", {"$node": "x"}, {"$node": "x"})
    ),
    "a graph without nodes": structure(module(**{"class": {"$graph": {"name": "G"}}})),
    "a graph named as code": structure(
        module(**{"class": {"$graph": {"name": "G: evil", "nodes": []}}})
    ),
}

TENSORS = {
    "a shape of 10^12 for one element": structure(module(parameters=[["w", slot(shape=[HUGE])]])),
    "a shape of 2^63": structure(module(parameters=[["w", slot(shape=[1 << 63])]])),
    "a negative shape": structure(module(parameters=[["w", slot(shape=[-1, -2])]])),
    "a shape of text": structure(module(parameters=[["w", slot(shape="12")]])),
    "another dtype": structure(module(parameters=[["w", slot(dtype="int32")]])),
    **{
        f"the dtype {name!r}": structure(module(parameters=[["w", slot(dtype=name)]]))
        for name in ("load", "hub", "__builtins__", ["float32"], None, "float32\0")
    },
    "a tensor that is not there": structure(module(parameters=[["w", slot(name="x")]])),
    "a group that is not there": structure(module(parameters=[["w", slot(group="../x")]])),
    "a tensor of training state": _attributes(x={"$tensor": slot(group="training", name="0")}),
    "a tensor of numbers": _attributes(x={"$tensor": [1, 2]}),
    "an integer that requires gradients": structure(
        module(parameters=[["w", slot(name=COUNTER, dtype="int64", shape=[])]])
    ),
    "strides of 10^12": structure(module(parameters=[["w", slot(stride=[HUGE, HUGE])]])),
    "negative strides": structure(module(parameters=[["w", slot(stride=[-2, -1])]])),
    "strides of more dimensions": structure(module(parameters=[["w", slot(stride=[1, 1, 1])]])),
    "a view before its tensor": _view(view={"offset": -1}),
    "a view past its tensor": _view(view={"offset": 1}),
    "a view far past its tensor": _view(view={"stride": [HUGE]}),
    "a view of 10^12 elements": _view(shape=[HUGE], view={"stride": [0]}),
    "a view whose size is one modulo 2^64": _view(
        shape=[7, pow(7, -1, 1 << 64)], view={"stride": [0, 0]}
    ),
    "a view of another dtype": _view(dtype="int64"),
    "a view of a view": _view(view={"of": slot(view={"of": slot()})}),
    "a view of itself": _view(view={"of": {}}),
    "a view of nothing": _view(view={"of": None}),
}

VALUES = {
    "a kind of value that does not exist": _attributes(x={"$pickle": "gASVBQAAAAAAAAA="}),
    "two kinds of value at once": _attributes(x={"$tuple": [], "$set": []}),
    "a list as member of a set": _attributes(x={"$set": [[1]]}),
    "a dtype of objects": _attributes(x={"$numpy_dtype": "O"}),
    "an array of objects": _attributes(x={"$numpy": ["O", "AAAAAAAAAAA="]}),
    "a NumPy scalar of 2 GB": _attributes(x={"$numpy": ["V2147483647", ""]}),
    "a regular expression that prints": _attributes(x={"$regex": ["x", 128]}),
    "a regular expression without end": _attributes(x={"$regex": ["(" * 10_000, 0]}),
    "a fraction of 10^(10^9)": _attributes(x={"$fraction": "1e999999999"}),
    "a number of a million digits": _attributes(x={"$fraction": "1" * 1_000_000}),
    "a time beyond all times": _attributes(x={"$timedelta": [10**30, 0, 0]}),
    "a device that does not exist": _attributes(x={"$device": "evil:0"}),
    "a queue of length 10^30": _attributes(x={"$deque": [[], 10**30]}),
    "a default that is called": _attributes(x={"$defaultdict": ["eval", []]}),
    "a partial of a number": _attributes(x={"$partial": [3, [], {}]}),
    "a logger without end": _attributes(x={"$logger": "a." * 1_000_000}),
    "a key of 20 MB, nested": structure(
        module(attributes={"x": {"k" * 20_000_000: {"a": {"b": {"$unknown": 1}}}}})
    ),
    "text of 50 MB as name": _attributes(x={"$class": "x" * 50_000_000}),
    "an attribute that is opaque": _attributes(x={"$opaque": ["function"]}),
    "half a character as name": _attributes(x={"$class": "\ud800:\udfff"}),
}

MALFORMED = {
    f"the description {json.dumps(data)[:60]}": manifest(
        lambda manifest, data=data: manifest["architecture"].update(
            rebuild="structure", structure=data
        )
    )
    for data in (
        None,
        [],
        3,
        "x",
        {},
        {"modules": None},
        {"modules": []},
        {"modules": {}},
        {"modules": [3]},
        {"modules": [{}]},
        {"modules": [{"class": 3}]},
        {"modules": [{"class": "ours.net:Caller"}]},
        {"modules": [module(parameters=3)]},
        {"modules": [module(parameters=[[1]])]},
        {"modules": [module(parameters={"w": 1})]},
        {"modules": [module(parameters=[["w", {"group": "model"}]])]},
        {"modules": [module(buffers=[["w"]])]},
        {"modules": [module(buffers=[["w", 3, True]])]},
        {"modules": [module(children=[["x", 99]])]},
        {"modules": [module(children=[["x", -1]])]},
        {"modules": [module(children=[["x", "0"]])]},
        {"modules": [module(children=[["x", True]])]},
        {"modules": [module(children=3)]},
        {"modules": [module(attributes=[])]},
        {"modules": [module(attributes=None)]},
        {"modules": [module(hooks=3)]},
        {"modules": [module(hooks={"_forward_hooks": [[1]]})]},
        {"modules": [module(hooks={"_forward_hooks": [[SING, []]]})]},
    )
}

MANIFEST_TEXT = {
    "a key that stands twice": _text(lambda text: '{"name":"x",' + text[1:]),
    "a key that stands twice, deep": _text(
        lambda text: text.replace('"rebuild":', '"rebuild":"none","rebuild":', 1)
    ),
    "no JSON": _text(lambda text: text + "]"),
    "a pickle": _text(lambda text: "\x80\x04\x95" + text),
    "half a character": _text(lambda text: text.replace("epoch-1", "\ud800", 1)),
    "a number beyond a double": _text(lambda text: text.replace("0.5", "1e999", 1)),
    "NaN": _text(lambda text: text.replace("0.5", "NaN", 1)),
    "a number of a million digits": _text(lambda text: text.replace("0.5", "9" * 1_000_000, 1)),
    "an epoch of 10^4000": _text(
        lambda text: text.replace('"epoch":1', f'"epoch":1{"0" * 5000}', 1)
    ),
    "millions of empty lists": _text(lambda text: text[:-1] + ',"x":[' + "[]," * 5_000_000 + "0]}"),
    "300 MB": _text(lambda text: text + " " * 300_000_000),
}

STATE = {
    "a value of the state_dict under the name __class__": structure(
        module(), state={"__class__": SING}
    ),
    "a value of the state_dict inside of a method": structure(
        module(), state={"eval.__globals__._extra_state": 1}
    ),
    "extra state that the class does not take": structure(
        module(**{"class": "ours.net:Net", "children": []}), state={"_extra_state": 3}
    ),
    "extra state that is a function of somebody else": structure(
        module(**{"class": "ours.net:Net"}),
        state={"_extra_state": {"seen": {"$function": "bystander:dangerous"}}},
    ),
}

TRAINING = {
    "an optimizer state that is a number": lambda training: training["optimizer"].update(
        state_dict=3
    ),
    "an optimizer without groups": lambda training: training["optimizer"]["state_dict"].update(
        param_groups=3
    ),
    "groups that are numbers": lambda training: training["optimizer"]["state_dict"].update(
        param_groups=[1]
    ),
    "groups without parameters": lambda training: training["optimizer"]["state_dict"].update(
        param_groups=[{}]
    ),
    "an object in the optimizer's state": lambda training: training["optimizer"].update(
        state_dict={"$object": 0}
    ),
    "a module in the optimizer's state": lambda training: training["optimizer"].update(
        state_dict={"$module": 0}
    ),
    "a tensor that is not there": lambda training: training["optimizer"]["state_dict"].update(
        state={"$dict": [[0, {"momentum_buffer": {"$tensor": "no such"}}]]}
    ),
    "a state that is a list": lambda training: training["optimizer"]["state_dict"].update(
        state=[1, 2]
    ),
    "another class of scheduler": lambda training: training["scheduler"].update(
        {"class": "os:system"}
    ),
    "a scheduler state that is a list": lambda training: training["scheduler"].update(
        state_dict=[1]
    ),
    "values that are no values": lambda training: training.update(state={"x": 3}),
    "a state that is text": lambda training: training.update(state="x"),
}


def _changed_training(change: Callable[[dict[str, Any]], object]) -> Change:
    return manifest(lambda data: change(data["training"]))


def attacks() -> list[Attack]:
    """Return every attack of this file."""
    found = [
        Attack(f"{table}: {name}", change, entry_points=entry_points)
        for table, changes, entry_points in (
            ("nesting", NESTING, ALL),
            ("graphs", GRAPHS, ALL),
            ("tensors", TENSORS, ALL),
            ("values", VALUES, ALL),
            ("state", STATE, ALL),
            # What is alike in many attacks is tried in the ways that differ.
            ("attributes", NAMES_OF_ATTRIBUTES, ("load_model", "resume")),
            ("classes", CLASSES, ("load_model", "explain")),
            ("malformed", MALFORMED, ("load_model", "explain")),
        )
        for name, change in changes.items()
    ]
    everything = ("load_model", "pyfunc", "load_state_dict", "resume", "export")
    found += [
        Attack(f"manifest: {name}", change, everything) for name, change in MANIFEST_TEXT.items()
    ]
    found += [
        Attack(f"training: {name}", _changed_training(change), ("resume",))
        for name, change in TRAINING.items()
    ]
    return found
