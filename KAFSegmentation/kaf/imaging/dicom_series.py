"""Which files of a folder are the slices of a DICOM series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kaf.imaging.dicom_check import refuse_damage
from kaf.imaging.itk import COPY_AGAIN, last_line, name_of
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular

MODALITY, POSITION = "0008|0060", "0020|0032"  # group and element, as ITK writes them
_DESCRIPTION, _NUMBER = "0008|103e", "0020|0011"
_IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")


def looks_like_dicom(path: Path) -> bool:
    """Whether a file bears the DICOM mark after its 128-byte preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def files_of(folder: Path, series: str | None) -> list[str]:
    import SimpleITK

    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror})", "Check its permissions.") from error
    for file in (folder / name for name in names):
        if not file.is_dir():
            name_of(file)
            check_regular(file)  # GDCM opens every file, and a named pipe would never answer
            refuse_damage(folder, file)
    try:
        uids = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(name_of(folder))
    except RuntimeError as error:  # one of the files, and GDCM does not say which
        for file in (folder / name for name in names if (folder / name).is_file()):
            if looks_like_dicom(file):
                open_header(folder, str(file))
        raise InputError(folder, f"cannot be read as DICOM files ({last_line(str(error))})", COPY_AGAIN) from error
    found = {uid: list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)) for uid in uids}
    found = {uid: files for uid, files in found.items() if files}
    if not found:
        marked = [name for name in names if (folder / name).is_file() and looks_like_dicom(folder / name)]
        if marked:
            raise InputError(folder, "holds no DICOM image that can be read: "
                             f"{marked[0]} may be cut short, or be no scan", "Copy or export the series again.")
        raise InputError(folder, "holds no DICOM image", _where_else(folder, names))
    _refuse_left_out(folder, names, [Path(file) for files in found.values() for file in files])
    headers = {uid: open_header(folder, files[0]) for uid, files in found.items()}
    chosen = [uid for uid, header in headers.items() if series is None or _is_named(uid, header, series)]
    if len(chosen) == 1:
        return found[chosen[0]]
    listed = "; ".join(f"{uid} ({_title(headers[uid])}, {len(found[uid])} files)" for uid in chosen or found)
    reason = f"holds {len(chosen or found)} DICOM series" if series is None or chosen else f"has no series '{series}'"
    if series is not None and chosen:
        reason += f" that are called '{series}'"
    raise InputError(
        folder, f"{reason}: {listed}",
        "Choose one with `series` (`--series`): its UID, number or description; or put each into a folder of its own.",
    )


def _is_named(uid: str, header: Any, series: str) -> bool:
    """Whether a series has this UID, number or description."""
    wanted, number = series.strip().casefold(), header_text(header, _NUMBER)
    return (uid == series.strip() or header_text(header, _DESCRIPTION).casefold() == wanted
            or (wanted.isdecimal() and number.isdecimal() and int(number) == int(wanted)))


def _title(header: Any) -> str:
    """"number 4, T2 star" """
    number, title = header_text(header, _NUMBER), header_text(header, _DESCRIPTION)
    return ", ".join([*([f"number {number}"] if number else []), title or "no description"])


def _refuse_left_out(folder: Path, names: list[str], used: list[Path]) -> None:
    """GDCM leaves a damaged slice out without a word, and the others may still be evenly spaced."""
    kinds, suffixes = {_kind(file) for file in used}, {file.suffix for file in used}
    taken = {file.name for file in used}
    for file in (folder / name for name in names if name not in taken):
        if not file.is_file():
            continue
        slice_of_these = _kind(file) in kinds if looks_like_dicom(file) else file.suffix in suffixes - {""}
        if slice_of_these:
            raise InputError(
                folder, f"its file {file.name} is no readable DICOM image; it may be cut short",
                "Copy or export it again, or take it out of the folder if it does not belong there.",
            )


def _kind(file: Path) -> bytes:
    """The SOP class (CT image, structure set ...) from the file's meta header, empty without one."""
    with file.open("rb") as content:
        start = content.read(1024)
    place = start.find(b"\x02\x00\x02\x00UI")
    if place < 0:
        return b""
    length = int.from_bytes(start[place + 6 : place + 8], "little")
    return start[place + 8 : place + 8 + length]


def _where_else(folder: Path, names: list[str]) -> str:
    images = [name for name in names if name.lower().endswith(_IMAGE_SUFFIXES)]
    if images:
        return f"Give one file, for instance {images[0]}."
    inside = [name for name in names if (folder / name).is_dir()]
    if inside:
        return f"Name the folder that holds the slices, for instance {folder / inside[0]}."
    return "Give a folder with the slices of one series, or an image file."


def open_header(subject: Path, file: str) -> Any:
    """A SimpleITK reader that has read the header of a file.

    Raises:
        InputError: it holds no image, or a damaged one.
    """
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(file)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        which = "it" if Path(file) == subject else f"its file {Path(file).name}"
        raise InputError(
            subject, f"{which} holds no image that KAF can read; it may be damaged or cut short, or be no scan",
            COPY_AGAIN) from error
    return reader


def header_text(header: Any, key: str) -> str:
    """A DICOM tag of a SimpleITK reader as text, empty where it is absent."""
    return header.GetMetaData(key).strip() if header.HasMetaDataKey(key) else ""
