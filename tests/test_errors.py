"""The tree that errors.py draws is the tree that it defines."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from tracker import errors

DEFINED = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, BaseException)
}


def drawn() -> dict[str, tuple[str, str]]:
    """Return parent and builtin of each class, as the docstring draws them."""
    found: dict[str, tuple[str, str]] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│├└─ ]*)(\w+Error)(?: \((\w+)\))?", line)
        if match:
            depth, name, builtin = len(match[1]), match[2], match[3] or ""
            while stack and stack[-1][0] >= depth:
                stack.pop()
            found[name] = (stack[-1][1] if stack else "", builtin)
            stack.append((depth, name))
    return found


def test_the_drawn_tree_is_the_tree_of_classes() -> None:
    classes = {}
    for name, cls in DEFINED.items():
        if issubclass(cls, errors.TrackerError):
            bases = [b.__name__ for b in cls.__bases__]
            own = [b for b in bases if b in DEFINED]
            builtin = [b for b in bases if b not in DEFINED and b != "Exception"]
            classes[name] = ("".join(own), "".join(builtin))
    assert drawn() == classes


def test_every_class_of_the_module_is_documented() -> None:
    assert all(inspect.getdoc(cls) for cls in DEFINED.values())


def test_the_warning_is_no_error_so_that_catching_errors_does_not_catch_it() -> None:
    assert not issubclass(errors.TrackerWarning, errors.TrackerError)
    assert issubclass(errors.TrackerWarning, UserWarning)


def test_an_unstorable_error_names_its_path() -> None:
    error = errors.UnstorableError("optimizer.state.0", "is a lambda")
    assert str(error) == "optimizer.state.0: is a lambda"
    assert error.path == "optimizer.state.0"
    assert str(errors.UnstorableError("", "is a lambda")) == "is a lambda"


@pytest.mark.parametrize("name", sorted(DEFINED))
def test_every_error_survives_the_way_between_processes(name: str) -> None:
    arguments = ("where", "what") if name == "UnstorableError" else ("what",)
    error = DEFINED[name](*arguments)
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied)) == (type(error), str(error))
