"""Apply that turns into Cancel, and the progress bar with the time left."""

from kaf.runtime.events import Progress
from KAFSegmentationLib.segment.Forecast import roughTime
from KAFSegmentationLib.widgets.PlainText import tip


class RunControls:
    """The button and the bar.

    Args:
        button, bar: the widgets of the .ui file.
        onApply, onCancel: called when a person presses the button.
        name: what the button says while nothing runs.
    """

    def __init__(self, button, bar, onApply, onCancel, name="Apply"):
        self._button, self._bar, self._name = button, bar, name
        self._onApply, self._onCancel = onApply, onCancel
        self.running = False
        button.connect("clicked(bool)", self._onClicked)
        self.stop()

    def allow(self, allowed, toolTip):
        """Whether Apply can be pressed, and what it would do or what is missing."""
        self._button.enabled = allowed or self.running
        self._button.toolTip = "Stop; nothing is changed (Esc)" if self.running else tip(toolTip)

    def start(self):
        """A run has begun."""
        self.running = True
        self._button.text = "Cancel"
        self._button.enabled = True
        self._bar.visible = True
        self._bar.maximum = 0  # busy: nothing can be told yet

    def stop(self):
        """No run."""
        self.running = False
        self._button.text = self._name
        self._bar.visible = False

    def showProgress(self, event):
        """A Progress event; any other is ignored."""
        if not isinstance(event, Progress) or not event.total:
            return
        self._bar.maximum = 1000
        self._bar.value = round(1000 * event.done / event.total)
        left = "" if event.seconds_left is None else f", {roughTime(event.seconds_left)} left"
        self._bar.format = f"{event.stage.capitalize()}: %p%{left}"

    def press(self):
        """What a click on the button does, for shortcuts."""
        if self._button.enabled:
            self._onClicked()

    def _onClicked(self, checked=False):
        if self.running:
            self._onCancel()
        else:
            self._onApply()
