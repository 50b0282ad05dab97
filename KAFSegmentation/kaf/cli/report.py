"""``kaf report``: the page of a training run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.runtime.errors import OutputError
from kaf.runtime.files import write_problem


class ReportCommand(Command):
    """Write the page of a training run (curves, validation cases, settings) and open it in the browser.

    Works for runs that are finished, still going, or were interrupted.
    """

    run: CliPositionalArg[str] = Field(description="output folder of kaf finetune or kaf pretrain")
    output: str = Field("", description="HTML file to write; default: report.html in the run folder")
    show: bool = Field(True, description="open the page in the browser (from a terminal)")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(ReportCommand, arguments, "report")
    from kaf.evaluation.run_page import NAME, write_run_page

    path = Path(command.output) if command.output else Path(command.run) / NAME
    try:
        write_run_page(command.run, path)
    except OSError as error:
        raise OutputError(path, *write_problem(error)) from error
    if command.show and sys.stdout.isatty() and not console.events:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    console.result({"report": str(path)}, f"written: {path}")
