"""The part of the panel that gets the packages which a model runs on."""

import qt
import slicer

from kaf.runtime.errors import KafError


class SetupControls:
    """Three buttons, and the line that says what is missing.

    Args:
        ui: the widgets of the .ui file.
        parent: the widget that questions belong to.
        panel: has ``setup``, ``message``, ``log``, ``parameters`` and ``update``.
    """

    def __init__(self, ui, parent, panel):
        self.ui, self._parent, self._panel = ui, parent, panel
        ui.setUpButton.connect("clicked()", self.onSetUp)
        ui.otherPythonButton.connect("clicked()", self.onOtherPython)
        ui.diagnoseButton.connect("clicked()", self.onDiagnose)

    def update(self):
        """Shows what is missing; returns whether all is there."""
        setup = self._panel.setup
        isReady = setup.isReady()
        self.ui.setUpFrame.visible = not isReady
        if not isReady:
            self.ui.setUpLabel.text = setup.statusText()
        return isReady

    def makeReady(self):
        """Sets up what is missing; whether all is there then."""
        return self._panel.setup.isReady() or self.onSetUp()

    def goOn(self):
        """Goes on with a set-up that Slicer was restarted in the middle of."""
        if self._panel.setup.mustContinue():
            qt.QTimer.singleShot(0, self._continue)  # not before the panel is drawn

    def onSetUp(self):
        """Gets what is missing; returns whether it is there now."""
        return self._setUp(self._panel.setup.run)

    def onOtherPython(self):
        """Lets a person choose another Python; returns whether it can be used."""
        return self._setUp(self._panel.setup.useOtherPython)

    def onDiagnose(self):
        """Copies a report about the Python and the packages that KAF runs in."""
        try:
            report = self._panel.setup.diagnose()
        except KafError as error:
            self._panel.message.showError(error)
            return
        self._panel.log.add(report)
        slicer.app.clipboard().setText(report)
        self._panel.message.show("The report is in the log and on the clipboard.", "done")

    def _continue(self):
        if self._panel.parameters is not None and self._panel.setup.mustContinue():  # the panel is still open
            self.onSetUp()

    def _setUp(self, action):
        panel = self._panel
        try:
            ready = action(self._parent)
        except KafError as error:
            panel.message.showError(error)
            ready = False
        else:
            panel.message.show(panel.setup.statusText(), "done" if ready else "error")
        panel.update()
        return ready
