"""The line below the Apply button that shows the state of a run, its result or an error."""

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError

_ICONS = {"info": "SP_MessageBoxInformation", "warning": "SP_MessageBoxWarning", "error": "SP_MessageBoxCritical",
          "done": "SP_DialogApplyButton"}

_VERBS = {"segment": _("Segmentation"), "explain": _("Attention"), "adapt": _("Learning")}


class MessageLine:
    """A symbol and a sentence.

    Args:
        frame, icon, label: the widgets of the .ui file.
        onLog: called with every text, so that the log has them all.
    """

    def __init__(self, frame: qt.QFrame, icon: qt.QLabel, label: qt.QLabel, onLog: Callable[[str], None]):
        self._frame, self._icon, self._label, self._onLog = frame, icon, label, onLog
        self.level = ""
        self.clear()

    def clear(self) -> None:
        """Shows no message."""
        self.level = ""
        self._label.text = ""
        self._frame.visible = False

    def show(self, text: str, level: str = "info") -> None:
        """A text; ``level`` is info, warning, error or done."""
        if text == self._label.text and level == self.level:
            return
        self.level = level
        self._label.text = text
        icon = slicer.app.style().standardIcon(getattr(qt.QStyle, _ICONS[level]))
        self._icon.setPixmap(icon.pixmap(18, 18))
        self._frame.visible = True
        self._onLog(text if level in ("info", "done") else f"{level}: {text}")

    def showError(self, error: Exception, before: str = "") -> None:
        """An error, after the sentence ``before``; one that is no KafError is a defect to be reported."""
        text = sentence(error) if isinstance(error, KafError) else \
            _("An unexpected error occurred: {error}. Please report it with the log below.").format(error=error)
        self.show(f"{before} {text}".strip(), "error")


def sentence(error: KafError) -> str:
    """A KafError as a paragraph: "Heart: this is a label map, not a scan. Choose the scan that it was drawn on." """
    text = f"{_VERBS.get(error.subject, error.subject)}: {error.reason}. {error.remedy}"
    return text[0].upper() + text[1:]
