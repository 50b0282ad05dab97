"""``kaf compare``: a few-shot experiment on labelled scans."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console, without_result
from kaf.cli.flags import Command, parse
from kaf.settings.compare import CompareSettings


class CompareCommand(Command, CompareSettings):  # type: ignore[misc]
    """Compare training methods in a few-shot experiment: every arm on the same patients, with paired statistics.

    Run the command again to continue an experiment that was stopped; several processes may share one.
    """

    data: CliPositionalArg[str] = Field(description="folder of labelled scans")


def main(arguments: Sequence[str], console: Console) -> None:
    settings: CompareSettings = parse(CompareCommand, arguments, "compare").only(CompareSettings)
    from kaf.experiments.compare import compare as run

    table = run(settings, without_result(console))
    lines = [f"M = {row['few_shot']:2}  {row['arm']:24} Dice {row['dice']['mean']:.3f}  pooled "
             f"{row['pooled']['mean']:.3f}  ({row['dice']['n']} networks)" for row in table["rows"]]
    console.result({**table, "report": f"{settings.output}/comparison.html"},
                   "\n".join([*lines, f"report: {settings.output}/comparison.html"]))
