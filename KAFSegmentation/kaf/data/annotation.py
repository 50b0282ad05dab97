"""What the label maps of a folder mean: values that KAF cannot use as they are, and structures that were not drawn in
every case (partial labels)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kaf.data.case import IGNORE, Case
from kaf.data.dataset import Dataset
from kaf.data.folder import scan_folder
from kaf.data.labels import read_case_labels
from kaf.data.pairing import count, some
from kaf.imaging.volume import read_whole_numbers
from kaf.runtime.errors import InputError
from kaf.runtime.events import OnEvent, Ticker, ignore

TABLE = "labelled.csv"
_MOST = IGNORE - 1
_MISSING = "missing"


def scan_labelled(folder: str | Path, partial: str = "auto", on_event: OnEvent = ignore) -> Dataset:
    """:func:`kaf.data.folder.scan_folder`, and what its label maps mean (:func:`settle`)."""
    return settle(scan_folder(folder), partial, on_event)


def settle(dataset: Dataset, partial: str = "auto", on_event: OnEvent = ignore) -> Dataset:
    """The dataset with values that KAF can use, and with the structures that were drawn in each case.

    Label maps with values above 255 get 1, 2, ... in their place, and masks of 0 and 255 get 1, the same in all cases;
    for this those that are stored with more than 8 bits are read.

    Args:
        partial: which structures were drawn in which case.  "none": all in all; "missing": those that the label map of
            the case holds; a path: as the table there says (columns case and structures); "auto": as dataset.json
            (``kaf_partial``) or a table labelled.csv in the folder says, else all in all.

    Raises:
        InputError: the table cannot be used.
    """
    dataset = _with_usable_values(dataset, on_event)
    drawn, problems = _drawn(dataset, partial, on_event)
    if drawn is None:
        return replace(dataset, problems=(*dataset.problems, *problems))
    return replace(_each(dataset, lambda case: replace(case, annotated=drawn.get(case.name))),
                   problems=(*dataset.problems, *problems))


def check_same_names(one: Dataset, other: Dataset) -> None:
    """Whether the values of two folders mean the same, as far as both name them.

    Raises:
        InputError: a value has one name in ``one`` and another in ``other``.
    """
    apart = [(value, name, one.label_names[value]) for value, name in other.label_names.items()
             if value in one.label_names and one.label_names[value].casefold() != name.casefold()]
    if apart:
        value, there, here = apart[0]
        raise InputError(other.root, f"its value {value} is '{there}', which is '{here}' in {one.root}",
                         "Give both folders a dataset.json with the same names and values (labels: {name: value}).")


def _each(dataset: Dataset, change: Callable[[Case], Case]) -> Dataset:
    """The dataset with every labelled case changed."""
    cases, test = (tuple(change(case) if case.label is not None else case for case in part)
                   for part in (dataset.cases, dataset.test))
    return replace(dataset, cases=cases, test=test)


# ---------------------------------------------------------------- values


def _with_usable_values(dataset: Dataset, on_event: OnEvent) -> Dataset:
    maps = [case for case in dataset.every if case.label is not None and not case.masks]
    names = dataset.label_names
    found = _values(maps, 255 not in names, on_event) - {case.ignore for case in maps} - {0}
    if not found or min(found) < 0:
        return dataset
    if max(found) > 255:
        order = sorted(found | set(names))
    elif found == {255} and 255 not in names:
        order = [255]
    else:
        return dataset
    if len(order) > _MOST:
        words = f"the label maps have {len(order)} different values above 0, and KAF can use {_MOST}"
        return replace(dataset, problems=(*dataset.problems, f"{words}. Keep the structures that you need"))
    used = {value: number for number, value in enumerate(order, 1)}
    named = {number: names.get(value, "" if value == 255 else f"label {value}") for value, number in used.items()}
    words = ", ".join(f"{value} as {number}" for value, number in list(used.items())[:8])
    more = ", ..." if len(used) > 8 else ""
    values = tuple(used.items())
    changed = _each(dataset, lambda case: case if case.masks else replace(case, values=values))
    return replace(changed, label_names={number: name for number, name in named.items() if name},
                   problems=(*dataset.problems, f"label values are used under other numbers: {words}{more}"))


def _values(cases: Sequence[Case], look_for_255: bool, on_event: OnEvent) -> set[int]:
    """The values of label maps as far as they have to be known: all of those that are stored with more than 8 bits; of
    the others as many as show whether there is any value but 0 and 255."""
    found: set[int] = set()
    files = [case.label for case in cases if case.label is not None]
    wide = {path for path in files if _is_wide(path)}
    for path in files:
        if path not in wide and look_for_255 and found <= {0, 255, *(case.ignore for case in cases)}:
            found |= _held(path)
    if wide:
        ticker = Ticker(on_event, "looking at label values", len(wide))
        for done, path in enumerate(sorted(wide), 1):
            found |= _held(path)
            ticker.update(done)
    return found


def _held(path: Path) -> set[int]:
    """The values of a label map; none of one that cannot be read, of which whoever uses it says what is wrong."""
    try:
        return {int(value) for value in np.unique(read_whole_numbers(path).voxels).tolist()}
    except InputError:
        return set()


def _is_wide(path: Path) -> bool:
    """Whether a value of the file can be above 255; a header tells."""
    import SimpleITK

    from kaf.imaging.itk import name_of

    reader = SimpleITK.ImageFileReader()
    try:
        reader.SetFileName(name_of(path))
        reader.ReadImageInformation()
    except (RuntimeError, InputError):
        return False
    return reader.GetPixelID() not in (SimpleITK.sitkUInt8, SimpleITK.sitkInt8, SimpleITK.sitkLabelUInt8)


# ---------------------------------------------------------------- partial labels


def _drawn(dataset: Dataset, partial: str, on_event: OnEvent
           ) -> tuple[Mapping[str, frozenset[int]] | None, list[str]]:
    """By the name of a case the values that were drawn in it, those of cases with all left out; None where all have
    all."""
    table = dataset.root / TABLE
    if partial == "none":
        return None, []
    if partial == "auto":
        said = dataset.description.partial
        if isinstance(said, dict):
            return _of_table(dataset, said.items(), "dataset.json")
        if said != _MISSING:
            return _of_table(dataset, _rows(table), table) if table.is_file() else (None, [])
    elif partial != _MISSING:
        return _of_table(dataset, _rows(Path(partial)), partial)
    labelled = [case for case in dataset.every if case.label is not None]
    ticker = Ticker(on_event, "looking at what is drawn", len(labelled))
    found: dict[str, frozenset[int]] = {}
    for done, case in enumerate(labelled, 1):
        if case.masks:
            found[case.name] = frozenset(mask.value for mask in case.masks)
        else:
            try:
                held = np.bincount(read_case_labels(case).voxels.reshape(-1), minlength=256)
            except InputError:
                continue
            found[case.name] = frozenset(np.flatnonzero(held).tolist()) - {0}
        ticker.update(done)
    return found, []


def _of_table(dataset: Dataset, rows: Iterable[tuple[str, Sequence[str]]], source: object
              ) -> tuple[dict[str, frozenset[int]], list[str]]:
    values = {name.casefold(): value for value, name in dataset.label_names.items()}
    cases = {name for case in dataset.every for name in (case.name, case.patient)}
    said: dict[str, set[int]] = {}
    unknown = []
    for name, structures in rows:
        if name not in cases:
            unknown.append(name)
            continue
        for structure in structures:
            value = values.get(structure.casefold(), int(structure) if structure.isdecimal() else 0)
            if not 1 <= value <= 255:
                known = some(dataset.label_names.values()) or "the values 1 to 255"
                raise InputError(source, f"names the structure '{structure}', which is not known ({known})",
                                 "Correct the name, or name the structures in dataset.json.")
            said.setdefault(name, set()).add(value)
        said.setdefault(name, set())
    problems = [f"{Path(str(source)).name} names {count(unknown, 'case')} that {'is' if len(unknown) == 1 else 'are'} "
                f"not in the folder: {some(unknown)}. Correct the names, see `kaf data scan`"] if unknown else []
    found = {case.name: said.get(case.name, said.get(case.patient)) for case in dataset.every}
    return {name: frozenset(drawn) for name, drawn in found.items() if drawn is not None}, problems


def _rows(path: Path) -> list[tuple[str, Sequence[str]]]:
    """Case and structures of each row; several structures are separated by semicolons."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})",
                         "Check the path; `partial` is auto, none, missing, or a table.") from error
    except (ValueError, csv.Error) as error:
        raise InputError(path, f"is no table ({error})", "Save it as CSV in UTF-8.") from error
    if not rows or not {"case", "structures"} <= {str(key).strip() for key in rows[0]}:
        raise InputError(path, "is no table of the columns case and structures",
                         "Write a line case,structures, then one line per case, as case_07,liver;spleen.")
    clean = [{str(key).strip(): str(value or "").strip() for key, value in row.items() if key} for row in rows]
    return [(row["case"], [name for name in map(str.strip, row["structures"].split(";")) if name]) for row in clean]
