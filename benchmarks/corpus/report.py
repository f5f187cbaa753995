"""Judges the results and writes them down as Markdown."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable
from typing import Any

from corpus.contenders import CONTENDERS

Result = dict[str, Any]

# How the message begins where a contender says that, and why, it can't store a model.
CLEAR = (
    "saving: UnstorableError",
    "saving: InvalidArgumentError",
    "loading: NeedsModelInstanceError",
)


def verdict(result: Result) -> str:
    """Return exact, refused (rightly), missed, not applicable, or unusable (the corpus's fault)."""
    if "unusable" in result:
        return "unusable"
    if "not_applicable" in result:
        return "not applicable"
    if result.get("refused") and reason(result).startswith(CLEAR):
        return "refused"
    return "missed" if reason(result) else "exact"


def reason(result: Result) -> str:
    """Return why it is not exact; nothing if it is."""
    for key, told in (("save_error", "saving: "), ("load_error", "loading: ")):
        if key in result:
            problems = "".join(f" | {problem}" for problem in result.get("problems", ()))
            return f"{told}{result[key]}{problems}"
    differences = result["differences"]
    if not CONTENDERS[result["contender"]].whole:
        return str(differences["weights"] or differences["output"])
    return str(differences["model"] or differences["output"])


def is_miss(result: Result) -> bool:
    return verdict(result) in ("missed", "unusable")


def line(result: Result) -> str:
    """Return one result for the terminal."""
    name = f"{result['group']} · {result['name']}"
    told = result.get("unusable") or reason(result) if is_miss(result) else result.get("by", "")
    forward = result.get("forward", "")[:200]
    return f"{verdict(result):9} {name} · {result['contender']}: {told} [{forward}]"


INTRODUCTION = """# Rebuilding: results

Written by `python benchmarks/rebuild.py --write docs/rebuild-results.md`; not edited by hand.

Each architecture is made, stored and described in one process, and loaded with
`tracker.load_model(id)` in another. **Exact** means that nothing differs: the bits, shapes, strides
and dtypes of the state_dict; the module tree with classes and names; which modules, tensors and
containers are shared; `requires_grad`; hooks; every attribute; and, where a forward pass is
possible, the bits of its output on a fixed input. Sizes are shrunk, structure is not. Architectures
that can't be constructed in this environment (a package is missing, the configuration has no
working defaults) are not counted. **Refused** are those that nothing can lead back to (a class made
in a function, a lambda given as an argument, a ScriptModule, a lazy module before its first
forward) and that are told apart from misses beforehand.

Versions: {versions}.
"""


PEERS = """The same models with other ways to store a model. `mlflow pt2` and `mlflow pickle` are
`mlflow.pytorch.save_model` with that `serialization_format`; pickles are loaded with
`MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true`. `mlflow pt2` traces the model with the example input and
`PyTorchModelHubMixin` needs the class named when loading, so of these two only the bits of the
state_dict and the output count, not classes and attributes. The mixin is tried where the model is
one call of a class without a `save_pretrained` of its own."""


def document(results: Collection[Result], versions: str, costs: str, notes: str = "") -> str:
    """Return the results as a document."""
    head = INTRODUCTION.format(versions=versions) + ("\n" + notes if notes else "")
    return f"{head}\n{markdown(results)}\n\n## Costs\n\n{costs}\n"


def markdown(results: Iterable[Result]) -> str:
    """Return the whole report: what tracker does, what its peers do, and every miss."""
    results = list(results)
    usable = [result for result in results if verdict(result) not in ("unusable", "not applicable")]
    by_contender: dict[str, list[Result]] = collections.defaultdict(list)
    for result in usable:
        by_contender[result["contender"]].append(result)
    parts = [_own_table(by_contender["tracker"]), _trust(by_contender["tracker"])]
    peers = [name for name in CONTENDERS if name != "tracker" and by_contender[name]]
    if peers:
        parts += [PEERS, _peers_table(by_contender, peers)]
    parts += [_misses(by_contender["tracker"]), _untried(results)]
    return "\n\n".join(parts)


def _own_table(results: list[Result]) -> str:
    rows = [
        _own_row(group, [result for result in results if result["group"] == group])
        for group in dict.fromkeys(result["group"] for result in results)
    ]
    libraries = [result for result in results if result["group"] != "nasty"]
    rows.append(_own_row("**all but the nasty ones**", libraries))
    rows.append(_own_row("**all**", results))
    columns = "tried,exact,by constructor,by structure,output compared,refused,missed,exact of "
    columns += "those not refused"
    head = "| library | " + columns.replace(",", " | ") + " |"
    return "\n".join([head, "|---|" + "---:|" * 8, *rows])


def _trust(results: list[Result]) -> str:
    """Say how often loading asked the user to name a package that is trusted."""
    asked = collections.Counter(
        package for result in results for package in result.get("trusted", ())
    )
    if not asked:
        return "No checkpoint asked for `trust=`."
    told = ", ".join(f"`{package}` ({number})" for package, number in asked.most_common())
    return f"Checkpoints that asked for `trust=`: {told}."


def _own_row(group: str, results: list[Result]) -> str:
    count = collections.Counter(verdict(result) for result in results)
    exact = [result for result in results if verdict(result) == "exact"]
    by = collections.Counter(result["by"] for result in exact)
    answered = len(results) - count["refused"]
    share = f"{100 * count['exact'] / answered:.1f} %" if answered else ""
    cells = [
        group,
        len(results),
        count["exact"],
        by["constructor"],
        by["structure"],
        sum(result["forward"] == "yes" for result in exact),
        count["refused"],
        count["missed"],
        share,
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _peers_table(by_contender: dict[str, list[Result]], peers: list[str]) -> str:
    """Compare each peer with tracker on the models that the peer was tried on."""
    own = {(r["group"], r["name"]): r for r in by_contender["tracker"]}
    rows = ["| | tried | exact | tracker on the same models |", "|---|---:|---:|---:|"]
    for peer in peers:
        tried = by_contender[peer]
        exact = sum(verdict(result) == "exact" for result in tried)
        same = [own[key] for r in tried if (key := (r["group"], r["name"])) in own]
        own_exact = sum(verdict(result) == "exact" for result in same)
        rows.append(f"| {peer} | {len(tried)} | {exact} | {own_exact} of {len(same)} |")
    return "\n".join(rows)


def _misses(results: list[Result]) -> str:
    listed = {
        kind: [
            f"- {result['group']}: {result['name']}. {_short(reason(result))}"
            for result in results
            if verdict(result) == kind
        ]
        for kind in ("missed", "refused")
    }
    return "\n\n".join(
        f"{title}\n\n" + ("\n".join(listed[kind]) or "None.")
        for kind, title in (
            ("missed", "## Missed"),
            ("refused", "## Refused, as it should be"),
        )
    )


def _untried(results: list[Result]) -> str:
    """Name the architectures that could not be made, by what stood in the way."""
    names = collections.defaultdict(list)
    for result in results:
        if result["contender"] == "tracker" and "unusable" in result:
            kind = result["unusable"].partition(":")[0]
            names[result["group"], _KINDS.get(kind, _OTHER)].append(result["name"])
    told = [
        f"- {group}, {len(those)} {kind}: {', '.join(sorted(those))}."
        for (group, kind), those in sorted(names.items())
    ]
    return "## Not tried\n\n" + ("\n".join(told) or "None.")


_KINDS = {"ImportError": "that need a package which is not here"}
_OTHER = "that can't be constructed small from their defaults"


def _short(text: str) -> str:
    """Return the sentence that says why, without line breaks."""
    for told in ("What stood in the way:", "gave another model: "):
        text = text.partition(told)[2] or text
    words = " ".join(text.partition(" | ")[0].split())
    return words if len(words) <= 220 else words[:217] + "…"
