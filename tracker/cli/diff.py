"""``tracker diff``: how two checkpoints differ."""

from __future__ import annotations

import click

from tracker.cli.options import json_option
from tracker.cli.selecting import Selection, selects

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@selects("A B")
@json_option
def diff(selection: Selection, as_json_text: bool) -> None:
    """Show how checkpoint B differs from checkpoint A.

    That is the constructor call and the modules, the source, the arguments, the metrics, and each
    tensor that changed, with the norm of the difference relative to that of A. Of two runs, --best,
    --latest, --epoch or --step say which checkpoint of each.
    """
    if len(selection.sources) != 2:
        raise click.UsageError("Name two checkpoints, A and B.")
    from tracker.cli.printing import print_json, printable

    a, b = selection.named()
    found = a.diff(b)
    if as_json_text:
        print_json(found.to_dict())
        return
    for name, title in zip("AB", found.titles, strict=True):
        click.echo(f"{name} {printable(title)}")
    for heading, lines in found.sections():
        click.secho(f"\n{heading}", bold=True)
        for line in lines:
            shown = "\t".join(map(printable, line.split("\t")))  # source may be indented by tabs
            colour = _COLOURS.get(line[:1])
            click.echo(click.style(shown, fg=colour) if colour else shown)
