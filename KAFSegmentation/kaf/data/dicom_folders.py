"""Which folders below a folder are DICOM scans, whose, and which structure sets lie there: by names, one header each,
and the first bytes of the other files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kaf.data import names
from kaf.data.pairing import Item, count, own_places, some
from kaf.data.walk import is_utf8
from kaf.imaging.rtstruct import may_be_structure_set
from kaf.runtime.errors import InputError
from kaf.runtime.files import is_regular

_DICOM_EXTENSIONS = (".dcm", ".dicom", ".ima", ".dc3")
_SCAN_MODALITIES = frozenset(("CT", "MR", "PT", "NM", "US", "XA", "OT", "CR", "DX", "MG", "RF", ""))
_LOOK_AT = 20  # DICOM files tried until one is a slice of a scan


def maybe_dicom_file(name: str) -> bool:
    """Whether a file of this name may be DICOM: by its extension, or by having none."""
    suffix = Path(name).suffix.lower()
    return name.upper() != "DICOMDIR" and (suffix in (*_DICOM_EXTENSIONS, "") or suffix[1:].isdigit())


def _can_be_slice(path: Path) -> bool:
    """Whether a file may be DICOM, and asking ITK about it ends."""
    return maybe_dicom_file(path.name) and is_utf8(path.name) and is_regular(path)


def are_dicom(place: Path, candidates: Sequence[str]) -> bool:
    """DICOM by extension, or by the four letters after the preamble of one of the first files."""
    if any(name.lower().endswith(_DICOM_EXTENSIONS) for name in candidates):
        return True
    for name in candidates[:3]:
        try:
            if (place / name).stat().st_size < 132:  # where the letters end; files of the kernel have no size at all
                continue
            with (place / name).open("rb") as file:
                file.seek(128)
                if file.read(4) == b"DICM":
                    return True
        except OSError:
            continue
    return False


@dataclass(frozen=True)
class DicomScan:
    """A folder of DICOM files: its patient and the UID of its series, "" where it holds no slice, and the files in it
    that are structure sets (RTSTRUCT)."""

    patient: str
    series: str
    structure_sets: tuple[Path, ...] = ()


def dicom_scans(items: list[Item], problems: list[str]) -> tuple[list[Item], dict[Path, DicomScan]]:
    """Items without DICOM folders that hold no scan, and what is known of every folder with a scan or structures.

    The patient is the PatientID; where there is none, or all patients' folders say the same, the top folder.
    """
    folders = [item for item in items if not item.extension]
    headers = {item.path: _dicom_header(item.path) for item in folders}
    sets = {item.path: _structure_sets(item.path) for item in folders}
    empty = [item.shown for item in folders if headers[item.path] is None and not sets[item.path]]
    if empty:
        problems.append(f"{count(empty, 'DICOM folder')} without a readable scan (structures, doses, reports "
                        f"or damaged files) left out: {some(empty)}. Copy a scan that is missing again")
    found = {path: header for path, header in headers.items() if header is not None}
    items = [item for item in items if item.extension or item.path in found]
    tops = {item.path: (*own_places(item), item.stem)[0] for item in items if not item.extension}
    identities = {patient for patient, _ in found.values()}
    same = len(identities) == 1 and len(set(tops.values())) > 1 and "" not in identities
    if same:
        problems.append(f"every DICOM series has the PatientID {identities.pop()}: patients are told apart "
                        "by their folders")
    scans = {path: DicomScan("", "", structures) for path, structures in sets.items() if structures}
    for path, (patient, series) in found.items():
        whose = tops[path] if same else patient or names.patient_of(tops[path])
        scans[path] = DicomScan(whose, series, sets[path])
    return items, scans


def _structure_sets(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in sorted(folder.iterdir()) if _can_be_slice(path) and may_be_structure_set(path))


def _dicom_header(folder: Path) -> tuple[str, str] | None:
    """PatientID (0010,0020) and SeriesInstanceUID (0020,000e) of a folder's first slice, "" where there is none; None
    without a slice."""
    import SimpleITK  # takes a quarter of a second, and only DICOM needs it

    from kaf.imaging.dicom_check import refuse_damage

    shown = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # GDCM warns about every odd tag
    try:
        slices = (path for path in sorted(folder.iterdir()) if _can_be_slice(path))
        for file in islice(slices, _LOOK_AT):
            reader = SimpleITK.ImageFileReader()
            reader.SetFileName(str(file))
            try:
                refuse_damage(folder, file)
                reader.ReadImageInformation()
            except (RuntimeError, OSError, InputError):
                continue
            tags = {key: reader.GetMetaData(key).strip(" \0") if reader.HasMetaDataKey(key) else ""
                    for key in ("0008|0060", "0010|0020", "0020|000e")}
            if tags["0008|0060"] in _SCAN_MODALITIES:
                return tags["0010|0020"], tags["0020|000e"]
        return None
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(shown)
