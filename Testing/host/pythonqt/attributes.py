"""Attributes as PythonQt has them: a Q_PROPERTY is a value, an unknown name is an error.

PythonQt reads `label.text` and writes `label.text = "x"`; PySide6 has only the methods `text()` and
`setText()`.  After `adapt`, the property wins over the method of the same name, so that `label.text()` fails
with "'str' object is not callable" exactly as it does in Slicer, while setters stay methods.
PySide6's own `true_property` feature cannot be used for this: it removes the setters.
"""

import inspect
from contextlib import contextmanager

import shiboken6
from PySide6.QtCore import Property, QObject, SignalInstance

from .names import qtObjectClasses

_MISSING = object()
_STAND_IN = "_hostStandIn"
_isLoading = False


def adapt() -> None:
    """Change PySide6's classes in place, once per process."""
    if hasattr(QObject, "className"):
        return
    readers = {cls: _readers(cls) for cls in qtObjectClasses()}  # all found before any is replaced
    for cls, found in readers.items():
        for name, reader in found.items():
            setattr(cls, name, _asValue(name, reader, getattr(cls, name, None)))
        if "__setattr__" in cls.__dict__:
            cls.__setattr__ = _setAttribute
            cls.__delattr__ = _deleteAttribute
        if hasattr(cls, "exec") and not hasattr(cls, "exec_"):
            cls.exec_ = cls.exec
    for cls in qtObjectClasses():
        if "__getattribute__" in cls.__dict__:
            # With a hook of its own, a class no longer inherits QObject's.
            cls.__getattr__ = _missingAttribute
    QObject.name = _asValue("objectName", None)
    QObject.className = lambda self: self.metaObject().className()
    QObject.delete = lambda self: shiboken6.delete(self)


def markAsStandIn(cls: type) -> type:
    """Declare that `cls` stands in for a C++ class: no new public attributes on its instances."""
    setattr(cls, _STAND_IN, cls)
    return cls


def isCppClass(cls: type) -> bool:
    """Whether Slicer knows `cls` as a C++ class (as opposed to a Python class derived from one)."""
    return cls.__module__.startswith("PySide6") or cls.__dict__.get(_STAND_IN) is cls


def _readers(cls: type) -> dict[str, object]:
    """The getter of each Q_PROPERTY that `cls` declares, or whose getter it overrides (QLabel.sizeHint).

    None where only the metaobject has one.
    """
    meta = cls.staticMetaObject
    every = [meta.property(i).name() for i in range(meta.propertyCount())]
    own = every[meta.propertyOffset() :]
    overridden = [name for name in every if name in cls.__dict__]
    return {name: _getterMethod(cls, name) for name in (*own, *overridden)}


def _getterMethod(cls: type, name: str):
    """PySide6's getter method. It knows enumerations, which QObject.property() cannot convert."""
    for candidate in (name, f"is{name[0].upper()}{name[1:]}", f"has{name[0].upper()}{name[1:]}"):
        method = inspect.getattr_static(cls, candidate, None)
        if callable(method) and not isinstance(method, property | staticmethod | classmethod):
            return method
    return None


class _Value(property):
    """A property that leaves what the class itself offers (QTimer.singleShot) where it was."""

    onClass = None

    def __get__(self, instance, owner=None):
        if instance is None and self.onClass is not None:
            return self.onClass
        return super().__get__(instance, owner)


def _asValue(name: str, reader, onClass=None) -> property:
    """The value `name` of an object, read with `reader` or else through the metaobject."""

    def read(self):
        return reader(self) if reader is not None else QObject.property(self, name)

    value = _Value(read, lambda self, new: _write(self, name, new))
    value.onClass = onClass
    return value


def _write(self, name: str, value) -> None:
    index = self.metaObject().indexOfProperty(name)
    if index >= 0 and not self.metaObject().property(index).isWritable():
        raise AttributeError(f"Property '{name}' of {self.className()} object is not writable")
    if not QObject.setProperty(self, name, list(value) if isinstance(value, tuple) else value):
        raise AttributeError(
            f"Property '{name}' of {self.className()} does not accept an object of type "
            f"{type(value).__name__} ({value!r})"
        )


@contextmanager
def childrenStayChildren():
    """While a .ui file loads: PySide6's loader sets every named child as an attribute of the top widget, which
    PythonQt's does not. (Refusing it would raise, and only for some files: the loader drops the error of each child
    but the last.)"""
    global _isLoading
    _isLoading = True
    try:
        yield
    finally:
        _isLoading = False


def _setAttribute(self, name: str, value) -> None:
    if _isLoading and isinstance(value, QObject) and isCppClass(type(self)) and QObject.objectName(value) == name:
        return
    if name.startswith("_") and not hasattr(type(self), name):
        self.__dict__[name] = value
        return
    declared = inspect.getattr_static(type(self), name, _MISSING)
    if isinstance(declared, Property):  # made in Python; libpyside has no __set__ for it
        _write(self, name, value)
        return
    if isinstance(declared, property):
        if declared.fset is None:
            raise AttributeError(f"Property '{name}' of {self.className()} object is not writable")
        declared.fset(self, value)
        return
    keptByPySide = isinstance(value, SignalInstance)  # it stores an object's signal at the first look
    if isCppClass(type(self)) and not name.startswith("_") and not keptByPySide:
        if name in _dynamicProperties(self):
            QObject.setProperty(self, name, value)
            return
        reason = (
            "does not exist and creating new attributes on C++ objects is not allowed"
            if declared is _MISSING
            else "is a slot or signal and can not be overwritten"
        )
        raise AttributeError(f"'{name}' {reason} ({self.className()} '{QObject.objectName(self)}')")
    self.__dict__[name] = value  # neither object's nor shiboken's __setattr__ may be called from here


def _deleteAttribute(self, name: str) -> None:
    if name not in self.__dict__:
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}' of its own")
    del self.__dict__[name]


def _missingAttribute(self, name: str):
    """What PythonQt looks at last: a dynamic property, then a child of that name."""
    if not name.startswith("_") and shiboken6.isValid(self):
        if name in _dynamicProperties(self):
            return QObject.property(self, name)
        for child in self.children():
            if QObject.objectName(child) == name:
                return child
    raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")


def _dynamicProperties(self) -> list[str]:
    return [bytes(name).decode() for name in self.dynamicPropertyNames()]
