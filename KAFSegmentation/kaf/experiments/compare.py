"""``kaf compare``: a few-shot experiment, arm by arm, on the same patients; every cell is kept and never made twice.

Several processes may run the same command at once: each takes a cell that no other holds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kaf.cohort.tables import check_tables
from kaf.data.folder import Case, scan_folder
from kaf.data.splits import Split, few_shot, k_folds
from kaf.evaluation.comparison import Cell, as_csv, differences, rows
from kaf.evaluation.comparison_page import comparison_page
from kaf.evaluation.dice import overlap
from kaf.evaluation.metrics import case_metrics
from kaf.evaluation.results import plain_numbers
from kaf.experiments.arms import arm_of
from kaf.experiments.kept import check_data, check_recipe, records_of
from kaf.imaging.volume import read_labels
from kaf.runs.earlier import own_content
from kaf.runs.job_folder import read_json
from kaf.runtime import locks
from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.events import Message, OnEvent, Progress, Result, ignore
from kaf.runtime.file_set import write_set
from kaf.runtime.files import atomic_write
from kaf.runtime.message_codes import NETWORK
from kaf.settings.base import build
from kaf.settings.compare import CompareSettings
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain
from kaf.verbs.segment import segment

_RESULT, _FOLDS = "result.json", "folds.json"
_WAIT = 2.0  # seconds before looking again at what another process holds
_SHARED = ("device", "threads", "precision")
_OWN = ("spacing", "slicing_axis", "slice_context", "normalisation", "network", "keypoints", "patch")


@dataclass(frozen=True)
class _Plan:
    """One cell that is to be made."""

    arm: str
    few_shot: int
    draw: int
    fold: int

    @property
    def name(self) -> str:
        return f"m{self.few_shot}-draw{self.draw}-fold{self.fold}"


def compare(settings: CompareSettings, on_event: OnEvent = ignore) -> dict[str, Any]:
    """Run what is missing and report; returns the table, JSON-ready.

    Writes folds.json, one folder per pretraining and per cell, comparison.csv, comparison.json and comparison.html.

    Raises:
        InputError: too few patients, or a folder that cannot be read.
        SettingsError: a recipe that cannot be used.
        OutputError: the folder cannot be written, holds something else, or an experiment with other settings or on
            other files.
    """
    cases = scan_folder(settings.data).labelled
    folds = _folds(cases, settings)
    _check_folder(Path(settings.output), folds)
    plans = [_Plan(arm, m, draw, fold) for m in sorted(settings.few_shot, reverse=True)
             for draw in range(settings.draws) for fold in settings.run_folds for arm in settings.names]
    experiment = _Experiment(settings, cases, folds, on_event)
    try:
        experiment.check(plans)
    except OutputError as error:
        if not settings.only_report:
            raise
        on_event(Message(str(error), "warning"))
    experiment.begin()
    if not settings.only_report:
        experiment.run(plans)
    cells = list(_read(Path(settings.output), plans))
    return _report(settings, cells, len(plans), on_event)


def _folds(cases: Sequence[Case], settings: CompareSettings) -> list[Split]:
    """Training and test patients of every fold, the same on every machine."""
    patients = sorted({case.patient for case in cases})
    if not patients:
        raise InputError(settings.data, "contains no labelled case", "See `kaf data scan` for what was found.")
    splits = [Split(tuple(train), (), tuple(test), settings.seed, f"fold {index} of {settings.folds}")
              for index, (train, test) in enumerate(k_folds(patients, settings.folds, settings.seed))]
    smallest = min(len(split.train) for split in splits)
    if max(settings.few_shot) > smallest:
        raise InputError(settings.data, f"has {smallest} patients to train on, fewer than {max(settings.few_shot)}",
                         "Ask for fewer labelled patients, or more folds.")
    return splits


def _check_folder(output: Path, folds: Sequence[Split]) -> None:
    """Whether the experiment may be made, or gone on with, in this folder."""
    path = output / _FOLDS
    if path.is_file() and path.read_text() != _as_json(folds):
        raise InputError(path, "the experiment in this folder was made on other patients or folds",
                         "Choose another output folder, or the same data, folds and seed.")
    if not path.is_file() and output.is_dir() and own_content(output):
        raise OutputError(output, "contains other files", "Choose an empty or a new folder.")


def _as_json(folds: Sequence[Split]) -> str:
    return json.dumps([asdict(split) for split in folds], indent=1) + "\n"


class _Experiment:
    """Makes cells: pretrains an arm once per fold, fine-tunes and tests every cell."""

    def __init__(self, settings: CompareSettings, cases: Sequence[Case], folds: Sequence[Split], send: OnEvent):
        self._settings, self._cases, self._folds, self._send = settings, cases, folds, send
        self._output = Path(settings.output)
        self._common = {name: getattr(settings, name) for name in _SHARED}
        self._arms = {name: arm_of(name, settings) for name in settings.names}
        self._pool = scan_folder(settings.unlabelled or settings.data).cases  # to pretrain on
        self._patients = {case.patient for case in self._pool}

    def check(self, plans: Sequence[_Plan]) -> None:
        """Whether every network can be made as asked, and what is there already was made from these scans with these
        settings.  Writes nothing.

        Raises:
            InputError, SettingsError: one cannot be made.
            OutputError: what is there was made otherwise.
        """
        check_data(self._output, self._groups())
        for plan in plans:
            said = self._finetuning(plan)
            check_recipe(self._folder(plan) / "run", build(FinetuneSettings, said), said)
            if self._arms[plan.arm].pretrain is not None:
                said = self._pretraining(plan)
                check_recipe(Path(said["output"]), build(PretrainSettings, said), said)
            tested = read_json(self._folder(plan) / _RESULT)
            if tested.get("flips", self._settings.flips) != self._settings.flips:
                raise OutputError(self._folder(plan), "was tested with other settings (flips)",
                                  "Choose another output folder, or the earlier settings.")

    def begin(self) -> None:
        """Keep beside the results on which folds and files they are made: for the next one who looks at the folder."""
        records = {self._output / _FOLDS: _as_json(self._folds), **records_of(self._output, self._groups())}
        self._output.mkdir(parents=True, exist_ok=True)
        for path, text in records.items():  # the folds first: they make this the folder of an experiment
            atomic_write(path, text)

    def _groups(self) -> dict[str, Sequence[Case]]:
        return {"labelled": self._cases, "unlabelled": self._pool if self._settings.unlabelled else ()}

    def run(self, plans: Sequence[_Plan]) -> None:
        """All cells, in order; those that another process is making are looked at again until they are there."""
        left = list(plans)
        while left:
            before = len(left)
            for plan in list(left):
                if (self._folder(plan) / _RESULT).is_file() or self._try(plan):
                    left.remove(plan)
                    self._send(Progress("networks", len(plans) - len(left), len(plans)))
            if left and len(left) == before:
                time.sleep(_WAIT)

    def _folder(self, plan: _Plan) -> Path:
        return self._output / _file_name(plan.arm) / plan.name

    def _try(self, plan: _Plan) -> bool:
        """Make a cell; False when another process makes it, or the weights that it starts from."""
        folder = self._folder(plan)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with locks.hold(Path(f"{folder}.lock")):
                if not (folder / _RESULT).is_file():
                    self._make(plan, folder)
                return True
        except locks.BusyError:
            return False

    def _make(self, plan: _Plan, folder: Path) -> None:
        start = self._weights(plan)
        self._send(Message(f"{plan.arm}: {plan.few_shot} labelled patients, draw {plan.draw}, fold {plan.fold}",
                           code=NETWORK, data=asdict(plan)))
        run = folder / "run"
        model = finetune(build(FinetuneSettings, {
            **self._finetuning(plan), "init_from": str(start or ""),
            "resume": (run / "settings.json").is_file()}), self._quiet)
        result = {**asdict(plan), "flips": self._settings.flips, "cases": self._test(model, self._folds[plan.fold])}
        atomic_write(folder / _RESULT, json.dumps(plain_numbers(result), indent=1) + "\n")

    def _finetuning(self, plan: _Plan) -> dict[str, Any]:
        """The settings of a cell's training, but for the weights that it starts from."""
        arm, split = self._arms[plan.arm], self._folds[plan.fold]
        recipe = {**self._common, **self._settings.finetune, **arm.finetune}
        if arm.pretrain is not None:
            recipe = {name: value for name, value in recipe.items() if name not in _OWN or name == "patch"}
        return {**recipe, "data": self._settings.data, "output": str(self._folder(plan) / "run"), "seed": plan.draw,
                "cases": tuple(few_shot(split.train, plan.few_shot, plan.draw)), "leave_out": split.test}

    def _pretraining(self, plan: _Plan) -> dict[str, Any]:
        """The settings of the pretraining of an arm and fold; every image of test patients stays out unless
        transductive."""
        data = self._settings.unlabelled or self._settings.data
        tested = self._folds[plan.fold].test
        out = () if self._settings.transductive else tuple(p for p in tested if p in self._patients)
        run = self._output / _file_name(plan.arm.removesuffix("+unlabelled")) / f"pretraining-fold{plan.fold}"
        return {**self._common, **self._settings.pretrain, **(self._arms[plan.arm].pretrain or {}), "data": data,
                "output": str(run), "leave_out": out}

    def _weights(self, plan: _Plan) -> Path | None:
        """The pretrained weights of an arm and fold, if the arm starts from any."""
        if self._arms[plan.arm].pretrain is None:
            return None
        recipe = self._pretraining(plan)
        run = Path(recipe["output"])
        run.parent.mkdir(parents=True, exist_ok=True)
        with locks.hold(Path(f"{run}.lock")):
            model = run / "model.safetensors"
            if not model.is_file():
                self._send(Message(f"{plan.arm}: pretraining, fold {plan.fold}", code=NETWORK,
                                   data={"arm": plan.arm, "fold": plan.fold}))
                pretrain(build(PretrainSettings, {**recipe, "resume": (run / "settings.json").is_file()}), self._quiet)
        return model

    def _test(self, model: Path, split: Split) -> list[dict[str, Any]]:
        settings = SegmentSettings(model=str(model), flips=self._settings.flips, **self._common)
        cache: dict[Any, Any] = {}
        found = []
        for case in self._cases:
            if case.patient in set(split.test) and case.label is not None:
                result = segment(case.image, settings, cache=cache)
                reference = read_labels(case.label)
                values = sorted(result.card.label_names)
                inside, sizes = overlap(result.labels.voxels, reference.voxels, max(values) + 1)
                scores = case_metrics(result.labels.voxels, reference.voxels, reference.spacing[::-1], values, 2.0)
                chosen = [value - 1 for value in values]
                found.append({"case": case.name, "patient": case.patient, "hd95": [score.hd95 for score in scores],
                              "inside": inside[chosen].tolist(), "sizes": sizes[chosen].tolist()})
        return found

    def _quiet(self, event: object) -> None:
        """Of a single run only what is wrong is passed on; the rest is in its folder."""
        if isinstance(event, Message) and event.level != "info":
            self._send(event)


