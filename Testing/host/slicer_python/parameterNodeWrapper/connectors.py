"""One connector for each kind of widget, with Slicer's rules about what fits."""

import enum
import typing
from pathlib import PurePath

import ctk
import qt
import slicer

from .annotations import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    RangeBounds,
    SingleStep,
    WithinRange,
    first,
    plain,
)
from .gui import GuiConnector, createGuiConnector, parameterNodeGuiConnector
from .packs import FloatRange, isParameterPack, nestedParameterNames

SlicerPackParameterNamePropertyName = "SlicerPackParameterName"


def _steps(widget, datatype, decimals: bool = True) -> None:
    if decimals and first(datatype, Decimals):
        widget.decimals = first(datatype, Decimals).value
    if first(datatype, SingleStep):
        widget.singleStep = first(datatype, SingleStep).value


def _bounds(datatype, unbounded: tuple) -> tuple:
    """(minimum, maximum) from the validators."""
    within = first(datatype, WithinRange)
    if within:
        return within.minimum, within.maximum
    low, high = first(datatype, Minimum), first(datatype, Maximum)
    return (low.minimum if low else unbounded[0], high.maximum if high else unbounded[1])


@parameterNodeGuiConnector
class CheckBoxConnector(GuiConnector):
    attribute, signal = "checked", "toggled"

    @staticmethod
    def fits(widget, datatype):
        return plain(datatype) is bool and type(widget) in (qt.QCheckBox, ctk.ctkCheckBox)


@parameterNodeGuiConnector
class CheckableButtonConnector(GuiConnector):
    attribute, signal = "checked", "toggled"

    @staticmethod
    def fits(widget, datatype):
        return plain(datatype) is bool and type(widget) in (qt.QPushButton, ctk.ctkCheckablePushButton)

    def prepare(self):
        self._widget.checkable = True


@parameterNodeGuiConnector
class IntegerConnector(GuiConnector):
    signal = "valueChanged"

    @staticmethod
    def fits(widget, datatype):
        return plain(datatype) is int and type(widget) in (qt.QSpinBox, qt.QSlider)

    def prepare(self):
        _steps(self._widget, self._type, decimals=False)
        low, high = _bounds(self._type, (None, None))
        if isinstance(self._widget, qt.QSlider) and None in (low, high):
            raise RuntimeError("Cannot have a connection to QSlider where the int type is unbounded.")
        self._widget.setRange(-(2**31) if low is None else low, 2**31 - 1 if high is None else high)


@parameterNodeGuiConnector
class NumberConnector(GuiConnector):
    signal = "valueChanged"

    @staticmethod
    def fits(widget, datatype):
        kinds = (
            qt.QDoubleSpinBox, ctk.ctkDoubleSpinBox, ctk.ctkSliderWidget, ctk.ctkDoubleSlider,
            slicer.qMRMLSliderWidget, slicer.qMRMLSpinBox,
        )  # fmt: skip
        return plain(datatype) in (int, float) and type(widget) in kinds

    def prepare(self):
        kind = type(self._widget)
        if plain(self._type) is int and kind is not ctk.ctkDoubleSlider:
            self._widget.decimals = 0
        _steps(self._widget, self._type, decimals=kind is not ctk.ctkDoubleSlider and plain(self._type) is float)
        low, high = _bounds(self._type, (None, None))
        if kind in (ctk.ctkSliderWidget, slicer.qMRMLSliderWidget) and None in (low, high):
            raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float type is unbounded.")
        self._widget.minimum = float("-inf") if low is None else low
        self._widget.maximum = float("inf") if high is None else high

    def read(self):
        return plain(self._type)(self._widget.value)


@parameterNodeGuiConnector
class ChoiceConnector(GuiConnector):
    signal = "currentIndexChanged"

    @staticmethod
    def fits(widget, datatype):
        return type(widget) in (qt.QComboBox, ctk.ctkComboBox) and plain(datatype) in (str, int, float, bool)

    def prepare(self):
        if first(self._type, Choice) is None:
            raise RuntimeError("A combo box for plain values needs the Choice annotation.")
        self._choices = list(first(self._type, Choice).choices)
        self._fill([str(choice) for choice in self._choices])

    def _fill(self, labels: list[str]) -> None:
        selected = self._widget.currentIndex
        self._widget.clear()
        for label in labels:
            self._widget.addItem(label)
        self._widget.currentIndex = min(max(selected, 0), len(labels) - 1)

    def read(self):
        return self._choices[self._widget.currentIndex]

    def write(self, value):
        self._widget.currentIndex = self._choices.index(value)


@parameterNodeGuiConnector
class EnumConnector(ChoiceConnector):
    @staticmethod
    def fits(widget, datatype):
        kind = plain(datatype)
        isEnum = isinstance(kind, type) and issubclass(kind, enum.Enum)
        return isEnum and type(widget) in (qt.QComboBox, ctk.ctkComboBox)

    def prepare(self):
        kind = plain(self._type)
        self._choices = list(kind)
        self._fill([kind.label(e) if hasattr(kind, "label") else e.name for e in kind])


