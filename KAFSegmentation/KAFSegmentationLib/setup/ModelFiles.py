"""Model files that lie beside the wheels of a set-up without a network."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from kaf.runtime.errors import ModelExistsError
from kaf.runtime.events import Error, from_json

if TYPE_CHECKING:
    from KAFSegmentationLib.setup.Interpreter import Interpreter
    from KAFSegmentationLib.setup.SetupDialogs import SetupDialogs

_SECONDS_PER_MODEL = 120.0


def addModels(folder: str, interpreter: Interpreter, dialogs: SetupDialogs) -> list[str]:
    """Adds the model files of a folder to the user's library; models that it has stay as they are.

    Args:
        interpreter: has the packages.
        dialogs: shows which model is being added.

    Returns:
        For each file that could not be added its name and why.
    """
    failures = []
    for path in sorted(Path(folder).glob("*.safetensors")):
        dialogs.showBusy(_("Adding the model {name}...").format(name=path.stem))
        failure = _addModel(path, interpreter)
        if failure:
            failures.append(f"{path.name}: {failure}")
    return failures


def _addModel(path, interpreter) -> str:
    """Adds a model, unless the library has it; returns why that failed, empty if it did not."""
    reported = []

    def take(line: str) -> None:
        with contextlib.suppress(ValueError):  # what a library prints
            event = from_json(line)
            reported.extend([event] if isinstance(event, Error) else [])

    arguments = ["-m", "kaf", "models", "add", str(path), "--events"]
    failure = interpreter.run(arguments, _SECONDS_PER_MODEL, take)
    if not failure or not reported:
        return failure
    return "" if reported[-1].kind == ModelExistsError.__name__ else reported[-1].text
