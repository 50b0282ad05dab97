"""CTK's widgets for a lower and an upper value."""

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QStyle, QStyleOptionSlider, QStylePainter, QWidget

from .ctk_spin_box import ctkDoubleSpinBox
from .declare import standIn, stored


class _Range(QWidget):
    """The two values and their limits; what ctkDoubleRangeSlider and ctkRangeWidget have in common."""

    _limitIsTold = True  # by rangeChanged, where only one of them is set

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._limits = (0.0, 99.0)
        self._values = (0.0, 99.0)

    def _setLimits(self, low: float, high: float, tells: bool = True) -> None:
        if (low, high) == self._limits:
            return
        self._limits = (min(low, high), max(low, high))
        self._limitsShown()
        self._setValues(*self._values)
        if tells:
            self.rangeChanged.emit(*self._limits)

    def _setLimit(self, end: int, value: float) -> None:
        low, high = self._limits
        self._setLimits(*((value, max(value, high)) if end == 0 else (min(low, value), value)), self._limitIsTold)

    def _setValue(self, end: int, value: float) -> None:
        """One end: it takes the other one along."""
        low, high = self._values
        self._setValues(*((value, max(value, high)) if end == 0 else (min(low, value), value)))

    def _setValues(self, low: float, high: float) -> None:
        bottom, top = self._limits
        new = tuple(min(max(v, bottom), top) for v in sorted((float(low), float(high))))
        old, self._values = self._values, new
        self._valuesShown()
        if new != old:
            self.valuesChanged.emit(*new)
        for end, changed in enumerate((self.minimumValueChanged, self.maximumValueChanged)):
            if new[end] != old[end]:
                self._tellMoving(end, new[end])
                changed.emit(new[end])

    def _tellMoving(self, end: int, value: float) -> None:
        pass

    def _limitsShown(self) -> None:
        self.update()

    def _valuesShown(self) -> None:
        self.update()


def _limit(end: int) -> Property:
    return Property(float, lambda self: self._limits[end], lambda self, value: self._setLimit(end, value))


def _value(end: int) -> Property:
    return Property(float, lambda self: self._values[end], lambda self, value: self._setValue(end, value))


@standIn
class ctkDoubleRangeSlider(_Range):
    """A slider with two handles; here it only draws the range."""

    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)
    valuesChanged = Signal(float, float)
    rangeChanged = Signal(float, float)

    minimum = _limit(0)
    maximum = _limit(1)
    minimumValue = _value(0)
    maximumValue = _value(1)
    singleStep = stored("singleStep", float, 1.0)
    tracking = stored("tracking", bool, True)
    orientation = stored("orientation", int, int(Qt.Horizontal.value))
    tickInterval = stored("tickInterval", float, 0.0)
    symmetricMoves = stored("symmetricMoves", bool, False)

    def setRange(self, low, high):
        self._setLimits(low, high)

    def setMinimumValue(self, value):
        self._setValue(0, value)

    def setMaximumValue(self, value):
        self._setValue(1, value)

    def setValues(self, low, high):
        self._setValues(low, high)

    def paintEvent(self, event):
        painter = QStylePainter(self)
        option = QStyleOptionSlider()
        option.initFrom(self)
        option.orientation = Qt.Horizontal
        option.subControls = QStyle.SC_SliderGroove
        painter.drawComplexControl(QStyle.CC_Slider, option)
        low, high = self._limits
        left, right = ((v - low) / ((high - low) or 1.0) * (self.width - 8) for v in self._values)
        bar = self.rect.adjusted(int(left) + 4, self.height // 2 - 3, 0, 0)
        bar.setSize(bar.size().expandedTo(bar.size()))
        bar.setWidth(max(int(right - left), 2))
        bar.setHeight(6)
        painter.fillRect(bar, self.palette.color(QPalette.Highlight))


@standIn
class ctkRangeWidget(_Range):
    """A range slider between two spin boxes, each of which ends where the other begins."""

    _limitIsTold = False

    minimumValueChanged = Signal(float)
    minimumValueIsChanging = Signal(float)
    maximumValueChanged = Signal(float)
    maximumValueIsChanging = Signal(float)
    valuesChanged = Signal(float, float)
    rangeChanged = Signal(float, float)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._low, self._bar, self._high = (
            ctkDoubleSpinBox(self),
            ctkDoubleRangeSlider(self),
            ctkDoubleSpinBox(self),
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self._low, self._bar, self._high):
            layout.addWidget(part, part is self._bar)
        self._limitsShown()
        self._valuesShown()
        self._low.valueChanged.connect(lambda value: self._setValues(value, max(value, self._values[1])))
        self._high.valueChanged.connect(lambda value: self._setValues(min(value, self._values[0]), value))

    minimum = _limit(0)
    maximum = _limit(1)
    minimumValue = _value(0)
    maximumValue = _value(1)
    decimals = Property(int, lambda self: self._low.decimals, lambda self, value: self.setDecimals(value))
    prefix = stored("prefix", str, "", "_textsShown")
    suffix = stored("suffix", str, "", "_textsShown")
    singleStep = stored("singleStep", float, 1.0, "_textsShown")
    tickInterval = stored("tickInterval", float, 0.0)
    autoSpinBoxWidth = stored("autoSpinBoxWidth", bool, True)
    spinBoxTextAlignment = stored("spinBoxTextAlignment", int, 0)
    spinBoxAlignment = stored("spinBoxAlignment", int, 0)
    tracking = stored("tracking", bool, True)
    symmetricMoves = stored("symmetricMoves", bool, False)

    def setRange(self, low, high):
        self._setLimits(low, high)

    def setMinimumValue(self, value):
        self._setValue(0, value)

    def setMaximumValue(self, value):
        self._setValue(1, value)

    def setValues(self, low, high):
        self._setValues(low, high)

    def _setValue(self, end, value):
        low, high = self._values
        self._setValues(*((min(value, high), high) if end == 0 else (low, max(low, value))))

    def _tellMoving(self, end, value):
        (self.minimumValueIsChanging, self.maximumValueIsChanging)[end].emit(value)

    def setDecimals(self, decimals):
        for part in (self._low, self._high):
            part.setDecimals(decimals)

    def reset(self):
        self._setValues(*self._limits)

    def _textsShown(self) -> None:
        for part in (self._low, self._high):
            part.prefix, part.suffix, part.singleStep = self.prefix, self.suffix, self.singleStep

    def _limitsShown(self) -> None:
        for part in (self._low, self._high, self._bar):
            part.minimum, part.maximum = self._limits

    def _valuesShown(self) -> None:
        for part, value in ((self._low, self._values[0]), (self._high, self._values[1])):
            part.blockSignals(True)
            part.setValue(value)
            part.blockSignals(False)
        self._bar.setValues(*self._values)
