"""Training and loading scripts that several tests run in processes of their own."""

from __future__ import annotations

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden, depth=2):
        super().__init__()
        sizes = [4] + [hidden] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.head = nn.Linear(hidden, 2)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)
"""

THREE_EPOCHS = f"""
import mlflow
import tracker
{MODEL}
torch.manual_seed(0)
mlflow.set_experiment("digits")
with mlflow.start_run():
    mlflow.log_param("learning_rate", 0.1)
    model = Net(hidden=8, depth=3)
    for epoch, (loss, accuracy) in enumerate([(0.5, 0.7), (0.125, 0.9), (0.25, 0.8)]):
        with torch.no_grad():
            model.head.bias.fill_(epoch)
        tracker.log_checkpoint(
            model, epoch=epoch, metrics={{"val_loss": loss, "val_accuracy": accuracy}}
        )
        if epoch == 1:
            x = torch.randn(5, 4)
            torch.save((x, model(x).detach()), "expected.pt")
"""
"""Epoch 1 is the best; what its model computes is in ``expected.pt``."""

LOAD_BEST = """
import sys
import torch
import tracker

best = tracker.best_checkpoint("val_loss", experiment="digits")
x, y = torch.load(sys.argv[1], weights_only=True)
assert torch.equal(best.load_model()(x), y)
print(best.epoch, best.model_text)
"""

LOAD_SOURCE = """
import sys
import torch
import tracker

x, y = torch.load(sys.argv[1], weights_only=True)
for source in sys.argv[2:]:
    assert torch.equal(tracker.load_model(source)(x), y), source
    print(source)
"""
