"""qSlicerSegmentEditorAbstractEffect: the tools of the segment editor, by name; none of them paints here."""

from PySide6.QtCore import Property, QObject

from .declare import standIn

EFFECTS = (
    "Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Fill between slices",
    "Margin", "Hollow", "Smoothing", "Scissors", "Islands", "Logical operators", "Mask volume",
)  # fmt: skip
_ON_ALL_SEGMENTS = ("Grow from seeds", "Fill between slices")


@standIn
class qSlicerSegmentEditorAbstractEffect(QObject):
    """An effect: its name, and its parameters, which are attributes of the editor node."""

    def __init__(self, name: str, editor):
        super().__init__(editor)
        self._name, self._editor = name, editor

    name = Property(str, lambda self: self._name)
    title = Property(str, lambda self: self._name)
    perSegment = Property(bool, lambda self: self._name not in _ON_ALL_SEGMENTS)

    def parameterSetNode(self):
        return self._editor.mrmlSegmentEditorNode()

    def parameter(self, name):
        return self.parameterSetNode().GetAttribute(f"{self._name}.{name}") or ""

    def integerParameter(self, name):
        return int(self.parameter(name) or 0)

    def doubleParameter(self, name):
        return float(self.parameter(name) or 0)

    def setParameter(self, name, value):
        self.parameterSetNode().SetAttribute(f"{self._name}.{name}", str(value))

    def setCommonParameter(self, name, value):
        self.parameterSetNode().SetAttribute(name, str(value))

    def saveStateForUndo(self):
        self._editor.saveStateForUndo()

    def active(self):
        return self._editor.activeEffect() is self
