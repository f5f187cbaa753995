"""Makes terminal.svg from the demo: run it where ``tracker demo`` left its database."""

import io
import sys
from pathlib import Path

from rich.console import Console

import tracker
from tracker.cli.checkpoint_table import checkpoint_table

best = tracker.best_checkpoint("val_loss", experiment="digits")
run = tracker.search_checkpoints(run_id=best.run_id, order_by=["attributes.epoch ASC"])
console = Console(record=True, width=136, highlight=False, file=io.StringIO())
console.print("2. The checkpoints, the best marked", style="bold")
console.print(checkpoint_table(run, best=best.id, width=console.width))
console.print()
console.print(">>> import tracker")
console.print('>>> tracker.best_checkpoint("val_loss", experiment="digits").load_model()')
console.print("\n".join(str(best.load_model()).splitlines()[:3]) + "\n  …\n)")
console.save_svg(str(Path(sys.argv[1])), title="tracker")
