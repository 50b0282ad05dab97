"""How a stand-in is declared: Qt properties become values, everything else of its own is private."""

from PySide6.QtCore import Property

from ..pythonqt.attributes import markAsStandIn

_standIns: dict[str, type] = {}


def standIn(cls: type) -> type:
    """Class decorator: `cls` plays the C++ class of the same name."""
    _standIns[cls.__name__] = cls
    return markAsStandIn(cls)


def standIns() -> dict[str, type]:
    """All stand-in classes declared so far, by name."""
    return dict(_standIns)


def stored(name: str, kind: type, default, changed: str | None = None) -> Property:
    """A Q_PROPERTY that keeps what it was given; `changed` names a method to call afterwards."""
    key = f"_{name}"

    def read(self):
        return self.__dict__.get(key, default)

    def write(self, value):
        self.__dict__[key] = value
        if changed is not None:
            getattr(self, changed)()

    return Property(kind, read, write)


def forwarded(kind: type, part: str, name: str, writable: bool = True) -> Property:
    """A Q_PROPERTY that belongs to the inner widget `part` under the same name."""

    def read(self):
        return getattr(self.__dict__[part], name)

    def write(self, value):
        setattr(self.__dict__[part], name, value)

    return Property(kind, read, write) if writable else Property(kind, read)


def number(field: str, notify) -> Property:
    """The Q_PROPERTY ``value`` of a widget that keeps it in ``field`` and takes it by ``setValue``."""

    def read(self):
        return getattr(self, field)

    def write(self, value):
        self.setValue(value)

    return Property(float, read, write, notify=notify)


def limits() -> tuple[Property, Property]:
    """``minimum`` and ``maximum`` of a widget that keeps both in ``_range`` and takes them by ``_setRange``; one set
    beyond the other takes it along."""

    def low(self, value):
        self._setRange(value, max(value, self._range[1]))

    def high(self, value):
        self._setRange(min(value, self._range[0]), value)

    return (Property(float, lambda self: self._range[0], low), Property(float, lambda self: self._range[1], high))
