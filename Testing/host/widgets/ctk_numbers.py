"""CTK's sliders and spin boxes for real numbers."""

from PySide6.QtCore import Property, QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

from .declare import forwarded, standIn, stored


def _row(owner: QWidget, *widgets: QWidget) -> None:
    layout = QHBoxLayout(owner)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 1 if isinstance(widget, QSlider | ctkDoubleSlider) else 0)


@standIn
class ctkDoubleSpinBox(QWidget):
    """A spin box for real numbers."""

    valueChanged = Signal((float,), (str,))
    editingFinished = Signal()
    decimalsChanged = Signal(int)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._box = QDoubleSpinBox(self)
        _row(self, self._box)
        self.layout().setStretch(0, 1)
        self._box.valueChanged.connect(self._announce)
        self._box.editingFinished.connect(self.editingFinished)

    value = forwarded(float, "_box", "value")
    minimum = forwarded(float, "_box", "minimum")
    maximum = forwarded(float, "_box", "maximum")
    singleStep = forwarded(float, "_box", "singleStep")
    decimals = forwarded(int, "_box", "decimals")
    prefix = forwarded(str, "_box", "prefix")
    suffix = forwarded(str, "_box", "suffix")
    readOnly = forwarded(bool, "_box", "readOnly")
    cleanText = forwarded(str, "_box", "cleanText", writable=False)
    frame = forwarded(bool, "_box", "frame")
    alignment = stored("alignment", int, int(Qt.AlignLeft.value))
    decimalsOption = stored("decimalsOption", int, 0)
    invertedControls = stored("invertedControls", bool, False)

    def _announce(self, value: float) -> None:
        self.valueChanged[float].emit(value)
        self.valueChanged[str].emit(self._box.text)

    def setValue(self, value):
        self._box.setValue(value)

    def setDecimals(self, decimals):
        self._box.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)

    def setReadOnly(self, readOnly):
        self._box.setReadOnly(readOnly)

    def stepUp(self):
        self._box.stepUp()

    def stepDown(self):
        self._box.stepDown()


@standIn
class ctkDoubleSlider(QWidget):
    """A slider for real numbers: a QSlider that counts steps of `singleStep`."""

    valueChanged = Signal(float)
    sliderMoved = Signal(float)
    sliderPressed = Signal()
    sliderReleased = Signal()
    rangeChanged = Signal(float, float)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._range = (0.0, 99.0)
        self._value = 0.0
        self._step = 1.0
        self._slider = QSlider(Qt.Horizontal, self)
        _row(self, self._slider)
        self._slider.valueChanged.connect(self._onSlider)
        self._slider.sliderMoved.connect(lambda steps: self.sliderMoved.emit(self._fromSteps(steps)))
        self._slider.sliderPressed.connect(self.sliderPressed)
        self._slider.sliderReleased.connect(self.sliderReleased)
        self._rescale()

    @Property(float, notify=valueChanged)
    def value(self):
        return self._value

    @value.setter
    def value(self, value):
        self.setValue(value)

    @Property(float)
    def minimum(self):
        return self._range[0]

    @minimum.setter
    def minimum(self, value):
        self._range = (value, max(value, self._range[1]))
        self._rescale()

    @Property(float)
    def maximum(self):
        return self._range[1]

    @maximum.setter
    def maximum(self, value):
        self._range = (min(value, self._range[0]), value)
        self._rescale()

    @Property(float)
    def singleStep(self):
        return self._step

    @singleStep.setter
    def singleStep(self, value):
        self._step = value or 1.0
        self._rescale()

    orientation = forwarded(int, "_slider", "orientation")
    tracking = forwarded(bool, "_slider", "tracking")
    pageStep = stored("pageStep", float, 10.0)
    tickInterval = stored("tickInterval", float, 0.0)

    def setValue(self, value):
        value = min(max(float(value), self._range[0]), self._range[1])
        if value == self._value:
            return
        self._value = value
        with QSignalBlocker(self._slider):
            self._slider.setValue(round((value - self._range[0]) / self._step))
        self.valueChanged.emit(value)

    def setOrientation(self, orientation):
        self._slider.setOrientation(orientation)

    def _fromSteps(self, steps: int) -> float:
        return min(self._range[0] + steps * self._step, self._range[1])

    def _onSlider(self, steps: int) -> None:
        value = self._fromSteps(steps)
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)

    def _rescale(self) -> None:
        value = self._value
        low, high = (min(max(limit, -1e9), 1e9) for limit in self._range)
        with QSignalBlocker(self._slider):
            self._slider.setRange(0, min(round((high - low) / self._step), 2**31 - 1))
        self.rangeChanged.emit(*self._range)
        self._value = float("nan")  # so that the clamped value is set and announced if it differs
        clamped = min(max(value, self._range[0]), self._range[1])
        if clamped == value:
            self._value = value
            with QSignalBlocker(self._slider):
                self._slider.setValue(min(max(round((value - low) / self._step), 0), 2**31 - 1))
        else:
            self.setValue(clamped)


@standIn
class ctkSliderWidget(QWidget):
    """A slider with a spin box beside it."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._slider = ctkDoubleSlider(self)
        self._spin = ctkDoubleSpinBox(self)
        _row(self, self._slider, self._spin)
        self._spin.maximum = 99.0
        self._slider.valueChanged.connect(self._onSlider)
        self._spin.valueChanged[float].connect(self._slider.setValue)

    value = forwarded(float, "_slider", "value")
    pageStep = forwarded(float, "_slider", "pageStep")
    tracking = forwarded(bool, "_slider", "tracking")
    tickInterval = forwarded(float, "_slider", "tickInterval")
    prefix = forwarded(str, "_spin", "prefix")
    suffix = forwarded(str, "_spin", "suffix")
    synchronizeSiblings = stored("synchronizeSiblings", int, 0)
    popupSlider = stored("popupSlider", bool, False)
    invertedAppearance = stored("invertedAppearance", bool, False)
    invertedControls = stored("invertedControls", bool, False)

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
        self._slider.minimum = self._spin.minimum = value

    @Property(float)
    def maximum(self):
        return self._slider.maximum

    @maximum.setter
    def maximum(self, value):
        self._spin.maximum = self._slider.maximum = value

    @Property(float)
    def singleStep(self):
        return self._slider.singleStep

    @singleStep.setter
    def singleStep(self, value):
        self._slider.singleStep = self._spin.singleStep = value

    @Property(bool)
    def spinBoxVisible(self):
        return not self._spin.isHidden()

    @spinBoxVisible.setter
    def spinBoxVisible(self, visible):
        self.setSpinBoxVisible(visible)

    def _onSlider(self, value: float) -> None:
        with QSignalBlocker(self._spin):
            self._spin.setValue(value)
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def setValue(self, value):
        self._slider.setValue(value)

    def setDecimals(self, decimals):
        self._spin.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible):
        self._spin.setVisible(visible)

    def reset(self):
        self.setValue(0.0)
