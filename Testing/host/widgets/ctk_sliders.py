"""CTK's sliders for real numbers, alone and with a spin box."""

import math

from PySide6.QtCore import Property, QEvent, QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSlider, QWidget

from .ctk_spin_box import ctkDoubleSpinBox
from .declare import forwarded, limits, number, standIn, stored

_MOST = 2**31 - 1  # steps of a slider


def _row(owner: QWidget, *widgets: QWidget) -> None:
    layout = QHBoxLayout(owner)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 1 if isinstance(widget, QSlider | ctkDoubleSlider) else 0)


def _limits(low: float, high: float) -> tuple[float, float]:
    return min(low, high), max(low, high)


def _clamped(value: float, limits: tuple[float, float]) -> float:
    return min(max(float(value), limits[0]), limits[1])


@standIn
class ctkDoubleSlider(QWidget):
    """A slider for real numbers: its handle goes in whole steps from the value that was set last."""

    valueChanged = Signal(float)
    sliderMoved = Signal(float)
    sliderPressed = Signal()
    sliderReleased = Signal()
    rangeChanged = Signal(float, float)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._range, self._value, self._step, self._page = (0.0, 99.0), 0.0, 1.0, 10.0
        self._rest = 0.0  # of the value that was set last, in steps
        self._slider = QSlider(Qt.Horizontal, self)
        _row(self, self._slider)
        self._slider.valueChanged.connect(self._onSlider)
        self._slider.sliderMoved.connect(lambda steps: self.sliderMoved.emit(self._at(steps)))
        self._slider.sliderPressed.connect(self.sliderPressed)
        self._slider.sliderReleased.connect(self.sliderReleased)

    value = number("_value", valueChanged)
    minimum, maximum = limits()

    @Property(float)
    def singleStep(self):
        return self._step

    @singleStep.setter
    def singleStep(self, step):
        if not self._isStep(step):
            return
        self._step = step
        self._anchor(self._value)
        with QSignalBlocker(self._slider):
            self._fitSlider()
            self._slider.setValue(self._steps(self._value))
            self._slider.setPageStep(self._steps(self._page))

    @Property(float)
    def pageStep(self):
        return self._page

    @pageStep.setter
    def pageStep(self, step):
        self._page = step
        self._slider.setPageStep(self._steps(step))

    orientation = forwarded(int, "_slider", "orientation")
    tracking = forwarded(bool, "_slider", "tracking")
    tickInterval = stored("tickInterval", float, 0.0)

    def setValue(self, value):
        value = _clamped(value, self._range)
        self._anchor(value)
        steps = self._steps(value)
        if steps != self._slider.value:
            self._slider.setValue(steps)  # which tells
            return
        before, self._value = self._value, value
        if abs(value - before) > self._step * 1e-9:
            self.valueChanged.emit(value)

    def setOrientation(self, orientation):
        self._slider.setOrientation(orientation)

    def _setRange(self, low: float, high: float) -> None:
        before, self._range = self._range, _limits(low, high)
        for limit, isBeyond in ((self._range[0], self._range[0] >= self._value),
                                (self._range[1], self._range[1] <= self._value)):
            if isBeyond:
                self._anchor(limit)
        self._fitSlider()
        if self._range != before:
            self.rangeChanged.emit(*self._range)
        self.setValue(self._value)

    def _fitSlider(self) -> None:
        """Both ends can be reached, if need be by a step that is not whole."""
        low, high = map(self._steps, self._range)
        low -= self._step * (self._rest + low) > self._range[0] and low > -_MOST
        high += self._step * (self._rest + high) < self._range[1] and high < _MOST
        self._slider.setRange(low, high)

    def _isStep(self, step: float) -> bool:
        low, high = self._range
        return low == high or 2.3e-16 <= step <= min(high - low, _MOST)

    def _anchor(self, value: float) -> None:
        self._rest = value / self._step - self._steps(value)

    def _steps(self, value: float) -> int:
        return int(_clamped(math.floor(value / self._step + 0.5), (-_MOST, _MOST)))

    def _at(self, steps: int) -> float:
        return _clamped(self._step * (self._rest + steps), self._range)

    def _onSlider(self, steps: int) -> None:
        value = self._at(steps)
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)


