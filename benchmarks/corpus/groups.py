"""The groups of the corpus: one library, or one idea, each."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from corpus.case import Case

# The module of each group has a function cases(). A group whose package isn't installed is skipped.
GROUPS = {
    "nasty": "corpus.nasty",
    "scripts": "corpus.scripts",
    "torch.nn": "corpus.torch_nn",
    "transformers": "corpus.transformers_models",
    "diffusers": "corpus.diffusers_models",
    "monai": "corpus.monai_networks",
    "torch_geometric": "corpus.graph_networks",
    "x-transformers": "corpus.x_transformers_models",
    "lucidrains": "corpus.lucidrains_models",
    "peft": "corpus.adapted_models",
    "others": "corpus.other_models",
}

# Groups whose models are made by a program of their own instead of by `corpus.worker`.
PROGRAMS = {"scripts": "training_script.py"}


def cases_of(group: str) -> dict[str, Case]:
    """Return the cases of a group by name.

    Raises:
        ImportError: The package that the group is about is not installed.
    """
    module = importlib.import_module(GROUPS[group])
    found: Iterable[Case] = module.cases()
    named = {}
    for case in found:
        if case.name in named:
            raise ValueError(f"two cases of {group} are called {case.name!r}")
        named[case.name] = case
    return named
