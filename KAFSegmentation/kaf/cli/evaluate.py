"""``kaf evaluate``: compare segmentations with references."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console, without_result
from kaf.cli.flags import Command, parse
from kaf.cohort.work_queue import leads, one_voice
from kaf.settings.evaluate import EvaluateSettings


class EvaluateCommand(Command, EvaluateSettings):  # type: ignore[misc]
    """Compare segmentations with reference segmentations: Dice, surface distances and volumes, as table and report."""

    prediction: CliPositionalArg[str] = Field(description="segmentation, or folder of segmentations")
    reference: CliPositionalArg[str] = Field(description="reference segmentation, or folder of reference segmentations")
    output: str = Field("evaluation", description="folder for the table (CSV), the numbers (JSON) and the report "
                                                  "(HTML)")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(EvaluateCommand, arguments, "evaluate")
    settings = EvaluateSettings(**{name: getattr(command, name) for name in EvaluateSettings.model_fields})
    from kaf.cohort.scoring import score_cases
    from kaf.evaluation.card_row import markdown_row
    from kaf.verbs.evaluate import evaluate as run

    with one_voice():
        if not leads():  # of the processes of torchrun the first one puts the table together
            score_cases(settings)
            return
        evaluation = run(settings, without_result(console))
    overview = evaluation.overview()
    dice, pooled = ("undefined" if value is None else f"{value:.3f}" for value in
                    (overview["dice"], overview["pooled_dice"]))
    console.result(overview, f"mean Dice {dice} over {overview['cases']} cases (pooled {pooled})\n"
                   f"report: {overview['report']}" + (f"\n{markdown_row(evaluation)}" if settings.card_row else ""))
