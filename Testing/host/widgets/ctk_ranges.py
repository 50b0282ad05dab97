"""CTK's widgets for a lower and an upper value."""

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QStyle, QStyleOptionSlider, QStylePainter, QWidget

from .ctk_numbers import ctkDoubleSpinBox
from .declare import standIn, stored


class _Range(QWidget):
    """The two values and their limits; what ctkDoubleRangeSlider and ctkRangeWidget have in common."""

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._limits = (0.0, 99.0)
        self._values = (0.0, 99.0)

    def _setLimits(self, low: float, high: float) -> None:
        if (low, high) == self._limits:
            return
        self._limits = (low, max(low, high))
        self._limitsShown()
        self.rangeChanged.emit(*self._limits)
        self._setValues(*self._values)

    def _setValues(self, low: float, high: float) -> None:
        bottom, top = self._limits
        new = tuple(min(max(v, bottom), top) for v in sorted((float(low), float(high))))
        old, self._values = self._values, new
        self._valuesShown()
        if new[0] != old[0]:
            self.minimumValueChanged.emit(new[0])
        if new[1] != old[1]:
            self.maximumValueChanged.emit(new[1])
        if new != old:
            self.valuesChanged.emit(*new)

    def _limitsShown(self) -> None:
        self.update()

    def _valuesShown(self) -> None:
        self.update()


def _limit(index: int) -> Property:
    def write(self, value):
        limits = list(self._limits)
        limits[index] = value
        self._setLimits(*(limits if index == 1 else (value, max(value, limits[1]))))

    return Property(float, lambda self: self._limits[index], write)


def _value(index: int) -> Property:
    def write(self, value):
        values = list(self._values)
        values[index] = value
        self._setValues(*values)

    return Property(float, lambda self: self._values[index], write)


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
        self._setValues(value, self._values[1])

    def setMaximumValue(self, value):
        self._setValues(self._values[0], value)

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
    """A range slider between two spin boxes."""

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
        self._setValues(value, self._values[1])

    def setMaximumValue(self, value):
        self._setValues(self._values[0], value)

    def setValues(self, low, high):
        self._setValues(low, high)

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
