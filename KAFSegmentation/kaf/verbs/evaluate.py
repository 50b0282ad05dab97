"""``kaf evaluate``: score segmentations against references, and write a table, the numbers and a report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from kaf.cohort.scoring import score_cases
from kaf.cohort.tables import check_tables
from kaf.cohort.work_queue import clear_work
from kaf.evaluation.card_row import CARD_ROW, card_row
from kaf.evaluation.cases import Scored
from kaf.evaluation.dice import pooled_dice
from kaf.evaluation.metrics import ABSENT, MISSED, NOT_CONTOURED, SCORED, SPURIOUS, LabelMetrics, absent, not_contoured
from kaf.evaluation.pairing import Pair
from kaf.evaluation.results import NUMBERS, REPORT, TABLE, CaseResult, Evaluation, LabelSummary
from kaf.evaluation.tables import MEASURES, to_csv, to_json
from kaf.imaging.labels import Label, plain_label
from kaf.report.statistics import statistic
from kaf.runtime.errors import InputError, KafError, OutputError
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.runtime.file_set import write_set
from kaf.settings.evaluate import EvaluateSettings

_SAID = 5  # so many things of a kind are said in messages; the report says all


def evaluate(settings: EvaluateSettings, on_event: OnEvent = ignore) -> Evaluation:
    """Scores every case and writes evaluation.csv, evaluation.json and report.html.

    A case that cannot be scored (no counterpart, another grid, a damaged file) is an error with ``strict`` or
    when nothing else remains; otherwise it is left out, with a warning here and a notice in the report.

    Raises:
        InputError: paths, names, grids or files as above.
        OutputError: the folder cannot be written, or holds an evaluation and ``overwrite`` is not set.
    """
    with _output_folder(settings) as output:
        pairs, alone, outcome, kept = score_cases(settings, on_event)
        catalogue = _Catalogue(settings.labels)
        cases = [catalogue.take(pair, scored) for pair in pairs if (scored := kept.get(pair)) is not None]
        not_scored = [*outcome.failed.values(), *alone]
        try:
            evaluation = _gather(settings, cases, catalogue, not_scored)
        except InputError:  # other labels have to be asked for, for which no score that is kept can be used
            clear_work(output, [pair.name for pair in pairs])
            raise
        _warn(not_scored, "files were left out", on_event)
        _warn(evaluation.remarks, "remarks were made", on_event)
        _write(evaluation, output, on_event)
        clear_work(output, [pair.name for pair in pairs])
    return evaluation


def _warn(texts: Sequence[str], what: str, on_event: OnEvent) -> None:
    for text in texts[:_SAID]:
        on_event(Message(text, "warning"))
    if len(texts) > _SAID:
        on_event(Message(f"{len(texts)} {what} in all; the report lists them.", "warning"))


class _Catalogue:
    """The labels met so far: what they are called, in which maps they occur, what is odd about them."""

    def __init__(self, wanted: dict[int, str]):
        self.wanted = wanted
        self.labels = {value: plain_label(value, name) for value, name in wanted.items()}
        self.in_references: set[int] = set()
        self.remarks: dict[str, None] = {}  # an ordered set
        self._named: dict[int, tuple[Label, Path]] = {}

    def take(self, pair: Pair, scored: Scored) -> CaseResult:
        """Learn names and values from a scored case."""
        for file, labels in scored.names.items():
            for label in labels:
                self._learn(label, Path(file))
        for warning in scored.warnings:
            self.remark(warning)
        self.in_references |= scored.found[1]
        found = scored.found[0] | scored.found[1]
        if not self.wanted:
            self.labels.update({value: plain_label(value) for value in found})
        elif others := sorted(found - self.wanted.keys()):
            self.remark(f"Left out, as they are not among the labels asked for: values "
                        f"{', '.join(map(str, others))}.")
        return CaseResult(pair, scored.metrics, scored.predicted)

    def _learn(self, label: Label, path: Path) -> None:
        known, source = self._named.setdefault(label.value, (label, path))
        if plain_label(label.value).name in (known.name, label.name):  # one of the files does not name it
            self._named[label.value] = (label, path) if plain_label(label.value).name == known.name else (known, source)
        elif known.name.casefold() != label.name.casefold():
            self.remark(f"Value {label.value} is '{known.name}' in {source} and '{label.name}' in {path}. "
                        "Labels are compared by value, so check that both mean the same structure.")

    def remark(self, text: str) -> None:
        self.remarks[text] = None

    def resolved(self) -> list[Label]:
        """All labels in order of value; names given in the settings win over those in the files."""
        result = []
        for value in sorted(self.labels):
            named = self._named.get(value, (self.labels[value], None))[0]
            name = self.wanted.get(value, named.name)
            result.append(replace(named, name=name))
        return result


def _gather(settings: EvaluateSettings, cases: list[CaseResult], catalogue: _Catalogue,
            not_scored: list[str]) -> Evaluation:
    """Every case gets every label; labels get their statistics."""
    labels = catalogue.resolved()
    if not labels:
        raise InputError(settings.reference, "no label occurs in any map", "Check that these are label maps.")
    if not any(metrics.status != ABSENT for case in cases for metrics in case.metrics):
        asked = ", ".join(f"{label.value} ({label.name})" for label in labels)
        raise InputError(settings.reference, f"none of the labels asked for occurs in any map: {asked}",
                         "Give the values that the maps have; `kaf data scan` lists them.")
    if strangers := [label for label in labels if label.value not in catalogue.in_references]:
        words = ", ".join(f"{label.value} ({label.name})" for label in strangers)
        catalogue.remark(f"No reference has the label {words}: check that both sides number them alike.")
    full = []
    for case in cases:
        known = {metrics.label: metrics for metrics in case.metrics}
        row = [known.get(label.value) or absent(label.value) for label in labels]
        if settings.ignore_missing:
            row = [not_contoured(metrics) for metrics in row]
        full.append(replace(case, metrics=tuple(row)))
    summaries = [_summary(label, [case.metrics[i] for case in full]) for i, label in enumerate(labels)]
    return Evaluation(settings, tuple(full), tuple(summaries), tuple(not_scored), tuple(catalogue.remarks),
                      time.strftime("%Y-%m-%d %H:%M:%S %z"))


def _summary(label: Label, column: list[LabelMetrics]) -> LabelSummary:
    counted = [metrics for metrics in column if metrics.status != NOT_CONTOURED]
    both = np.array([m.intersection_voxels for m in counted]).reshape(-1, 1)
    sums = np.array([m.prediction_voxels + m.reference_voxels for m in counted]).reshape(-1, 1)
    kinds = (SCORED, MISSED, SPURIOUS, ABSENT, NOT_CONTOURED)
    present = [metrics for metrics in counted if metrics.status != ABSENT]
    return LabelSummary(
        label, {kind: sum(metrics.status == kind for metrics in column) for kind in kinds},
        {name: statistic(getattr(metrics, name) for metrics in present) for name in MEASURES},
        float(pooled_dice(both, sums)[0]),
    )


@contextmanager
def _output_folder(settings: EvaluateSettings) -> Iterator[Path]:
    """The folder for the results; an evaluation that is refused does not leave an empty one behind."""
    output = Path(settings.output)
    made = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"this folder cannot be created ({error.strerror})"
        raise OutputError(output, reason, "Choose another folder.") from error
    try:
        row = [CARD_ROW] if settings.card_row else []
        check_tables([output / name for name in (TABLE, NUMBERS, REPORT, *row)], settings.overwrite)
        yield output
    except KafError:
        if made:
            with suppress(OSError):  # another process is at work in it
                output.rmdir()
        raise


def _write(evaluation: Evaluation, output: Path, on_event: OnEvent) -> None:
    """All together; the numbers, which others read, come last."""
    from kaf.evaluation.page import evaluation_page

    row = {output / CARD_ROW: json.dumps(card_row(evaluation), indent=1, allow_nan=False) + "\n"} \
        if evaluation.settings.card_row else {}
    write_set({output / TABLE: to_csv(evaluation), output / REPORT: evaluation_page(evaluation, on_event), **row,
               output / NUMBERS: json.dumps(to_json(evaluation), indent=1, allow_nan=False)},
              evaluation.settings.overwrite)
