"""What a command checks before any work begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kaf.modelfile.library import find_model
from kaf.runtime.errors import OutputError
from kaf.runtime.files import check_output


def check_paths(inputs: Sequence[str], outputs: Iterable[Path], overwrite: bool, model: str) -> None:
    """Whether results may be written, none of them is an input, and the model, where one is named, exists."""
    for path in outputs:
        check_output(path, overwrite)
        if path.exists() and any(Path(file).exists() and path.samefile(file) for file in inputs):
            raise OutputError(path, "is an input of this command", "Choose another name for the result.")
    if model:
        find_model(model)
