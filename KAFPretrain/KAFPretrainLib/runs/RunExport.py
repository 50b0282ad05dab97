"""The same run outside Slicer: a command, a file of settings, a job for a cluster."""

from pathlib import Path

import slicer

from kaf.runtime.errors import KafError
from kaf.runtime.files import atomic_write
from KAFPretrainLib.runs import RunSettings
from KAFPretrainLib.widgets.FileDialogs import askSave
from KAFPretrainLib.widgets.Folders import newFolder, runsFolder


class RunExport:
    """Three buttons.

    Args:
        ui, prefix: the widgets of the .ui file.
        settings: a function that gives (verb, values, name), and raises a KafError where something is missing.
        panel: has ``message``.
    """

    def __init__(self, ui, prefix, settings, panel):
        self._settings, self._panel, self._parent = settings, panel, getattr(ui, f"{prefix}Tab")
        self._buttons = [getattr(ui, prefix + name) for name in ("CommandButton", "SaveButton", "ClusterButton")]
        for button, function in zip(self._buttons, (self.copyCommand, self.save, self.saveClusterJob), strict=True):
            button.connect("clicked()", function)

    def allow(self, allowed):
        """Whether there is a run to take elsewhere."""
        for button in self._buttons:
            button.enabled = allowed

    def copyCommand(self):
        """Puts one line for a terminal on the clipboard."""
        verb, values, name = self._given()
        if verb is None:
            return
        output = newFolder(runsFolder(), name)
        if RunSettings.needsFile(values):
            path = self._askFile("Save the settings that the command reads", f"{name}.json")
            if not path or not self._write(path, RunSettings.settingsFile(values, output)):
                return
            text = f'kaf {verb} "{values["data"]}" --settings "{path}"'
        else:
            text = RunSettings.command(verb, values, output)
        slicer.app.clipboard().setText(text)
        self._panel.message.show("The command is on the clipboard. It does what Start does.", "done")

    def save(self):
        """Writes the settings to a JSON file."""
        verb, values, name = self._given()
        if verb is None:
            return
        path = self._askFile("Save the settings", f"{name}.json")
        if path and self._write(path, RunSettings.settingsFile(values, newFolder(runsFolder(), name))):
            self._panel.message.show(f'Saved. Run it with: kaf {verb} "{values["data"]}" --settings "{path}"', "done")

    def saveClusterJob(self):
        """Writes a script for a SLURM cluster."""
        verb, values, name = self._given()
        if verb is None:
            return
        path = self._askFile("Save a script for the cluster", f"{name}.sh")
        if path and self._write(path, RunSettings.clusterScript(verb, values, newFolder(runsFolder(), name))):
            self._panel.message.show(f"Saved in {path}. Change its paths to the cluster's and run it there with sh.",
                                     "done")

    def _given(self):
        try:
            return self._settings()
        except KafError as error:
            self._panel.message.showError(error)
            return None, None, None

    def _askFile(self, title, name):
        kind = "Scripts (*.sh)" if name.endswith(".sh") else "Settings (*.json)"
        return askSave(self._parent, title, str(Path(runsFolder()) / name), kind)

    def _write(self, path, text):
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, text)
        except (KafError, OSError) as error:
            self._panel.message.showError(error)
            return False
        return True
