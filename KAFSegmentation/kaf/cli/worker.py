"""``kaf worker``: the resident process that programs talk to."""

from __future__ import annotations

from collections.abc import Sequence

from kaf.cli.console import Console


def main(arguments: Sequence[str], console: Console) -> None:
    """Serve requests; it talks JSON lines on its own pipes."""
    from kaf.worker.process import main as serve

    serve(arguments)
