"""The cases of an evaluation, scored by as many processes as there are."""

from __future__ import annotations

import math
import time
from pathlib import Path

from kaf.cohort.references import evaluation_pairs
from kaf.cohort.work_queue import CaseOutcome, clear_work, leads, share_work, work_folder
from kaf.evaluation.cases import Kept, score
from kaf.evaluation.pairing import Pair
from kaf.evaluation.results import NUMBERS, CaseResult
from kaf.runtime.errors import InputError
from kaf.runtime.events import Metric, OnEvent, ignore
from kaf.settings.evaluate import EvaluateSettings

_SAID = 5  # so many cases are named


def score_cases(settings: EvaluateSettings, on_event: OnEvent = ignore
                ) -> tuple[list[Pair], list[str], CaseOutcome, Kept]:
    """Score the cases, of several processes (torchrun) those that no other one scores; what was scored is kept.

    Returns the pairs, sentences about files without a counterpart, the outcome, and where the scores are.
    """
    began = time.time()
    output = Path(settings.output)
    pairs, alone = evaluation_pairs(settings, on_event)
    if settings.strict and alone:
        more = f" (and {len(alone) - _SAID} more)" if len(alone) > _SAID else ""
        raise InputError(
            settings.prediction,
            f"not every case has a counterpart: {' '.join(alone[:_SAID]).rstrip('.')}{more}",
            "Add the missing files, or leave `strict` out.",
        )
    kept = Kept(work_folder(output), settings)
    problems = list[InputError]()

    def is_done(pair: Pair) -> bool:
        table = output / NUMBERS  # by then the first process has taken everything in
        return kept.get(pair) is not None or (not leads() and table.exists() and table.stat().st_mtime >= began)

    def do(pair: Pair) -> None:
        try:
            scored = score(pair, settings)
        except InputError as error:
            problems.append(error)
            if settings.strict or len(problems) == len(pairs):
                raise _Refused(error) from error
            raise
        kept.put(pair, scored)
        if math.isfinite(dice := CaseResult(pair, scored.metrics).dice):
            on_event(Metric(pairs.index(pair) + 1, {"Dice": dice}))

    try:
        outcome = share_work(pairs, lambda pair: pair.name, output, is_done, do, on_event, "evaluate")
    except _Refused as refused:
        clear_work(output, [pair.name for pair in pairs])
        raise refused.error from None
    return pairs, alone, outcome, kept


class _Refused(Exception):  # noqa: N818 - it never leaves this file
    """Carries an InputError past those that only leave a case out."""

    def __init__(self, error: InputError):
        self.error = error
        super().__init__(str(error))
