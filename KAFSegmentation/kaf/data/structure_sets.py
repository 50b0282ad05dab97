"""DICOM structure sets (RTSTRUCT) and the series that they were drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kaf.data.case import Case, Mask
from kaf.data.dicom_folders import DicomScan
from kaf.data.pairing import count, some
from kaf.imaging.rtstruct import StructureSet, read_structures
from kaf.runtime.errors import InputError


def match_structure_sets(cases: Sequence[Case], dicom: Mapping[Path, DicomScan], problems: list[str]) -> list[Case]:
    """The cases, those that have no label map with the structures of the only structure set that was drawn on them.

    A structure set belongs to the series that it names; one that names none, to the series in its folder.
    """
    if not dicom:
        return list(cases)
    by_series = {scan.series: path for path, scan in dicom.items() if scan.series}
    found: dict[Path, list[StructureSet]] = {}
    broken, lost = [], []
    for folder, scan in dicom.items():
        for path in scan.structure_sets:
            try:
                structures = read_structures(path)
            except InputError as error:
                broken.append(f"{path.parent.name}/{path.name} {error.reason}")
                continue
            home = by_series.get(structures.series) if structures.series else folder if scan.series else None
            if home is None:
                lost.append(f"{path.parent.name}/{path.name}")
            else:
                found.setdefault(home, []).append(structures)
    if broken:
        problems.append(f"{count(broken, 'structure set')} that cannot be used: {some(broken)}. Export it again")
    if lost:
        problems.append(f"{count(lost, 'structure set')} (RTSTRUCT) without the series that it was drawn on: "
                        f"{some(lost)}. Add that series")
    several = [case.name for case in cases if len(found.get(case.image, ())) > 1 and case.label is None]
    if several:
        problems.append(f"{count(several, 'scan')} with several structure sets (RTSTRUCT), none is used: "
                        f"{some(several)}. Keep one of them")
    return [_with(case, found.get(case.image, [])) for case in cases]


def _with(case: Case, sets: Sequence[StructureSet]) -> Case:
    if case.label is not None or len(sets) != 1:
        return case
    (structures,) = sets
    return replace(case, label=structures.path, masks=tuple(Mask(name, structures.path) for name in structures.names))
