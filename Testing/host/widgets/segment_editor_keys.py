"""The keys of the segment editor.

They belong to the main window, so that they work wherever the mouse was last, and they take keys from every panel of
it: a second shortcut for the same key makes both ambiguous, and neither does anything.
"""

import slicer
from PySide6.QtGui import QKeySequence, QShortcut

_BEFORE, _AFTER = ("Q", "/", ",", ">"), ("W", "*", ".", "<")


class SegmentEditorKeys:
    """Makes and ends the shortcuts of an editor.

    Locking the editor stops those that choose a tool, and not those that undo, redo or choose a segment.
    """

    def __init__(self, editor):
        self._editor = editor
        self._shortcuts: list[QShortcut] = []

    def install(self, parent) -> None:
        self.uninstall()
        parent = parent or slicer.util.mainWindow()
        for number in range(1, 11):
            self._add(parent, str(number % 10), lambda n=number: self._toggle(n))
            self._add(parent, f"Shift+{number % 10}", lambda n=number: self._toggle(n + 10))
        self._add(parent, "Esc", lambda: self._toggle(0))
        self._add(parent, "Space", self._editor._activateLast)
        for key in ("Z", QKeySequence(QKeySequence.Undo)):
            self._add(parent, key, self._editor.undo)
        for key in ("Y", QKeySequence(QKeySequence.Redo)):
            self._add(parent, key, self._editor.redo)
        for keys, step in ((_BEFORE, -1), (_AFTER, 1)):
            for key in keys:
                self._add(parent, key, lambda s=step: self._editor._logic.SelectSegmentAtOffset(s, True))
        self._add(parent, "I", self._editor._logic.ToggleSourceVolumeIntensityMask)

    def uninstall(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts.clear()

    def _add(self, parent, key, action) -> None:
        shortcut = QShortcut(QKeySequence(key), parent)
        shortcut.activated.connect(action)
        self._shortcuts.append(shortcut)

    def _toggle(self, index: int) -> None:
        if not self._editor.readOnly:
            effect = self._editor.effectByIndex(index)
            self._editor.setActiveEffect(None if effect is self._editor.activeEffect() else effect)
