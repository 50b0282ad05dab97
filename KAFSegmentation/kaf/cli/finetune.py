"""``kaf finetune``: train a model on labelled scans."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console, without_result
from kaf.cli.flags import Command, parse
from kaf.modelfile.card import Card, read_card
from kaf.modelfile.library import find_model
from kaf.modelfile.licences import notice
from kaf.modelfile.verdict import verdict_on
from kaf.runtime.plain_text import one_line
from kaf.settings.finetune import FinetuneSettings


class FinetuneCommand(Command, FinetuneSettings):  # type: ignore[misc]
    """Train a model on a folder of labelled scans.

    --resume continues a run that was stopped.
    """

    data: CliPositionalArg[str] = Field(description="folder of scans and label maps")
    folds: int = Field(0, ge=0, le=20, description="cross-validation: train this many networks, each of which "
                                                   "validates on its share of the patients, and write one model that "
                                                   "averages them; the budget is that of each; 0: one network")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(FinetuneCommand, arguments, "finetune")
    settings: FinetuneSettings = command.only(FinetuneSettings)
    if settings.init_from:  # before the hours of training
        notice(read_card(find_model(settings.init_from)), console)
    from kaf.evaluation.run_page import NAME
    from kaf.runtime import ranks

    if command.folds:
        from kaf.experiments.cross_validated import finetune_folds

        path = finetune_folds(settings, command.folds, without_result(console))
    else:
        from kaf.verbs.finetune import finetune

        path = finetune(settings, without_result(console))
    if not ranks.leads():
        return
    card = read_card(path)
    verdict = verdict_on(card)
    assert verdict is not None
    state, accept = ("passed", "") if verdict.passed else ("not passed", " --accept")
    console.result({"model": str(path), "verdict": verdict.to_dict()},
                   f"{_table(card)}written: {path}\nreport: {path.with_name(NAME)}\n"
                   f"quality check: {state} ({verdict.reason()})\n"
                   f"use it: kaf segment SCAN --model {path}\n"
                   f"keep it in your library: kaf models add {path}{accept}")


def _table(card: Card) -> str:
    """Dice of each structure in the last validation, a line each; nothing where nobody validated."""
    figures = card.metrics.get("validation") or {}
    rows = [(label.name, figures[f"Dice {label.value}"]) for label in card.labels if f"Dice {label.value}" in figures]
    if not rows:
        return ""
    width = max(len(one_line(name)) for name, _ in rows)
    return "".join([f"validation Dice ({figures['patients']} patient{'s' * (figures['patients'] != 1)}):\n",
                    *(f"  {one_line(name):{width}}  {value:.3f}\n" for name, value in rows)])
