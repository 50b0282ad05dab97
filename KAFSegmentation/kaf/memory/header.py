"""The header of a memory file, which is read without torch."""

from __future__ import annotations

from pathlib import Path

from kaf.modelfile.card import read_header
from kaf.runtime import json_files
from kaf.runtime.errors import InputError, ModelError
from kaf.runtime.plain_text import one_line

KEY, FORMAT = "kaf_memory", 1


def structures_of(path: str | Path) -> dict[int, str]:
    """Label -> structure of the finished slices in a memory file.

    Raises:
        InputError: it is missing, damaged, or no memory of this format.
    """
    try:
        words = json_files.parse(read_header(path)["__metadata__"][KEY])
        if words["format"] != FORMAT:
            raise ValueError(f"format {words['format']}")
        return {int(value): one_line(str(name)) for value, name in words["names"].items()}
    except ModelError as error:
        raise InputError(path, error.reason, "Choose a file that was saved as a memory.") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(path, "is not a keypoint memory that KAF can read",
                         "Choose a file that was saved as a memory.") from error
