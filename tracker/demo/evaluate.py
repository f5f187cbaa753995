"""Another process: it loads models that it knows nothing about, and measures them again."""

from __future__ import annotations

import argparse
import sys

import tracker
from tracker.demo.digits import digits, evaluate


def main(run_id: str, epochs: list[int]) -> bool:
    """Rebuild the checkpoints of some epochs; return whether each is exactly as good as logged."""
    data = digits()
    exact = True
    for epoch in epochs:
        checkpoint = tracker.get_checkpoint(run_id, epoch=epoch)
        model = checkpoint.load_model()
        for split in ("val", "test"):
            _, accuracy = evaluate(model, data[split])
            logged = checkpoint.metrics[f"{split}_accuracy"]
            same = accuracy == logged
            exact = exact and same
            print(
                f"  epoch {epoch}: {checkpoint.model_text}  {split} accuracy {accuracy:.6f}, "
                f"logged {logged:.6f}: {'exactly the same' if same else 'DIFFERENT'}"
            )
    return exact


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", required=True)
    parser.add_argument("--epochs", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    sys.exit(0 if main(arguments.run, arguments.epochs) else 1)
