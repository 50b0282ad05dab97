"""``kaf compare``: a few-shot experiment, arm by arm, on the same patients; every cell is kept and never made twice.

Several processes may run the same command at once: each takes a cell that no other holds.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from kaf.data.annotation import check_same_names, scan_labelled
from kaf.data.folder import Case, scan_folder
from kaf.data.labels import read_drawn
from kaf.data.scan import read_scan
from kaf.data.splits import Split
from kaf.evaluation.dice import overlap
from kaf.evaluation.metrics import case_metrics
from kaf.evaluation.results import plain_numbers
from kaf.experiments.arms import COMMON, arm_of, check_used, pretraining_of, shared_recipes
from kaf.experiments.cells import RESULT, CellPlan, PretrainingPlan, file_name, planned_cells, planned_pretrainings
from kaf.experiments.folds import Fold, Folds, make_folds
from kaf.experiments.kept import check_data, check_recipe, records_of
from kaf.experiments.leaks import Recognised, said
from kaf.experiments.report import Facts, write_report
from kaf.runs.earlier import own_content
from kaf.runs.job_folder import read_json
from kaf.runtime import locks
from kaf.runtime.errors import InputError, OutputError, SettingsError
from kaf.runtime.events import Message, OnEvent, Progress, ignore
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

_FOLDS = "folds.json"
_WAIT = 2.0  # seconds before looking again at what another process holds
_SHARED = ("device", "threads", "precision")
_RUNS_APART = 1000  # seeds of fine-tuning: more than there are draws


def compare(settings: CompareSettings, on_event: OnEvent = ignore) -> dict[str, Any]:
    """Run what is missing and report; returns the table, JSON-ready.

    Writes folds.json, one folder per pretraining and per cell, comparison.csv, comparison.json, comparison.html and
    cells.json, from which every figure of the others follows.

    Raises:
        InputError: too few patients, a folder or a file of splits that cannot be read, or the same scan on both sides.
        SettingsError: a recipe that cannot be used, or a setting that no network would get.
        OutputError: the folder cannot be written, holds something else, or an experiment with other settings or on
            other files.
    """
    dataset = scan_labelled(settings.data, on_event=on_event)
    cases, elsewhere = dataset.labelled, tuple[Case, ...]()
    if settings.test:
        apart = scan_labelled(settings.test, on_event=on_event)
        check_same_names(dataset, apart)
        elsewhere = tuple(case for case in apart.every if case.label is not None)
    folds = make_folds(cases, elsewhere, settings)
    _check_folder(Path(settings.output), folds.record)
    experiment = _Experiment(settings, cases, elsewhere, folds, on_event)
    plans = planned_cells(settings)
    try:
        experiment.check(plans)
    except OutputError as error:
        if not settings.only_report:
            raise
        on_event(Message(str(error), "warning"))
    facts = experiment.look_for_leaks()
    experiment.begin()
    if settings.task is not None:
        experiment.run_task(settings.task, plans)
    elif not settings.only_report:
        experiment.run(plans)
    return write_report(settings, plans, facts, on_event)


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

    def __init__(self, settings: CompareSettings, cases: Sequence[Case], elsewhere: Sequence[Case], folds: Folds,
                 send: OnEvent):
        self._settings, self._send, self._record = settings, send, folds.record
        self._folds: Mapping[int, Fold] = folds.chosen
        self._cases, self._elsewhere = cases, elsewhere
        self._output = Path(settings.output)
        self._common = {name: getattr(settings, name) for name in _SHARED}
        self._pretrain, self._finetune = shared_recipes(settings)
        self._arms = {name: arm_of(name, settings) for name in settings.names}
        check_used(settings, self._arms)
        self._pool = scan_folder(settings.unlabelled or settings.data).cases  # to pretrain on
        self._patients = {case.patient for case in self._pool}
        self._copies: dict[int, tuple[str, ...]] = {}  # of test patients in the pool, under other names

    def look_for_leaks(self) -> Facts:
        """Leave out of the pool whoever is a test patient under another name; what the report says of the pool.

        Raises:
            InputError: the scan of a test patient is also that of a training patient.
        """
        scans = Recognised([*self._cases, *self._elsewhere], self._pool)
        names, copies = set[str](), dict[str, str]()
        for index, fold in self._folds.items():
            out = (*fold.split.test, *fold.held)
            scans.check_sides(fold.split.train, out)
            found = {there: tested for there, tested in scans.in_pool(out).items() if there not in out}
            self._copies[index] = tuple(sorted(found))
            names |= self._patients & set(out)
            copies |= found
        if self._settings.transductive:
            return Facts(True, True, {})
        if copies:
            self._send(Message("Left out of the pool, because their images are those of test patients: "
                               f"{said(copies)}.", "warning"))
        if not (names or copies) and self._settings.unlabelled and self._learns_from_pool():
            self._send(Message(f"No test patient was recognised in {self._settings.unlabelled}, by name or by voxels. "
                               "If their scans are in it in another form, they are learned from.", "warning"))
        return Facts(False, bool(names or copies) or not self._settings.unlabelled, copies)

    def _learns_from_pool(self) -> bool:
        return any(arm.pretrain is not None or arm.finetune.get("unlabelled") for arm in self._arms.values())

    def check(self, plans: Sequence[CellPlan]) -> None:
        """Whether every network can be made as asked, and what is there already was made from these scans with these
        settings.  Writes nothing.

        Raises:
            InputError, SettingsError: one cannot be made.
            OutputError: what is there was made otherwise.
        """
        check_data(self._output, self._groups())
        for plan in plans:
            given = self._finetuning(plan)
            check_recipe(self._folder(plan) / "run", build(FinetuneSettings, given), given)
            if self._arms[plan.arm].pretrain is not None:
                given = self._pretraining(plan.pretraining)
                check_recipe(Path(given["output"]), build(PretrainSettings, given), given)
            tested = read_json(self._folder(plan) / RESULT)
            if tested.get("flips", self._settings.flips) != self._settings.flips:
                raise OutputError(self._folder(plan), "was tested with other settings (flips)",
                                  "Choose another output folder, or the earlier settings.")

    def begin(self) -> None:
        """Keep beside the results on which folds and files they are made: for the next one who looks at the folder."""
        records = {self._output / _FOLDS: _as_json(self._record), **records_of(self._output, self._groups())}
        self._output.mkdir(parents=True, exist_ok=True)
        for path, text in records.items():  # the folds first: they make this the folder of an experiment
            atomic_write(path, text)

    def _groups(self) -> dict[str, Sequence[Case]]:
        groups = {"labelled": self._cases, "unlabelled": self._pool if self._settings.unlabelled else ()}
        return {**groups, "test": self._elsewhere} if self._elsewhere else groups

    def run(self, plans: Sequence[CellPlan]) -> None:
        """All cells, in order; those that another process is making are looked at again until they are there."""
        left = list(plans)
        while left:
            before = len(left)
            for plan in list(left):
                if (self._folder(plan) / RESULT).is_file() or self._try(plan):
                    left.remove(plan)
                    self._send(Progress("networks", len(plans) - len(left), len(plans)))
            if left and len(left) == before:
                time.sleep(_WAIT)

    def run_task(self, number: int, plans: Sequence[CellPlan]) -> None:
        """One pretraining or one cell.

        Raises:
            SettingsError: there are not so many.
        """
        first = planned_pretrainings(self._settings, self._arms)
        if number >= len(first) + len(plans):
            raise SettingsError("task", f"there is no part {number}: there are {len(first)} pretrainings and "
                                f"{len(plans)} networks", f"Choose 0 to {len(first) + len(plans) - 1}.")
        if number >= len(first):
            self.run([plans[number - len(first)]])
            return
        while True:
            try:
                self._weights(first[number])
                return
            except locks.BusyError:
                time.sleep(_WAIT)

    def _folder(self, plan: CellPlan) -> Path:
        return self._output / file_name(plan.arm) / plan.name

    def _try(self, plan: CellPlan) -> bool:
        """Make a cell; False when another process makes it, or the weights that it starts from."""
        folder = self._folder(plan)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with locks.hold(Path(f"{folder}.lock")):
                if not (folder / RESULT).is_file():
                    self._make(plan, folder)
                return True
        except locks.BusyError:
            return False

    def _make(self, plan: CellPlan, folder: Path) -> None:
        start = self._weights(plan.pretraining) if self._arms[plan.arm].pretrain is not None else None
        self._send(Message(f"{plan.arm}: {plan.few_shot} labelled patients, draw {plan.draw}, fold {plan.fold}, seed "
                           f"{plan.seed}", code=NETWORK, data=asdict(plan)))
        run = folder / "run"
        model = finetune(build(FinetuneSettings, {
            **self._finetuning(plan), "init_from": str(start or ""),
            "resume": (run / "settings.json").is_file()}), self._quiet)
        tested = self._folds[plan.fold].split
        result = {**asdict(plan), "flips": self._settings.flips, "cases": self._test(model, tested)}
        if self._settings.best:
            result["best"] = self._test(run / "best.safetensors", tested)
        atomic_write(folder / RESULT, json.dumps(plain_numbers(result), indent=1) + "\n")

    def _finetuning(self, plan: CellPlan) -> dict[str, Any]:
        """The settings of a cell's training, but for the weights that it starts from."""
        arm, fold = self._arms[plan.arm], self._folds[plan.fold]
        recipe = {"validation": 0.0, **self._common, **self._finetune, **arm.finetune}
        if arm.pretrain is not None:  # these come from the weights
            recipe = {name: value for name, value in recipe.items() if name not in COMMON}
        given = {**recipe, "data": self._settings.data, "output": str(self._folder(plan) / "run"),
                 "seed": plan.draw + _RUNS_APART * plan.seed, "cases": fold.labelled(plan.few_shot, plan.draw),
                 "leave_out": (*fold.split.test, *fold.held, *self._copies.get(plan.fold, ()))}
        return {**given, **self._best(fold, given)} if self._settings.best else given

    def _best(self, fold: Fold, given: Mapping[str, Any]) -> dict[str, Any]:
        """What makes a training validate on the test patients, as published tables do."""
        if self._elsewhere and not self._settings.tune:
            return {"keep_best": True, "validation_data": self._settings.test}
        test = fold.split.test
        return {"keep_best": True, "cases": (*given["cases"], *test), "validation_cases": test,
                "leave_out": tuple(name for name in given["leave_out"] if name not in test)}

    def _pretraining(self, plan: PretrainingPlan) -> dict[str, Any]:
        """The settings of the pretraining of an arm, fold and seed; every image of test patients stays out unless
        transductive."""
        data, fold = self._settings.unlabelled or self._settings.data, self._folds[plan.fold]
        tested = (*fold.split.test, *fold.held, *self._copies.get(plan.fold, ()))
        out = () if self._settings.transductive else tuple(p for p in tested if p in self._patients)
        recipe = {**self._common, **pretraining_of(self._arms[plan.arm], self._pretrain), "data": data,
                  "output": str(self._output / file_name(plan.folder) / plan.name), "leave_out": out}
        return {**recipe, "seed": int(recipe.get("seed", 0)) + plan.seed} if plan.seed else recipe

    def _weights(self, plan: PretrainingPlan) -> Path:
        """The pretrained weights; BusyError while another process makes them."""
        recipe = self._pretraining(plan)
        run = Path(recipe["output"])
        run.parent.mkdir(parents=True, exist_ok=True)
        with locks.hold(Path(f"{run}.lock")):
            model = run / "model.safetensors"
            if not model.is_file():
                self._send(Message(f"{plan.arm}: pretraining, fold {plan.fold}, seed {plan.seed}", code=NETWORK,
                                   data={"arm": plan.arm, "fold": plan.fold, "seed": plan.seed}))
                resume = (run / "settings.json").is_file()
                pretrain(build(PretrainSettings, {**recipe, "resume": resume}), self._quiet)
        return model

    def _test(self, model: Path, split: Split) -> list[dict[str, Any]]:
        settings = SegmentSettings(model=str(model), flips=self._settings.flips, batch=self._settings.batch,
                                   **self._common)
        cache: dict[Any, Any] = {}
        found = []
        for case in (*self._cases, *self._elsewhere):
            if case.patient in set(split.test) and case.label is not None:
                result = segment(read_scan(case) if case.channels else case.image, settings, cache=cache)
                reference, ignored = read_drawn(case)
                assert reference is not None
                values = sorted(result.card.label_names)
                predicted = result.labels.voxels if ignored is None else np.where(ignored, 0, result.labels.voxels)
                inside, sizes = overlap(predicted, reference.voxels, max(values) + 1)
                scores = case_metrics(predicted, reference.voxels, reference.spacing[::-1], values, 2.0)
                known = [case.annotated is None or value in case.annotated for value in values]
                chosen = [value - 1 for value in values]
                found.append({"case": case.name, "patient": case.patient,
                              "hd95": [score.hd95 if drawn else math.nan for score, drawn in
                                       zip(scores, known, strict=True)],
                              "inside": np.where(known, inside[chosen], 0).tolist(),
                              "sizes": np.where(known, sizes[chosen], 0).tolist()})
        return found

    def _quiet(self, event: object) -> None:
        """Of a single run only what is wrong is passed on; the rest is in its folder."""
        if isinstance(event, Message) and event.level != "info":
            self._send(event)
