from __future__ import annotations

import yaml

from tracker.record.flavor_file import flavor_files
from tracker.types import Architecture


def test_the_file_names_our_loader_and_the_model() -> None:
    architecture = Architecture("constructor", "net:Net", "Net(hidden=4)")
    content = yaml.safe_load(flavor_files("m-1", "run-1", architecture)["MLmodel"])
    assert (content["model_id"], content["run_id"]) == ("m-1", "run-1")
    assert content["flavors"]["python_function"]["loader_module"] == "tracker.flavor"
    assert content["flavors"]["tracker"] == {"model_class": "net:Net", "model": "Net(hidden=4)"}