@standIn
class ctkSliderWidget(QWidget):
    """A slider with a spin box beside it.

    Without tracking, a drag emits `valueIsChanging`, and the value stays what it was until the mouse is let go.  A new
    number of decimals emits the value again, changed or not.
    """

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._tracking, self._before, self._isFollowing = True, None, False
        self._slider = ctkDoubleSlider(self)
        self._spin = ctkDoubleSpinBox(self)
        _row(self, self._slider, self._spin)
        self._slider.maximum, self._slider.minimum = self._spin.maximum, self._spin.minimum
        self._spin.valueChanged[float].connect(self._onSpin)
        self._spin.decimalsChanged.connect(self.setDecimals)
        self._slider.sliderPressed.connect(self._begin)
        self._slider.sliderReleased.connect(self._end)
        self._slider.valueChanged.connect(self._onSlider)
        self._spin._box.installEventFilter(self)

    pageStep = forwarded(float, "_slider", "pageStep")
    tickInterval = forwarded(float, "_slider", "tickInterval")
    prefix = forwarded(str, "_spin", "prefix")
    suffix = forwarded(str, "_spin", "suffix")
    synchronizeSiblings = stored("synchronizeSiblings", int, 1)
    popupSlider = stored("popupSlider", bool, False)
    invertedAppearance = stored("invertedAppearance", bool, False)
    invertedControls = stored("invertedControls", bool, False)
    tracking = stored("tracking", bool, True)

    @Property(float)
    def value(self):
        return self._slider.value if self._before is None else self._before

    @value.setter
    def value(self, value):
        self.setValue(value)

    @Property(int, notify=decimalsChanged)
    def decimals(self):
        return self._spin.decimals

    @decimals.setter
    def decimals(self, value):
        self.setDecimals(value)

    @Property(float)
    def minimum(self):
        return self._slider.minimum

    @minimum.setter
    def minimum(self, value):
        self._alone("minimum", value)

    @Property(float)
    def maximum(self):
        return self._slider.maximum

    @maximum.setter
    def maximum(self, value):
        self._alone("maximum", value)

    @Property(float)
    def singleStep(self):
        return self._slider.singleStep

    @singleStep.setter
    def singleStep(self, value):
        if self._slider._isStep(value):
            self._spin.singleStep = value
            self._slider.singleStep = self._spin.singleStep

    @Property(bool)
    def spinBoxVisible(self):
        return not self._spin.isHidden()

    @spinBoxVisible.setter
    def spinBoxVisible(self, visible):
        self.setSpinBoxVisible(visible)

    def setValue(self, value):
        before, self._before = self._before, None
        self._spin.setValue(value)
        self._before = before

    def setDecimals(self, decimals):
        self._spin.setDecimals(decimals)
        self._slider._setRange(self._spin.minimum, self._spin.maximum)
        self._onSlider(self._slider.value)
        self.decimalsChanged.emit(self._spin.decimals)

    def setSpinBoxVisible(self, visible):
        self._spin.setVisible(visible)

    def reset(self):
        self.setValue(0.0)

    def eventFilter(self, watched, event):
        if event.type() in (QEvent.MouseButtonPress, QEvent.MouseButtonRelease) and event.button() == Qt.LeftButton:
            (self._begin if event.type() == QEvent.MouseButtonPress else self._end)()
        return super().eventFilter(watched, event)

    def _alone(self, limit: str, value: float) -> None:
        """A limit of the spin box, which the slider takes from it afterwards."""
        following, self._isFollowing = self._isFollowing, True
        setattr(self._spin, limit, value)
        self._isFollowing = following
        setattr(self._slider, limit, getattr(self._spin, limit))

    def _onSpin(self, value: float) -> None:
        if not self._isFollowing:
            self._slider.setValue(value)

    def _onSlider(self, value: float) -> None:
        following, self._isFollowing = self._isFollowing, True
        self._spin.setValue(value)
        self._isFollowing = following
        if not self.tracking:
            self.valueIsChanging.emit(value)
        if self._before is None:
            self.valueChanged.emit(value)

    def _begin(self) -> None:
        if not self.tracking:
            self._before = self.value

    def _end(self) -> None:
        if not self.tracking:
            before, self._before = self._before, None
            if before is None or abs(self.value - before) > self.singleStep * 1e-9:
                self.valueChanged.emit(self.value)
