from __future__ import annotations

import pytest

from tracker.errors import FormatError, InvalidArgumentError
from tracker.format.layout import check_file_name, inside, tensor_file


def test_a_group_has_a_file_of_its_own():
    assert tensor_file("model") == "model.safetensors"


@pytest.mark.parametrize("group", ["", "../model", "Model", "a/b", "a" * 100])
def test_a_group_whose_name_is_no_identifier_is_refused(group):
    with pytest.raises(InvalidArgumentError):
        tensor_file(group)


@pytest.mark.parametrize("name", ["MLmodel", "source/vision/__init__.py", "a b/ü..py", ".x"])
def test_names_below_the_directory_are_taken_as_they_are(name):
    assert check_file_name(name, "checkpoint.json") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/../b",
        "a//b",
        "/etc/passwd",
        "a/",
        "a\\b",
        "C:/x",
        "a\x00b",
        "a\nb",
        "checkpoint.json",
        "Checkpoint.JSON",
        "x" * 256,
        "a/" * 600 + "a",
        "\ud800",
    ],
)
def test_names_that_could_mean_another_file_are_refused(name):
    with pytest.raises(FormatError, match="not a file name"):
        check_file_name(name, "checkpoint.json")


def test_a_symbolic_link_out_of_the_directory_is_refused(tmp_path):
    (tmp_path / "secret").write_text("secret")
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    (directory / "net.py").symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="symbolic link"):
        inside(directory, "net.py", "x")


def test_a_directory_that_is_reached_by_a_link_is_fine(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", "source/net.py", "x").name == "net.py"