def _file_name(arm: str) -> str:
    return "".join(c if c.isalnum() or c in "+-._" else "_" for c in arm)


def _read(output: Path, plans: Sequence[_Plan]) -> Iterator[Cell]:
    for plan in plans:
        path = output / _file_name(plan.arm) / plan.name / _RESULT
        if path.is_file():
            yield Cell(plan.arm, plan.few_shot, plan.draw, plan.fold, tuple(json.loads(path.read_text())["cases"]))


def _report(settings: CompareSettings, cells: Sequence[Cell], planned: int, send: OnEvent) -> dict[str, Any]:
    output, arms = Path(settings.output), settings.names
    baseline = settings.baseline or arms[0]
    pool = "with" if settings.transductive else "without"
    facts = [f"{len(cells)} of {planned} networks", f"folds {', '.join(map(str, settings.run_folds))} of "
             f"{settings.folds}, by patient", f"{settings.draws} draws",
             f"{'transductive' if settings.transductive else 'inductive'}: pretrained {pool} images of test patients",
             f"data: {Path(settings.data).name}"]
    table = {"facts": facts, "networks": len(cells), "planned": planned, "baseline": baseline,
             "settings": settings.model_dump(mode="json"),
             "rows": [asdict(row) for row in rows(cells, arms)],
             "differences": [asdict(d) for d in differences(cells, arms, baseline)]}
    table = plain_numbers(table)
    files = {output / "comparison.csv": as_csv(cells),
             output / "comparison.html": comparison_page(cells, arms, baseline, facts, planned),
             output / "comparison.json": json.dumps(table, indent=1) + "\n"}
    check_tables(files, overwrite=True)
    write_set(files, overwrite=True)
    send(Result({"report": str(output / "comparison.html"), "networks": len(cells), "planned": planned}))
    return dict(table)