@parameterNodeGuiConnector
class LineEditConnector(GuiConnector):
    attribute, signal = "text", "textChanged"

    @staticmethod
    def fits(widget, datatype):
        return plain(datatype) is str and type(widget) is qt.QLineEdit

    def write(self, value):
        if value != self._widget.text:  # writing moves the cursor
            self._widget.text = value


@parameterNodeGuiConnector
class LabelConnector(GuiConnector):
    attribute = "text"

    @staticmethod
    def fits(widget, datatype):
        return plain(datatype) is str and type(widget) is qt.QLabel


@parameterNodeGuiConnector
class TextEditConnector(GuiConnector):
    signal = "textChanged"

    @staticmethod
    def fits(widget, datatype):
        return plain(datatype) is str and type(widget) is qt.QTextEdit

    def read(self):
        return self._widget.toPlainText()

    def write(self, value):
        if value != self.read():
            self._widget.setPlainText(value)


@parameterNodeGuiConnector
class PathConnector(GuiConnector):
    @staticmethod
    def fits(widget, datatype):
        kind = plain(datatype)
        isPath = isinstance(kind, type) and issubclass(kind, PurePath)
        return isPath and type(widget) in (ctk.ctkPathLineEdit, ctk.ctkDirectoryButton)

    def prepare(self):
        isButton = type(self._widget) is ctk.ctkDirectoryButton
        self.attribute = "directory" if isButton else "currentPath"
        self.signal = f"{self.attribute}Changed"

    def read(self):
        return plain(self._type)(super().read())

    def write(self, value):
        super().write(str(value))


@parameterNodeGuiConnector
class RangeConnector(GuiConnector):
    signal = "valuesChanged"

    @staticmethod
    def fits(widget, datatype):
        kinds = (ctk.ctkRangeWidget, ctk.ctkDoubleRangeSlider, slicer.qMRMLRangeWidget)
        return plain(datatype) is FloatRange and type(widget) in kinds

    def prepare(self):
        bounds = first(self._type, RangeBounds)
        if bounds is None:
            raise RuntimeError("A range widget needs the RangeBounds annotation.")
        _steps(self._widget, self._type, decimals=type(self._widget) is not ctk.ctkDoubleRangeSlider)
        self._widget.setRange(bounds.minimum, bounds.maximum)

    def read(self):
        return FloatRange(self._widget.minimumValue, self._widget.maximumValue)

    def write(self, value):
        self._widget.setValues(value.minimum, value.maximum)


def nodeClasses(datatype) -> list[str]:
    """The node classes of a type hint (a node class, or a union of some and None); [] where it is not one."""
    kind = plain(datatype)
    parts = [plain(part) for part in typing.get_args(kind)] or [kind]
    parts = [part for part in parts if part is not type(None)]
    areNodes = all(isinstance(part, type) and issubclass(part, slicer.vtkMRMLNode) for part in parts)
    return [part().GetClassName() for part in parts] if areNodes else []


@parameterNodeGuiConnector
class NodeConnector(GuiConnector):
    signal = "currentNodeChanged"

    @staticmethod
    def fits(widget, datatype):
        return type(widget) is slicer.qMRMLNodeComboBox and bool(nodeClasses(datatype))

    def prepare(self):
        self._widget.nodeTypes = nodeClasses(self._type)

    def read(self):
        return self._widget.currentNode()

    def write(self, value):
        self._widget.setCurrentNode(value)


@parameterNodeGuiConnector
class PackConnector(GuiConnector):
    """A container whose children carry the names of the members."""

    @staticmethod
    def fits(widget, datatype):
        return isParameterPack(plain(datatype)) and set(nestedParameterNames(datatype)) <= set(packWidgets(widget))

    def prepare(self):
        kind, widgets = plain(self._type), packWidgets(self._widget)
        self._parts = {
            name: createGuiConnector(widgets[name], kind.dataType(name)) for name in nestedParameterNames(kind)
        }

    def _connect(self):
        for part in self._parts.values():
            part.onChanged(self.changed)

    def _disconnect(self):
        for part in self._parts.values():
            part.onChanged(None)

    def read(self):
        pack = plain(self._type)()
        for name, part in self._parts.items():
            pack.setValue(name, part.read())
        return pack

    def write(self, value):
        for name, part in self._parts.items():
            part.write(value.getValue(name))


def packWidgets(widget) -> dict:
    """Dotted member name -> widget, from the SlicerPackParameterName of the children and their parents."""
    found = {}
    for child in widget.findChildren(qt.QWidget):
        names, step = [], child
        while step is not None and step is not widget:
            if step.property(SlicerPackParameterNamePropertyName):
                names.insert(0, step.property(SlicerPackParameterNamePropertyName))
            step = step.parent()
        if names and child.property(SlicerPackParameterNamePropertyName):
            found[".".join(names)] = child
    return found
