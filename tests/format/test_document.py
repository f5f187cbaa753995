"""``docs/format.md`` is enough to read a checkpoint, and names what the code has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tracker.format import FORMAT_VERSION
from tracker.format.dtypes import DTYPES
from tracker.values import codec
from tracker.values.leaves import LEAF_BY_TAG

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
FROZEN = [ROOT / "tests" / "frozen" / version for version in ("v1", "v1_1", "v1_2")]


def section(title: str) -> str:
    return re.split(r"^## ", DOCUMENT.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


@pytest.fixture(scope="module")
def reader() -> dict:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names: dict = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("version", FROZEN, ids=lambda path: path.name)
def test_the_reader_of_the_document_reads_a_checkpoint(reader, version):
    facts = json.loads((version / "expected.json").read_text())
    _, tensors = reader["read_checkpoint"](
        version / "checkpoint", facts["manifest_digest"], lambda checkpoint: version / checkpoint
    )
    expected = {
        (group, name): (fact["dtype"].removeprefix("torch."), fact["shape"], fact["bytes"])
        for group, named in facts["tensors"].items()
        for name, fact in named.items()
    }
    assert {key: (d, s, data.hex()) for key, (d, s, data) in tensors.items()} == expected


def test_the_reader_of_the_document_notices_another_manifest(reader):
    with pytest.raises(ValueError, match=r"checkpoint\.json"):
        reader["read_checkpoint"](FROZEN[0] / "checkpoint", "0" * 64)


def test_the_document_has_the_version():
    version = f"{FORMAT_VERSION[0]}.{FORMAT_VERSION[1]}"
    assert DOCUMENT.startswith(f"# The checkpoint format, version {version}\n")


def test_the_document_has_every_dtype_with_its_place_in_the_container():
    rows: dict[str, str] = {}
    for line in section("Dtypes").splitlines():
        if line.startswith("| `") and "` in the manifest" not in line:
            names, codes = (re.findall(r"`(\w+)`", cell) for cell in line.split("|")[1:3])
            rows |= dict(zip(names, codes * (len(names) // len(codes)), strict=True))
    assert rows == {name: dtype.code for name, dtype in DTYPES.items()}


def test_the_document_has_every_tag_of_a_value():
    tags = set(re.findall(r"`(\$\w+)`", "\n".join(re.findall(r"^\| (`\$.*?) \|", section("Values"),
                                                            re.MULTILINE))))  # fmt: skip
    source = Path(codec.__file__).read_text(encoding="utf-8")
    assert tags == LEAF_BY_TAG.keys() | set(re.findall(r'"(\$\w+)"', source))


@pytest.mark.parametrize("version", FROZEN, ids=lambda path: path.name)
def test_the_document_has_every_key_of_the_manifest(version):
    manifest = json.loads((version / "checkpoint" / "checkpoint.json").read_bytes())
    documented = set(re.findall(r"`(\w+)`", section("The manifest")))
    assert documented >= manifest.keys()
    entries = [entry for named in manifest["tensors"].values() for entry in named.values()]
    assert documented >= {key for entry in entries for key in entry}
    assert set(re.findall(r"`(\w+)`", section("Architecture"))) >= manifest["architecture"].keys()
    elsewhere = set(re.findall(r"`(\w+)`", section("Tensors elsewhere")))
    assert elsewhere >= {key for file in manifest.get("elsewhere", {}).values() for key in file}


def test_the_document_has_every_key_of_an_example():
    facts = json.loads((FROZEN[1] / "example.json").read_text())
    assert set(re.findall(r"`(\w+)`", section("Example"))) >= facts["example"].keys()
