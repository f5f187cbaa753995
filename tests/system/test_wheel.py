"""What is installed from a wheel has all it needs: migrations, the grammar, the command."""

from __future__ import annotations

import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from .processes import environment, succeed, tracker_json
from .scripts import LOAD_BEST, THREE_EPOCHS

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel, and of this one all but its editable tracker."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)],
        check=True,
    )
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    # A path of a .pth file counts, the .pth files in it do not: the editable install stays out.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder


def test_the_wheel_holds_the_migrations_and_the_grammar(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tracker/migrations/env.py" in names
    assert "tracker/migrations/versions/0001_catalog.py" in names
    assert "tracker/catalog/filter.lark" in names
    assert "tracker/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "migrations/"))]


def test_the_sdist_holds_what_the_wheel_is_built_of(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "migrations/env.py"} <= names


def test_an_installed_tracker_logs_finds_and_loads(installed: Path, tmp_path: Path) -> None:
    python, command = installed / "bin" / "python", str(installed / "bin" / "tracker")
    variables = environment(tmp_path)
    where = "import tracker; print(tracker.__file__)"
    printed = succeed(python, "-c", where, directory=tmp_path, variables=variables)
    assert printed.startswith(str(installed))

    (tmp_path / "train.py").write_text(THREE_EPOCHS)
    succeed(python, "train.py", directory=tmp_path, variables=variables)
    filtered = ("list", "--filter", "metrics.val_loss < 0.3")
    found = tracker_json(*filtered, directory=tmp_path, variables=variables, command=command)
    assert [each["epoch"] for each in found] == [2, 1]
    loading = (python, "-c", LOAD_BEST, "expected.pt")
    printed = succeed(*loading, directory=tmp_path, variables=variables)
    assert printed.startswith("1 ")
