from __future__ import annotations

import pytest
from torch import nn

from tests.models import Net
from tests.training import log
from tracker.errors import TrackerWarning

pytestmark = pytest.mark.usefixtures("workplace")


def test_a_constructor_is_named_with_where_the_source_is() -> None:
    text = log(Net(hidden=4), epoch=6).explain()
    assert text.startswith("epoch-6 of run ")
    assert "Net(hidden=4)" in text
    assert "class: tests.models:Net" in text
    assert "rebuilt: by its constructor, proven" in text
    assert "source of tests.models: kept in the checkpoint" in text
    assert "torch " in text


def test_a_structure_says_what_stood_in_the_way_of_the_constructor() -> None:
    model = Net(hidden=4)
    model.head = nn.Linear(4, 10)
    text = log(model, epoch=6).explain()
    assert "rebuilt: from its module tree as it stood" in text
    assert "stood in the way: constructor: rebuilding gave another model" in text
    assert "differs in attributes of head (torch.nn.modules.linear:Linear): out_features" in text


def test_a_model_that_needs_an_instance_says_why() -> None:
    model = Net(hidden=4)
    model.act = lambda x: x
    with pytest.warns(TrackerWarning):
        text = log(model, epoch=6).explain()
    assert "rebuilt: not by itself" in text
    assert "act" in text.split("stood in the way")[1]
