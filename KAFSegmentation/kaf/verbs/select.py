"""Which cases to label first: those that stand for all, or, once there is a model, those it is least sure of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from kaf.cohort.tables import check_tables
from kaf.data.cache import CachedCase, SliceSettings, load_case
from kaf.data.cache_folder import open_cache, prune_cache
from kaf.data.folder import Case, scan_folder
from kaf.evaluation.results import plain_numbers
from kaf.imaging.volume import read_volume
from kaf.inference.loaded_model import LoadedModel, load_for_inference
from kaf.memory.propose import proposed_slices
from kaf.runtime.errors import InputError, OutputError, SettingsError
from kaf.runtime.events import Message, OnEvent, Result, Ticker, ignore
from kaf.runtime.file_set import write_set
from kaf.runtime.files import write_problem
from kaf.runtime.plain_text import csv_table
from kaf.selection.choices import Choice, by_coverage, by_uncertainty
from kaf.selection.embedding import doubt, embed
from kaf.settings.base import build
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.select import SelectSettings

TABLE, NUMBERS = "selection.csv", "selection.json"
_SAID = 5  # so many scans that are left out are reported one by one
T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """The choices, best first; by what; how many patients there were to choose from; scans that were left out; and the
    slices to draw in the scan of each choice, as it is stored, where these were asked for."""

    choices: tuple[Choice, ...]
    by: str
    candidates: int
    labelled: tuple[str, ...]
    left_out: tuple[str, ...]
    model: str
    digest: str
    slices: tuple[tuple[int, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        values = dict(plain_numbers(asdict(self)))
        return values if self.slices else {name: value for name, value in values.items() if name != "slices"}


def select(settings: SelectSettings, on_event: OnEvent = ignore) -> Selection:
    """Order the unlabelled patients of a folder by what there is to learn from them; writes a table and the numbers.

    Raises:
        InputError: nothing to choose from, or names that are not there.
        ModelError: the model is not there or unsound.
        SettingsError: a choice that the model does not allow.
        OutputError: the folder cannot be written, or holds a selection and ``overwrite`` is not set.
    """
    output = _prepare_output(settings)
    ready = load_for_inference(settings, settings.model)
    by = _checked(settings, ready)
    done, free = _candidates(settings)
    wanted = [*done, *free] if by == "coverage" else free
    if by == "coverage":
        found, left_out = _each(wanted, ready, settings, on_event, lambda case: embed(ready, case, settings.batch))
        choices = by_coverage(found, {case.patient for case in done}, settings.count)
    else:
        predictor = ready.predictor(settings, on_event=on_event)
        doubts, left_out = _each(wanted, ready, settings, on_event, lambda case: doubt(ready, case, predictor))
        choices = by_uncertainty(doubts, ready.card.label_names, settings.count)
    slices = tuple(proposed_slices(read_volume(choice.image), ready, settings, settings.slices)
                   for choice in choices) if settings.slices else ()
    selection = Selection(tuple(choices), by, len({case.patient for case in free}),
                          tuple(sorted({case.patient for case in done})), tuple(left_out), ready.card.name,
                          ready.card.digest, slices)
    if not choices:
        raise InputError(settings.data, f"none of its unlabelled scans can be used; {left_out[0]}",
                         "Fix or replace it.")
    words = {"settings": settings.model_dump(), **selection.to_dict()}
    texts = {output / TABLE: _csv(choices, slices), output / NUMBERS: json.dumps(words, indent=1) + "\n"}
    write_set(texts, settings.overwrite)
    on_event(Result({**selection.to_dict(), "table": str(output / TABLE)}))
    return selection


def _checked(settings: SelectSettings, ready: LoadedModel) -> str:
    segments = bool(ready.card.labels)
    if settings.by == "uncertainty" and not segments:
        raise SettingsError("by", f"uncertainty needs a model that segments, and {ready.card.name} is pretrained "
                            "weights", "Use --by coverage, or fine-tune first.")
    return ("uncertainty" if segments else "coverage") if settings.by == "auto" else settings.by


def _candidates(settings: SelectSettings) -> tuple[list[Case], list[Case]]:
    """Scans of patients who are labelled already, and those to choose from."""
    dataset = scan_folder(settings.data)
    known = {name for case in dataset.every for name in (case.name, case.patient)}
    named = {*settings.labelled, *settings.leave_out}
    if unknown := sorted(named - known):
        raise InputError(settings.data, f"has no case or patient {', '.join(unknown[:_SAID])}",
                         "See `kaf data scan` for the names of cases and patients.")
    out = {case.patient for case in dataset.cases if {case.name, case.patient} & set(settings.leave_out)}
    cases = [case for case in dataset.cases if case.patient not in out]
    done = {case.patient for case in cases if {case.name, case.patient} & set(settings.labelled)
            or (case.label is not None and not settings.ignore_labels)}
    free = [case for case in cases if case.patient not in done]
    if not free:
        raise InputError(settings.data, "contains no patient who is neither labelled nor left out",
                         "Add scans, or choose among all with --ignore-labels.")
    return [case for case in cases if case.patient in done], free


def _each(cases: Sequence[Case], ready: LoadedModel, settings: SelectSettings, send: OnEvent,
          look: Callable[[CachedCase], T]) -> tuple[list[tuple[Case, T]], list[str]]:
    """What ``look`` sees in each scan, and sentences about those that cannot be used.

    Raises:
        InputError: none can be used.
    """
    card = ready.card
    wanted = SliceSettings(card.spacing, card.slicing_axis, build(NormalisationSettings, card.normalisation, card.name),
                           build(KeypointSettings, card.keypoints, card.name))
    folder = open_cache(settings.cache)
    ticker = Ticker(send, "looking at scans", len(cases))
    found, problems, used = list[tuple[Case, T]](), list[InputError](), list[Path | None]()
    for index, case in enumerate(cases):
        try:
            prepared = load_case(case.unlabelled.one_channel, wanted, folder)
            used.append(prepared.entry)
            with torch.inference_mode():
                found.append((case, look(prepared)))
        except InputError as error:
            problems.append(error)
        ticker.update(index + 1)
    prune_cache(folder, settings.cache_limit, used, send)
    if not found:
        raise problems[0]
    for problem in problems[:_SAID]:
        send(Message(f"Left out: {problem}", "warning"))
    if len(problems) > _SAID:
        send(Message(f"{len(problems)} of {len(cases)} scans were left out in all; {NUMBERS} lists them.", "warning"))
    return found, [str(problem) for problem in problems]


def _prepare_output(settings: SelectSettings) -> Path:
    output = Path(settings.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(output, *write_problem(error)) from error
    check_tables([output / name for name in (TABLE, NUMBERS)], settings.overwrite)
    return output


def _csv(choices: Sequence[Choice], slices: Sequence[Sequence[int]]) -> str:
    """One line per patient; with a column of slices where these were asked for."""
    more = ("slices",) if slices else ()
    rows: list[Sequence[object]] = [("rank", "patient", "case", "score", "reason", "other scans", "image", *more)]
    for index, choice in enumerate(choices):
        score = "" if choice.score is None else f"{choice.score:.4f}"
        drawn = (" ".join(map(str, slices[index])),) if slices else ()
        rows.append((choice.rank, choice.patient, choice.case, score, choice.reason, " ".join(choice.others),
                     choice.image, *drawn))
    return csv_table(rows)
