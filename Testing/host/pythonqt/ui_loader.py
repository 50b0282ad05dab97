"""QUiLoader for real .ui files with Slicer's custom widgets.

PySide6 cannot carry a vtk pointer through a C++ connection, nor knows the flags and enumerations of a class
made in Python.  Both are taken out of the XML before Qt reads it and are made here, so the scene reaches the
selectors through the .ui file's own <connections> and through nothing else.
"""

import xml.etree.ElementTree as ET

from PySide6 import QtWidgets
from PySide6.QtCore import QBuffer, QByteArray, QObject
from PySide6.QtUiTools import QUiLoader as _QUiLoader
from PySide6.QtWidgets import QWidget

from ..widgets.declare import standIns
from .attributes import childrenStayChildren, markAsStandIn
from .signals import checkedSignature, normalized


class UiError(ValueError):
    """The .ui file asks for something that does not exist."""


@markAsStandIn
class QUiLoader(QObject):
    """Loads a widget tree; unlike Qt's own it refuses unknown classes, signals and slots."""

    def load(self, device, parent=None):
        tree = ET.fromstring(bytes(device.readAll().data()))
        connections = _takeConnections(tree)
        assignments = _takeEnumerations(tree)
        loader = _QUiLoader()
        for cls in _customClasses(tree):
            loader.registerCustomWidget(cls)
        buffer = QBuffer()
        buffer.setData(QByteArray(ET.tostring(tree)))
        buffer.open(QBuffer.ReadOnly)
        with childrenStayChildren():
            widget = loader.load(buffer, parent)
        if widget is None:
            raise UiError(f"the .ui file could not be loaded: {loader.errorString()}")
        for name, propertyName, value in assignments:
            setattr(_object(widget, name), propertyName, value)
        for connection in connections:
            _connect(widget, connection)
        return widget


def _customClasses(tree: ET.Element) -> list[type]:
    known = standIns()
    used = {node.get("class") for node in tree.iter("widget")}
    unknown = sorted(name for name in used if name not in known and not hasattr(QtWidgets, name))
    if unknown:
        raise UiError(f"no such widget class: {', '.join(unknown)}")
    declared = {node.findtext("class") for node in tree.iter("customwidget")}
    undeclared = sorted(name for name in used if name in known and name not in declared)
    if undeclared:
        raise UiError(f"used but not declared under <customwidgets>: {', '.join(undeclared)}")
    return [known[name] for name in used if name in known]


def _takeConnections(tree: ET.Element) -> list[dict[str, str]]:
    found = []
    for node in tree.findall("connections"):
        for connection in node.findall("connection"):
            found.append({part: connection.findtext(part) for part in ("sender", "signal", "receiver", "slot")})
        tree.remove(node)
    return found


def _takeEnumerations(tree: ET.Element) -> list[tuple[str, str, int]]:
    """The <enum> and <set> properties of stand-ins, as (widget, property, number)."""
    known = standIns()
    taken = []
    for node in tree.iter("widget"):
        cls = known.get(node.get("class"))
        if cls is None:
            continue
        for item in node.findall("property"):
            value = next((item.find(kind) for kind in ("enum", "set") if item.find(kind) is not None), None)
            if value is not None and _ownProperty(cls, item.get("name")):
                taken.append((node.get("name"), item.get("name"), _number(value.text or "")))
                node.remove(item)
    return taken


def _ownProperty(cls: type, name: str) -> bool:
    """Whether the property belongs to a class made in Python (and not to Qt)."""
    owner = next((c for c in cls.__mro__ if name in c.__dict__), None)
    return owner is not None and not owner.__module__.startswith("PySide6")


def _number(text: str) -> int:
    number = 0
    for part in text.split("|"):
        owner, _, name = part.strip().rpartition("::")
        scope = standIns().get(owner.split("::")[0]) or getattr(QtWidgets, owner.split("::")[0], None)
        value = getattr(scope, name, None)
        if value is None:
            from PySide6.QtCore import Qt

            value = getattr(Qt, name, 0)
        number |= int(getattr(value, "value", value))
    return number


def _object(widget: QWidget, name: str) -> QObject:
    if QObject.objectName(widget) == name:
        return widget
    found = widget.findChild(QObject, name)
    if found is None:
        raise UiError(f"the .ui file connects '{name}', which does not exist in it")
    return found


def _connect(widget: QWidget, connection: dict[str, str]) -> None:
    sender = _object(widget, connection["sender"])
    receiver = _object(widget, connection["receiver"])
    try:
        signal = checkedSignature(sender, connection["signal"])
    except ValueError as error:
        raise UiError(str(error)) from error
    slot = normalized(connection["slot"])
    name, _, types = slot.partition("(")
    method = getattr(receiver, name, None)
    if not callable(method):
        raise UiError(
            f"slot '{connection['slot']}' does not exist on {receiver.className()} '{connection['receiver']}'"
        )
    count = 0 if types == ")" else types.count(",") + 1
    sender.connect(signal, lambda *values: method(*values[:count]))
