"""Lightning's dump, taken apart and put together; URIs in the place of paths."""

from __future__ import annotations

import argparse
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training import same
from tracker.integrations.lightning.place import epoch_and_step, place, uri_of, with_scheme
from tracker.integrations.lightning.training import put_together, take_apart


def weights_of(model: nn.Module, replaced: dict[str, Any]) -> dict[str, Any]:
    return {**model.state_dict(), **replaced}


def there_and_back(dump: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    taken = take_apart(dump, model)
    return in_order(put_together(taken.value, weights_of(model, taken.weights)))


def in_order(dump: dict[str, Any]) -> dict[str, Any]:
    """Return a dump with its keys sorted: Lightning asks for them by name."""
    return {**{key: dump[key] for key in sorted(dump)}, "state_dict": dict(dump["state_dict"])}


def test_a_models_own_weights_are_not_kept_twice() -> None:
    model = nn.Linear(2, 1)
    dump = {"state_dict": model.state_dict(), "epoch": 3}
    taken = take_apart(dump, model)
    assert (taken.weights, taken.value["more"], taken.left_out) == ({}, {}, [])
    assert same(there_and_back(dump, model), in_order(dump))


def test_other_values_for_the_weights_take_the_place_of_the_models_own() -> None:
    model = nn.Linear(2, 1)
    averaged = {key: value + 1 for key, value in model.state_dict().items()}
    taken = take_apart({"state_dict": averaged}, model)
    assert same(taken.weights, averaged)
    assert taken.value["more"] == {}


def test_what_the_model_has_not_or_in_another_form_is_kept_beside_it() -> None:
    model = nn.Linear(2, 1)
    changed = {"weight": model.weight.detach().half(), "note": "kept", "extra": torch.ones(3)}
    dump = {"state_dict": changed}
    assert same(there_and_back(dump, model), in_order(dump))


def test_keys_of_compiled_parts_come_back() -> None:
    model = nn.Sequential(torch.compile(nn.Linear(2, 1), backend="eager"))
    dump = {"state_dict": model.state_dict()}
    taken = take_apart(dump, model)
    plain = {key.replace("_orig_mod.", ""): v for key, v in model.state_dict().items()}
    assert same(put_together(taken.value, plain), in_order(dump))


def test_plain_values_of_every_kind_come_back() -> None:
    dump = {
        "state_dict": {},
        "ordered": OrderedDict(b=1, a=2),
        "default": defaultdict(list, {1: [2]}),
        "nested": [({"x": torch.ones(2)}, None)],
        "arguments": argparse.Namespace(lr=0.1),
        "path": Path("a"),
    }
    assert same(there_and_back(dump, nn.Linear(1, 1)), in_order(dump))


def test_what_needs_pickle_is_left_out_by_its_path_and_nothing_else_is() -> None:
    itself: list[Any] = []
    itself.append(itself)
    dump = {
        "state_dict": {},
        "a": {"function": print, "number": 1},
        "b": [object(), 2],
        "c": {object(): 3, "d": 4},
        "e": itself,
    }
    taken = take_apart(dump, nn.Linear(1, 1))
    kept = taken.value["dump"]
    assert (kept["a"], kept["b"], kept["c"]) == ({"number": 1}, [None, 2], {"d": 4})
    told = "\n".join(taken.left_out)
    for path in ("a.function", "b.0", "c (a key)", "e.0"):
        assert path in told


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("runs:/0a1b/epoch-1-step-2", "runs:/0a1b/epoch-1-step-2"),
        ("tracker://0a1b/epoch-1-step-2", "runs:/0a1b/epoch-1-step-2"),
        (Path("tracker://0a1b/epoch-1-step-2"), "runs:/0a1b/epoch-1-step-2"),
        ("models:/digits@champion", "models:/digits@champion"),
        ("checkpoints/last.ckpt", None),
        (Path("/runs/a.ckpt"), None),
        ("tracker.ckpt", None),
        (None, None),
    ],
)
def test_a_path_names_a_checkpoint_or_is_a_file(path: Any, uri: str | None) -> None:
    assert uri_of(path) == uri


def test_a_place_says_epoch_and_step() -> None:
    uri = place("0a1b", 3, 120)
    assert epoch_and_step(uri) == (3, 120)
    assert uri_of(with_scheme(uri)) == uri
    assert epoch_and_step("runs:/0a1b/epoch-3") is None
