"""The one line under the Apply button that says how things stand."""

import qt
import slicer

from kaf.runtime.errors import KafError

_ICONS = {"info": "SP_MessageBoxInformation", "warning": "SP_MessageBoxWarning", "error": "SP_MessageBoxCritical",
          "done": "SP_DialogApplyButton"}

_VERBS = {"segment": "Segmentation", "explain": "Attention", "adapt": "Learning"}


class MessageLine:
    """A symbol and a sentence.

    Args:
        frame, icon, label: the widgets of the .ui file.
        onLog: called with every text, so that the log tells the whole story.
    """

    def __init__(self, frame, icon, label, onLog):
        self._frame, self._icon, self._label, self._onLog = frame, icon, label, onLog
        self.level = ""
        self.clear()

    def clear(self):
        """Nothing to say."""
        self.level = ""
        self._label.text = ""
        self._frame.visible = False

    def show(self, text, level="info"):
        """A text; ``level`` is info, warning, error or done."""
        if text == self._label.text and level == self.level:
            return
        self.level = level
        self._label.text = text
        icon = slicer.app.style().standardIcon(getattr(qt.QStyle, _ICONS[level]))
        self._icon.setPixmap(icon.pixmap(18, 18))
        self._frame.visible = True
        self._onLog(text if level in ("info", "done") else f"{level}: {text}")

    def showError(self, error, before=""):
        """An error in its own words, after the sentence ``before``; anything that is no error of ours gets a plain
        sentence around it."""
        text = sentence(error) if isinstance(error, KafError) else \
            f"Something unexpected happened: {error}. Please report it with the log below."
        self.show(f"{before} {text}".strip(), "error")


def sentence(error):
    """A KafError as a paragraph: "Heart: is a label map, not a scan. Choose the scan that it was drawn on." """
    text = f"{_VERBS.get(error.subject, error.subject)}: {error.reason}. {error.remedy}"
    return text[0].upper() + text[1:]
