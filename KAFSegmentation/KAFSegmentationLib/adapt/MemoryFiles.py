"""Finished slices as a file for other patients, and the file of earlier ones that is used here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import qt
from slicer.i18n import tr as _

from kaf.memory.header import structures_of
from kaf.runtime.errors import Cancelled, KafError, OutputError
from kaf.runtime.files import move
from KAFSegmentationLib.adapt.PropagationRun import PropagationRun
from KAFSegmentationLib.backend.Backend import Backend
from KAFSegmentationLib.widgets.FileDialogs import askOpen, askSave
from KAFSegmentationLib.widgets.MessageLine import MessageLine

_SUFFIX = ".safetensors"
_FOLDER = "KAFSegmentation/memoryFolder"


class MemorySection(Protocol):
    """What changes with the file in use."""

    @property
    def shownUpdate(self) -> PropagationRun | None:
        """The update that is shown."""

    def useMemory(self, names: list[str], text: str) -> None:
        """A file with these structures is used from now on (none: no file); ``text`` says so."""


class MemoryFiles:
    """Two buttons.

    Args:
        ui: the widgets of the .ui file.
        backend: asks the worker for what is to be saved.
        message: says how it went.
        section: shows updates.
    """

    def __init__(self, ui: Any, backend: Backend, message: MessageLine, section: MemorySection):
        self.ui, self._backend, self._message, self._section = ui, backend, message, section
        self.path = ""
        """The file in use, or nothing. It is not kept in the scene, which may travel to other computers."""
        ui.saveMemoryButton.connect("clicked()", self.save)
        ui.useMemoryButton.connect("clicked()", self.use)

    def update(self, idle: bool) -> None:
        """Which buttons can be pressed."""
        shown = self._section.shownUpdate
        self.ui.saveMemoryButton.enabled = idle and shown is not None and bool(shown.accepted)
        self.ui.useMemoryButton.enabled = idle
        self.ui.useMemoryButton.text = _("Stop using memory") if self.path else _("Use memory...")

    def forget(self) -> None:
        """Another scan was chosen, or the scene is closing."""
        self.path = ""

    def save(self) -> None:
        """Asks for a file, and keeps the finished slices in it, with those of the file in use."""
        run = self._section.shownUpdate
        path = askSave(self.ui.saveMemoryButton, _("Save memory"), self._folder(), self._kinds()) if run else ""
        if not path:
            return
        target = Path(path if path.endswith(_SUFFIX) else path + _SUFFIX)
        self._remember(target)
        self._message.show(_("Saving the finished slices…"))
        options = {**run.options(), "remember": run.volumeNode.GetName()}
        self._backend.submit(run.verb, run.settings, run.volumes, lambda event: None,
                             lambda answer, error: self._onSaved(target, answer, error), options)

    def use(self) -> None:
        """Asks for a file of earlier patients; or with one in use, does without it again."""
        if self.path:
            self.path = ""
            self._section.useMemory([], _("The memory of earlier patients is no longer used."))
            return
        path = askOpen(self.ui.useMemoryButton, _("Use memory"), self._folder(), self._kinds())
        if not path:
            return
        try:
            names = list(structures_of(path).values())
        except KafError as error:
            self._message.showError(error)
            return
        self.path = path
        self._remember(Path(path))
        self._section.useMemory(names, _("Using the memory of {structures} in '{file}'.").format(
            structures=", ".join(names), file=Path(path).name))

    def _onSaved(self, target, answer, error):
        if error is None:
            try:
                move(Path(answer["memory"]), target)
            except OSError as problem:
                error = OutputError(target, _("it cannot be written ({error})").format(error=problem),
                                    _("Choose another folder, or free space."))
        if error is None:
            self._message.show(_("The finished slices were saved in '{file}'. It holds numbers made from this scan: "
                                 "keep it as you keep the scan.").format(file=target.name), "done")
        elif not isinstance(error, Cancelled):
            self._message.showError(error)

    def _kinds(self):
        return _("Keypoint memory (*.safetensors)")

    def _folder(self):
        return qt.QSettings().value(_FOLDER, "") or ""

    def _remember(self, path):
        qt.QSettings().setValue(_FOLDER, os.fspath(path.parent))
