"""Tables and reports under names of KAF's in a folder of the user's: replaced only where KAF wrote them.

They are recognised by how they begin, which has been the same since the first version.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kaf.report.parts import BEGINNING
from kaf.runtime.errors import OutputError
from kaf.runtime.files import check_output, open_regular

_PAGE = BEGINNING.encode()
_BEGINNINGS = {
    "evaluation.csv": b"case,name,label,", "evaluation.json": b'{\n "kaf_version": ', "report.html": _PAGE,
    "selection.csv": b"rank,patient,case,", "selection.json": b'{\n "settings": {',
    "card-row.json": b'{\n "out-of-domain": {',
    "segmentations.csv": b"case,structure,volume_ml,",
    "comparison.csv": b"arm,labelled patients,draw,", "comparison.json": b'{\n "facts": [', "comparison.html": _PAGE,
    "cells.json": b'{\n "kaf_version": ',
}


def check_tables(paths: Iterable[Path], overwrite: bool) -> None:
    """Whether the files may be written.

    Raises:
        OutputError: as :func:`kaf.runtime.files.check_output`; or ``overwrite`` is set, and a file is there that
            KAF did not write.
    """
    for path in paths:
        check_output(path, overwrite)
        if path.exists() and not _is_ours(path):
            raise OutputError(path, "was not written by KAF and is not replaced", "Move it, or choose another folder.")


def _is_ours(path: Path) -> bool:
    beginning = _BEGINNINGS[path.name]
    try:
        with open_regular(path) as file:
            return file.read(len(beginning)) == beginning
    except OSError:
        return False
