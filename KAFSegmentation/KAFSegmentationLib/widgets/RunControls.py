"""Apply that turns into Cancel, and the progress bar with the time left."""

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from kaf.runtime.events import Progress
from KAFSegmentationLib.widgets.PlainText import tip
from KAFSegmentationLib.widgets.RoughTime import roughTime


class RunControls:
    """The button and the bar.

    Args:
        button, bar: the widgets of the .ui file.
        onApply, onCancel: called when a person presses the button.
        name: the text of the button while nothing runs, e.g. Apply.
    """

    def __init__(self, button: qt.QPushButton, bar: qt.QProgressBar, onApply: Callable[[], None],
                 onCancel: Callable[[], None], name: str):
        self._button, self._bar, self._name = button, bar, name
        self._onApply, self._onCancel = onApply, onCancel
        self.running = False
        button.connect("clicked(bool)", self._onClicked)
        self.stop()

    def allow(self, allowed: bool, toolTip: str) -> None:
        """Whether Apply can be pressed, and what it would do or what is missing."""
        self._button.enabled = allowed or self.running
        self._button.toolTip = _("Stop; nothing is changed (Esc)") if self.running else tip(toolTip)

    def start(self) -> None:
        """A run has begun."""
        self.running = True
        self._button.text = _("Cancel")
        self._button.enabled = True
        self._bar.visible = True
        self._bar.maximum = 0  # busy: no progress is known yet

    def stop(self) -> None:
        """No run."""
        self.running = False
        self._button.text = self._name
        self._bar.visible = False

    def showProgress(self, event: object) -> None:
        """A Progress event; any other is ignored."""
        if not isinstance(event, Progress) or not event.total:
            return
        self._bar.maximum = 1000
        self._bar.value = round(1000 * event.done / event.total)
        text = _("{stage}: %p%") if event.seconds_left is None else _("{stage}: %p%, {time} left")
        left = "" if event.seconds_left is None else roughTime(event.seconds_left)
        self._bar.format = text.format(stage=event.stage.capitalize(), time=left)

    def press(self) -> None:
        """What a click on the button does, for shortcuts."""
        if self._button.enabled:
            self._onClicked()

    def _onClicked(self, checked=False):
        if self.running:
            self._onCancel()
        else:
            self._onApply()
