"""Who trains and who is tested in every fold of an experiment: drawn here, or read from a file of splits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaf.data.folder import Case
from kaf.data.pairing import some
from kaf.data.splits import Split, check_no_leak, few_shot, k_folds, sampled, shuffled_folds
from kaf.runtime import json_files
from kaf.runtime.errors import InputError, SettingsError
from kaf.settings.compare import CompareSettings

_FORMS = ('Write [{"train": [...], "val": [...]}, ...] as nnU-Net does, {"patients": [...], "few_shot_train": {"6": '
          '[...]}}, or {"folds": [{"train": [...], "test": [...], "few_shot": {"6": [[...], [...]]}}]}.')


@dataclass(frozen=True)
class Fold:
    """split: training and test patients; held: those of the run folds while other folds are used for tuning, who are
    neither; drawn: number of labelled patients -> who they are, draw by draw, where a file of splits says so."""

    split: Split
    held: tuple[str, ...] = ()
    drawn: Mapping[int, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    rule: str = "kaf"

    def labelled(self, count: int, draw: int) -> tuple[str, ...]:
        """The patients who keep their labels."""
        if count in self.drawn:
            return self.drawn[count][draw]
        return tuple((sampled if self.rule == "kfold" else few_shot)(self.split.train, count, draw))


@dataclass(frozen=True)
class Folds:
    """chosen: number -> fold, of the folds that are to be run; record: what is kept of all of them with the results."""

    chosen: dict[int, Fold]
    record: list[Split]


def make_folds(cases: Sequence[Case], elsewhere: Sequence[Case], settings: CompareSettings) -> Folds:
    """The folds of an experiment, the same on every machine.

    cases: of the data folder; elsewhere: of the folder of test patients, if there is one.

    Raises:
        InputError: too few patients, a file of splits that cannot be used, a patient on both sides.
        SettingsError: a fold that does not exist, or that is both run and tuned on.
    """
    patients = sorted({case.patient for case in cases})
    if not patients:
        raise InputError(settings.data, "contains no labelled case", "See `kaf data scan` for what was found.")
    folds = _all_folds(cases, elsewhere, patients, settings)
    check_exists(settings.run_folds, len(folds), "run_folds")
    chosen = _tuning(folds, settings) if settings.tune else {index: folds[index] for index in settings.run_folds}
    for fold in chosen.values():
        _check_draws(fold, settings)
        check_no_leak(fold.split, settings.splits or settings.data)
    return Folds(chosen, [fold.split for fold in (chosen.values() if settings.tune else folds)])


def check_exists(wanted: Sequence[int], count: int, name: str) -> None:
    """SettingsError where a fold is named that does not exist."""
    wrong = [fold for fold in wanted if not 0 <= fold < count]
    if wrong:
        there = f"there are folds 0 to {count - 1}" if count > 1 else "there is fold 0 only"
        raise SettingsError(name, f"fold {wrong[0]} does not exist; {there}", "See `kaf compare --help`.")


def _all_folds(cases: Sequence[Case], elsewhere: Sequence[Case], patients: Sequence[str], settings: CompareSettings
               ) -> list[Fold]:
    apart = sorted({case.patient for case in elsewhere})
    if settings.splits:
        return _from_file(Path(settings.splits), [*cases, *elsewhere], patients, apart, settings.seed)
    if settings.test:
        split = Split(tuple(patients), (), tuple(apart), settings.seed, "test patients of another folder")
        return [Fold(split, rule=settings.fold_rule)]
    drawn = (shuffled_folds if settings.fold_rule == "kfold" else k_folds)(patients, settings.folds, settings.seed)
    return [Fold(Split(tuple(train), (), tuple(test), settings.seed, f"fold {index} of {settings.folds}"),
                 rule=settings.fold_rule) for index, (train, test) in enumerate(drawn)]


def _tuning(folds: Sequence[Fold], settings: CompareSettings) -> dict[int, Fold]:
    """The folds to tune on: cut from the training patients of the run folds, whose test patients stay unopened."""
    if both := sorted(set(settings.tune) & set(settings.run_folds)) if len(folds) > 1 else []:
        raise SettingsError("tune", f"fold {both[0]} is a run fold, whose patients are the test", "Tune on others.")
    held = tuple(sorted({patient for index in settings.run_folds for patient in folds[index].split.test}))
    if len(folds) == 1:
        inner = k_folds(folds[0].split.train, settings.folds, settings.seed)
        folds = [Fold(Split(tuple(train), (), tuple(test), settings.seed)) for train, test in inner]
    check_exists(settings.tune, len(folds), "tune")
    made = {}
    for index in settings.tune:
        split = folds[index].split
        train, test = (tuple(p for p in part if p not in held) for part in (split.train, split.test))
        note = f"tuning on fold {index}; held out: the test patients of fold {', '.join(map(str, settings.run_folds))}"
        made[index] = Fold(Split(train, (), test, settings.seed, note), held, rule=settings.fold_rule)
    return made


def _check_draws(fold: Fold, settings: CompareSettings) -> None:
    for count in settings.few_shot:
        if fold.drawn and count not in fold.drawn:
            known = ", ".join(map(str, sorted(fold.drawn)))
            raise InputError(settings.splits, f"does not say who are the {count} labelled patients",
                             f"Choose few_shot among {known}.")
        if len(fold.drawn.get(count, ())) < settings.draws and fold.drawn:
            raise InputError(settings.splits, f"has {len(fold.drawn[count])} draws of {count} labelled patients, fewer "
                             f"than {settings.draws}", f"Use --draws {len(fold.drawn[count])}.")
        if not fold.drawn and count > len(fold.split.train):
            raise InputError(settings.data, f"has {len(fold.split.train)} patients to train on, fewer than {count}",
                             "Ask for fewer labelled patients, or more folds.")


def _from_file(path: Path, cases: Sequence[Case], patients: Sequence[str], apart: Sequence[str], seed: int
               ) -> list[Fold]:
    content = json_files.read_given(path, InputError)
    entries = content.get("folds", [content]) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(path, "contains no splits", _FORMS)
    names = _Names(path, cases)
    return [_fold(path, entry, names, patients, apart, Split((), (), (), seed, f"fold {index} of {path.name}"))
            for index, entry in enumerate(entries)]


def _fold(path: Path, entry: dict[str, Any], names: _Names, patients: Sequence[str], apart: Sequence[str],
          empty: Split) -> Fold:
    train = names.patients(entry.get("train", entry.get("patients")))
    named = next((entry[key] for key in ("test", "val", "validation") if key in entry), None)
    test = names.patients(named) if named is not None else tuple(apart) or tuple(
        patient for patient in patients if patient not in train)
    if not train or not test:
        raise InputError(path, f"names no {'test' if train else 'training'} patients", "Name them, or give the folder "
                         f"of the test patients (--test). {_FORMS}")
    drawn = dict[int, tuple[tuple[str, ...], ...]]()
    given = entry.get("few_shot", entry.get("few_shot_train", {}))
    if not isinstance(given, dict) or not all(str(key).isdecimal() for key in given):
        raise InputError(path, "its few-shot patients are no object of number -> patients", _FORMS)
    for count, found in given.items():
        several = found if isinstance(found, list) and found and isinstance(found[0], list) else [found]
        drawn[int(count)] = tuple(names.patients(draw) for draw in several)
        for draw in drawn[int(count)]:
            if len(draw) != int(count) or set(draw) - set(train):
                raise InputError(path, f"its {count} labelled patients are {len(draw)}, or not all training patients",
                                 "Name as many different patients, all of the training part.")
    return Fold(Split(train, (), test, empty.seed, empty.note), (), drawn)


class _Names:
    """The patients that the entries of a file of splits mean: a patient, a case of theirs, or their number."""

    def __init__(self, path: Path, cases: Sequence[Case]):
        self._path = path
        self._known = {case.name: case.patient for case in cases} | {case.patient: case.patient for case in cases}
        self._numbers: dict[int, set[str]] = {}
        for case in cases:
            for digits in re.findall(r"\d+", case.patient)[-1:]:
                self._numbers.setdefault(int(digits), set()).add(case.patient)

    def patients(self, entries: Any) -> tuple[str, ...]:
        """Every patient once, in the order of the file."""
        if not isinstance(entries, list):
            raise InputError(self._path, "has a split that is no list of patients", _FORMS)
        found, missing = dict[str, None](), list[str]()
        for entry in entries:
            patient = self._patient(entry)
            if patient is None:
                missing.append(str(entry))
            else:
                found[patient] = None
        if missing:
            raise InputError(self._path, f"names {len(missing)} patients or cases without a labelled scan: "
                             f"{some(missing)}", "Give the folder that the splits were made for (and --test for test "
                             "patients elsewhere); `kaf data scan` lists the names.")
        return tuple(found)

    def _patient(self, entry: Any) -> str | None:
        if isinstance(entry, str) and entry in self._known:
            return self._known[entry]
        if isinstance(entry, bool) or not str(entry).isdecimal():
            return None
        having = self._numbers.get(int(entry), set())
        return next(iter(having)) if len(having) == 1 else None
