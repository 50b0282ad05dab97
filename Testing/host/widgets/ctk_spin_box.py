"""ctkDoubleSpinBox.

It keeps the number that it was given and shows it rounded: what is read back is not what stands there.
"""

from PySide6.QtCore import Property, QByteArray, QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QWidget

from .declare import forwarded, limits, number, standIn, stored


@standIn
class ctkDoubleSpinBox(QWidget):
    """A spin box for real numbers; the limits are as exact as the value."""

    valueChanged = Signal((float,), (str,))
    editingFinished = Signal()
    decimalsChanged = Signal(int)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._box = QDoubleSpinBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box, 1)
        self._exact, self._range = 0.0, (0.0, 99.99)
        self._box.valueChanged.connect(self._onBox)
        self._box.editingFinished.connect(self.editingFinished)

    value = number("_exact", None)
    minimum, maximum = limits()

    @Property(int, notify=decimalsChanged)
    def decimals(self):
        return self._box.decimals

    @decimals.setter
    def decimals(self, decimals):
        self.setDecimals(decimals)

    @Property(float)
    def singleStep(self):
        return self._box.singleStep

    @singleStep.setter
    def singleStep(self, step):
        if self._shown(step) != self._shown(self._box.singleStep):
            self._box.setSingleStep(step)

    prefix = forwarded(str, "_box", "prefix")
    suffix = forwarded(str, "_box", "suffix")
    readOnly = forwarded(bool, "_box", "readOnly")
    cleanText = forwarded(str, "_box", "cleanText", writable=False)
    frame = forwarded(bool, "_box", "frame")
    alignment = stored("alignment", int, int(Qt.AlignLeft.value))
    decimalsOption = stored("decimalsOption", int, 0)
    invertedControls = stored("invertedControls", bool, False)

    def setValue(self, value):
        value = min(max(float(value), self._range[0]), self._range[1])
        if value != self._exact:
            self._exact = value
            self._box.setValue(value)
            self._tell()

    def setDecimals(self, decimals):
        if decimals == self._box.decimals:
            return
        with QSignalBlocker(self._box):
            self._box.setDecimals(decimals)
            self._box.setValue(self._exact)
        self.decimalsChanged.emit(decimals)

    def setReadOnly(self, readOnly):
        self._box.setReadOnly(readOnly)

    def stepUp(self):
        self._box.stepUp()

    def stepDown(self):
        self._box.stepDown()

    def _setRange(self, low: float, high: float) -> None:
        if (low, high) != self._range:
            self._range = (min(low, high), max(low, high))
            self._box.setRange(*self._range)

    def _shown(self, value: float) -> float:
        return float(self._words(value))

    def _words(self, value: float) -> str:
        """As Qt rounds: Python rounds a half to the even digit."""
        return bytes(QByteArray.number(float(value), "f", self._box.decimals)).decode()

    def _onBox(self, value: float) -> None:
        """What was typed or stepped to; a difference that rounding makes is none."""
        if self._shown(self._exact) == self._shown(value):
            return
        ends = [limit for limit in self._range if self._shown(limit) == self._shown(value)]
        self._exact = ends[0] if ends else value
        self._tell()

    def _tell(self) -> None:
        self.valueChanged[float].emit(self._exact)
        self.valueChanged[str].emit(self._words(self._exact))
