"""A field for the path of a folder, listened to as a person uses it and not as the widget tells."""

import qt

PAUSE_MILLISECONDS = 400  # without another key: the path is typed


class PathField:
    """The widget tells every key, tells nothing when it is emptied but that it is not valid, and while its history is
    put in order shows other paths for a moment and tells those.

    Args:
        edit: a ctkPathLineEdit.
        onSettled: called with the path once a person has typed or chosen it.
        onTyped: called at every change before that; must not touch the disk.
    """

    def __init__(self, edit, onSettled, onTyped=lambda: None):
        self._edit, self._onSettled, self._onTyped = edit, onSettled, onTyped
        self._shown, self._isQuiet, self._isPending = self.path, False, False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MILLISECONDS)
        self._timer.connect("timeout()", self.settle)
        edit.connect("currentPathChanged(QString)", self._onChanged)
        edit.connect("validInputChanged(bool)", self._onChanged)

    @property
    def path(self):
        """What stands there, or nothing."""
        return self._edit.currentPath.strip()

    def show(self, path):
        """Puts a path there without a word to anybody."""
        self._quietly(lambda: self._edit.setCurrentPath(path))

    def remember(self):
        """Adds the path to those behind the arrow."""
        self._quietly(self._edit.addCurrentPathToHistory)

    def settle(self):
        """Takes the path as it stands, if that was not told yet."""
        if self._isPending:
            self._timer.stop()
            self._isPending = False
            self._onSettled(self._shown)

    def close(self):
        """The panel is taken apart."""
        self._timer.stop()

    def _quietly(self, action):
        self._isQuiet = True
        action()
        self._isQuiet = False
        if self.path != self._shown:
            self._shown, self._isPending = self.path, False
            self._timer.stop()

    def _onChanged(self, value):
        if self._isQuiet or self.path == self._shown:
            return
        self._shown, self._isPending = self.path, True
        self._onTyped()
        self._timer.start()
