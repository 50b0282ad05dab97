"""Which folders below a folder are DICOM scans, and whose: by names, and by one header each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from kaf.data import names
from kaf.data.pairing import Item, count, own_places, some
from kaf.data.walk import is_utf8
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


def dicom_scans(items: list[Item], problems: list[str]) -> tuple[list[Item], dict[Path, str]]:
    """Items without DICOM folders that hold no scan, and the patient of each that does.

    The patient is the PatientID; where there is none, or all patients' folders say the same, the top folder.
    """
    headers = {item.path: _dicom_header(item.path) for item in items if not item.extension}
    empty = [item.shown for item in items if not item.extension and headers[item.path] is None]
    if empty:
        problems.append(f"{count(empty, 'DICOM folder')} without a readable scan (structures, doses, reports "
                        f"or damaged files) left out: {some(empty)}. Copy a scan that is missing again")
    found = {path: identity for path, identity in headers.items() if identity is not None}
    items = [item for item in items if item.extension or item.path in found]
    tops = {item.path: (*own_places(item), item.stem)[0] for item in items if not item.extension}
    identities = set(found.values())
    if len(identities) == 1 and len(set(tops.values())) > 1 and "" not in identities:
        problems.append(f"every DICOM series has the PatientID {identities.pop()}: patients are told apart "
                        "by their folders")
        return items, tops
    return items, {path: identity or names.patient_of(tops[path]) for path, identity in found.items()}


def _dicom_header(folder: Path) -> str | None:
    """PatientID (0010,0020) of a folder's first slice, "" where there is none; None without a slice."""
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
                    for key in ("0008|0060", "0010|0020")}
            if tags["0008|0060"] in _SCAN_MODALITIES:
                return tags["0010|0020"]
        return None
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(shown)
