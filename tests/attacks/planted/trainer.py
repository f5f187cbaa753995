"""A script of the user's, in the working directory, without a main guard."""

import sys

from torch import nn


def train(*args: object) -> None:
    sys.audit("canary", "trained")


class Net(nn.Module): ...


result = train()
results: list[object] = [train()]
for _ in range(3):
    train()
