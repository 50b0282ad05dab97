"""The part of the panel that gets the packages which a model runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from KAFSegmentationLib.backend.Backend import InterpreterChoice
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.widgets.MessageLine import MessageLine


class PanelSetup(InterpreterChoice, Protocol):
    """What the panel shows of the set-up, and what its buttons do."""

    def statusText(self) -> str:
        """One sentence: ready, or what is missing."""

    def mustContinue(self) -> bool:
        """Whether Slicer was restarted in the middle of it."""

    def run(self, parent: qt.QWidget | None = None) -> bool:
        """Asks, installs and verifies; returns whether all is there. Raises KafError."""

    def useOtherPython(self, parent: qt.QWidget | None = None) -> bool:
        """Asks for another Python; returns whether it can be used. Raises KafError."""

    def diagnose(self) -> str:
        """A report for a maintainer. Raises KafError."""


class SetupControls:
    """Three buttons, and the line that says what is missing.

    Args:
        ui: the widgets of the .ui file.
        parent: the widget that questions belong to.
        setup: what the buttons do.
        message, log: where the outcome is shown.
        isOpen: whether the panel is open on a scene.
        onChanged: called when a model may be able to run now, or no longer.
        isElsewhere: whether models run on another computer, which has packages of its own.
    """

    def __init__(self, ui: Any, parent: qt.QWidget, setup: PanelSetup, message: MessageLine, log: LogView,
                 isOpen: Callable[[], bool], onChanged: Callable[[], None],
                 isElsewhere: Callable[[], bool] = lambda: False):
        self.ui, self._parent, self._setup, self._message, self._log = ui, parent, setup, message, log
        self._isOpen, self._onChanged, self._isElsewhere = isOpen, onChanged, isElsewhere
        ui.setUpButton.connect("clicked()", self.onSetUp)
        ui.otherPythonButton.connect("clicked()", self.onOtherPython)
        ui.diagnoseButton.connect("clicked()", self.onDiagnose)

    def update(self) -> bool:
        """Shows what is missing; returns whether all is there."""
        isReady = self._isElsewhere() or self._setup.isReady()
        self.ui.setUpFrame.visible = not isReady
        if not isReady:
            self.ui.setUpLabel.text = self._setup.statusText()
        return isReady

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""
        return self._isElsewhere() or self.makeReadyHere()

    def makeReadyHere(self) -> bool:
        """As :meth:`makeReady`, for what this computer does whatever the models run on."""
        return self._setup.isReady() or self.onSetUp()

    def resume(self) -> None:
        """Continues a set-up that Slicer was restarted in the middle of."""
        if self._setup.mustContinue():
            qt.QTimer.singleShot(0, self._continue)  # not before the panel is drawn

    def onSetUp(self) -> bool:
        """Gets what is missing; returns whether it is there now."""
        return self._setUp(self._setup.run)

    def onOtherPython(self) -> bool:
        """Lets a person choose another Python; returns whether it can be used."""
        return self._setUp(self._setup.useOtherPython)

    def onDiagnose(self) -> None:
        """Copies a report about the Python and the packages that KAF runs in."""
        try:
            report = self._setup.diagnose()
        except KafError as error:
            self._message.showError(error)
            return
        self._log.add(report)
        slicer.app.clipboard().setText(report)
        self._message.show(_("The report was added to the log and copied to the clipboard."), "done")

    def _continue(self):
        if self._isOpen() and self._setup.mustContinue():
            self.onSetUp()

    def _setUp(self, action):
        try:
            ready = action(self._parent)
        except KafError as error:
            self._message.showError(error)
            ready = False
        else:
            if ready:
                self._message.show(self._setup.statusText(), "done")
            else:
                self._message.clear()  # the line above the panel says what is missing
        self._onChanged()
        return ready
