from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.architecture.scripts import definitions_of, may_define, same_definitions


def kept(source: str, *wanted: str) -> list[str]:
    return ast.unparse(definitions_of(source, "train.py", wanted)).splitlines()


def run(source: str, *wanted: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "train"}
    exec(compile(definitions_of(source, "train.py", wanted), "train.py", "exec"), namespace)
    return namespace


def test_only_what_the_class_needs_is_kept() -> None:
    source = """
import os, sys
WIDTH = 3
UNUSED = 4
def helper(): return WIDTH
class A:
    w = helper()
class B: pass
"""
    assert kept(source, "A") == [
        "WIDTH = 3",
        "",
        "def helper():",
        "    return WIDTH",
        "",
        "class A:",
        "    w = helper()",
    ]


def test_doings_never_run() -> None:
    source = """
class A: pass
for i in range(3):
    raise SystemExit
print(undefined)
raise SystemExit
while True: pass
with open("x") as f: pass
if __name__ == "__main__":
    A = None
assert False
"""
    assert isinstance(run(source, "A")["A"], type)


def test_an_assignment_that_nothing_needs_does_not_run() -> None:
    assert "result" not in run("class A: pass\nresult = 1 / 0", "A")


@pytest.mark.parametrize(
    "source",
    [
        "result = launch()",
        "result: int = launch()",
        "result += launch()",
        "import antigravity as result",
        "from antigravity import result",
        "if True:\n    result = launch()",
        "try:\n    import result\nexcept ImportError:\n    result = launch()",
        "result = other = launch()",
        "Enum = launch\nresult = pathlib.Path('x').unlink()",
    ],
)
def test_a_checkpoint_can_not_start_at_an_assignment_or_import(source: str) -> None:
    """What is wanted is read from a checkpoint: it may name anything."""
    assert kept(f"{source}\nclass A: pass", "A", "result") == ["class A:", "    pass"]


def test_an_assignment_runs_if_a_wanted_class_reads_it() -> None:
    assert run("result = 1 + 1\nclass A: w = result", "A", "result")["result"] == 2


@pytest.mark.parametrize(
    "source",
    [
        "from collections import namedtuple\nA = namedtuple('A', 'x y')",
        "import typing\nA = typing.NamedTuple('A', [('x', int)])",
        "import enum\nA = enum.Enum('A', 'x y')",
        "from dataclasses import make_dataclass\nA: type = make_dataclass('A', ['x'])",
        "A = type('A', (), {})",
        "if True:\n    A = type('A', (), {})\nelse:\n    class A: pass",
        "try:\n    class A: pass\nexcept ImportError:\n    pass",
    ],
)
def test_a_checkpoint_can_ask_for_classes_however_they_are_made(source: str) -> None:
    assert isinstance(run(source, "A")["A"], type)


def test_a_local_variable_does_not_drag_in_the_global_of_its_name() -> None:
    source = "model = 1 / 0\nclass A:\n    def f(self):\n        model = 2\n        return model"
    assert run(source, "A")["A"]().f() == 2


def test_globals_read_inside_functions_decorators_and_bases_are_needed() -> None:
    source = """
from functools import cache as memo
import math
BASE = object
SCALE = 2
@memo
def twice(x): return [SCALE * x for _ in (1,)][0]
class A(BASE):
    def f(self): return twice(math.floor(1.5))
"""
    assert run(source, "A")["A"]().f() == 2


def test_blocks_that_only_define_are_kept() -> None:
    source = """
try:
    import missing_module_xyz as fast
except ImportError:
    fast = None
if fast is None:
    def act(x): return x
else:
    act = fast.act
class A:
    f = act
"""
    assert run(source, "A")["A"].f(1) == 1


def test_a_block_that_also_does_something_is_left_out() -> None:
    source = "if True:\n    x = 1\n    print(x / 0)\nclass A: pass"
    assert kept(source, "A") == ["class A:", "    pass"]


def test_future_and_star_imports_are_always_kept() -> None:
    source = "from __future__ import annotations\nfrom math import *\nclass A: x: Undefined"
    assert kept(source, "A")[:2] == ["from __future__ import annotations", "from math import *"]
    run(source, "A")


def test_source_that_is_not_python_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        definitions_of("class", "train.py", ["A"])


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("class A: pass", True),
        ("A = type('A', (), {})", True),
        ("A: type = type('A', (), {})", True),
        ("A = Other", True),
        ("A = other.A", True),
        ("A = 3", False),
        ("A: int = 3", False),
        ("A = launch()", False),
        ("A += 1", False),
        ("from other import A", True),
        ("from other import B as A", True),
        ("from other import *", True),
        ("if x:\n    class A: pass", True),
        ("try:\n    from a import A\nexcept ImportError:\n    A = None", True),
        ("import A", False),
        ("def f():\n    A = 1", False),
        ("class B:\n    A = 1", False),
        ("print('A')", False),
        ("class", False),
        ("x = '\\0'", False),
    ],
)
def test_whether_a_module_defines_a_name_is_read_from_its_text(source: str, answer: bool) -> None:
    assert may_define(source, "A") is answer


def test_a_function_is_no_class_and_a_class_no_function() -> None:
    assert not may_define("def main(): pass", "main")
    assert may_define("def main(): pass", "main", function=True)
    assert may_define("async def main(): pass", "main", function=True)
    assert not may_define("class A: pass", "A", function=True)


ENDLESS = ["-" * 100_000 + "1", "lambda:" * 100_000 + "1", "+".join("1" * 100_000)]
"""Text in which Python's parser runs out of memory or of stack."""


@pytest.mark.parametrize("source", ENDLESS)
def test_source_nested_without_end_defines_nothing(source: str) -> None:
    assert not may_define(f"x = {source}\nclass A: pass", "A")
    assert not same_definitions(f"x = {source}".encode(), b"class A: pass", ["A"])


def test_source_that_nobody_wrote_is_not_parsed() -> None:
    one, other = (b"class A: pass\n" + b"#" * size for size in (1 << 20, 1 << 21))
    assert not same_definitions(one, other, ["A"])


@given(st.text())
def test_any_text_is_answered(source: str) -> None:
    assert may_define(source, "A") in (True, False)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (b"W = 3\nclass Net:\n    width = W  # wide\nepochs = 20", True),
        (b"W = 4\nclass Net:\n    width = W\nepochs = 10", False),
        (b"W = 3\nclass Net:\n    width = W + 1", False),
        (b"W = 3\nclass Other: pass", False),
        (b"class Net: (", False),
    ],
)
def test_definitions_are_the_same_if_the_class_and_what_it_reads_are(
    other: bytes, same: bool
) -> None:
    one = b"W = 3\nclass Net:\n    width = W\nepochs = 10"
    assert same_definitions(one, other, ["Net"]) is same
