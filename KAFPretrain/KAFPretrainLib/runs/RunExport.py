"""The same run outside Slicer: a command, a file of settings, a job for a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from kaf.runtime.files import atomic_write
from KAFPretrainLib.runs import RunSettings
from KAFPretrainLib.widgets.Folders import newFolder, runsFolder
from KAFPretrainLib.widgets.Interfaces import Messages
from KAFSegmentationLib.widgets.FileDialogs import askSave


@dataclass(frozen=True)
class RunRequest:
    """A run to start: the command of kaf, its settings, and what its folder is named after."""

    verb: str
    values: dict[str, Any]
    name: str


class RunExport:
    """Three buttons.

    Args:
        ui, prefix: the widgets of the .ui file whose names begin with the prefix.
        request: the run that Start would start; None, after a message, where something is missing.
        message: where it is reported what was saved.
        python: returns the interpreter that Start uses.
    """

    def __init__(self, ui: SimpleNamespace, prefix: str, request: Callable[[], RunRequest | None], message: Messages,
                 python: Callable[[], str]):
        self._request, self._message, self._parent = request, message, getattr(ui, f"{prefix}Tab")
        self._python = python
        self._buttons = [getattr(ui, prefix + name) for name in ("CommandButton", "SaveButton", "ClusterButton")]
        for button, function in zip(self._buttons, (self.copyCommand, self.save, self.saveClusterJob), strict=True):
            button.connect("clicked()", function)

    def allow(self, allowed: bool) -> None:
        """Whether there is a run to export."""
        for button in self._buttons:
            button.enabled = allowed

    def copyCommand(self) -> None:
        """Copies one line for a terminal to the clipboard."""
        run = self._request()
        if run is None:
            return
        output = newFolder(runsFolder(), run.name)
        if RunSettings.needsFile(run.values):
            path = askSave(self._parent, _("Save the settings for the command"), _proposal(f"{run.name}.json"),
                           _("Settings (*.json)"))
            if not path or not self._write(path, RunSettings.settingsFile(run.values, output)):
                return
            text = self._commandWithFile(run, path)
        else:
            text = RunSettings.command(run.verb, run.values, output, self._python())
        slicer.app.clipboard().setText(text)
        self._message.show(_("The command was copied to the clipboard. It starts the same run as Start."), "done")

    def save(self) -> None:
        """Writes the settings to a JSON file."""
        run = self._request()
        if run is None:
            return
        path = askSave(self._parent, _("Save settings"), _proposal(f"{run.name}.json"), _("Settings (*.json)"))
        if path and self._write(path, RunSettings.settingsFile(run.values, newFolder(runsFolder(), run.name))):
            self._message.show(_("The settings were saved. To start the run in a terminal: {command}").format(
                command=self._commandWithFile(run, path)), "done")

    def saveClusterJob(self) -> None:
        """Writes a script for a SLURM cluster."""
        run = self._request()
        if run is None:
            return
        path = askSave(self._parent, _("Save cluster job"), _proposal(f"{run.name}.sh"), _("Scripts (*.sh)"))
        folder = newFolder(runsFolder(), run.name)
        if path and self._write(path, RunSettings.clusterScript(run.verb, run.values, folder)):
            self._message.show(_("The script was saved to {path}. Change its paths to those of the cluster, then run "
                                 "it there with sh.").format(path=path), "done")

    def _commandWithFile(self, run, path):
        return RunSettings.commandWithFile(run.verb, run.values, path, self._python())

    def _write(self, path, text):
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, text)
        except (KafError, OSError) as error:
            self._message.showError(error)
            return False
        return True


def _proposal(name):
    return str(Path(runsFolder()) / name)

