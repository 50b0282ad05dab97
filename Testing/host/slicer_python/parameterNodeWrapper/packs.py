"""parameterPack: several values under one name, for use in a parameter node wrapper."""

import typing

import slicer

from .annotations import Default, first, plain
from .codecs import Codec, codecFor

_BINDING = "_parameterPackBinding"  # called after a member of a pack in a node has changed


def parameterPack(classtype=None):
    """Class decorator: the annotated members become checked parameters."""
    return _process if classtype is None else _process(classtype)


def isParameterPack(thing) -> bool:
    """Whether a class or object is a parameter pack."""
    return bool(getattr(thing, "_is_parameterPack", False))


def nestedParameterNames(pack) -> list[str]:
    """The dotted names of all plain members."""
    names = []
    for name, hint in plain(pack)._packHints.items():
        inner = plain(hint)
        names += [f"{name}.{n}" for n in nestedParameterNames(inner)] if isParameterPack(inner) else [name]
    return names


def _process(cls):
    hints = typing.get_type_hints(cls, include_extras=True)
    if not hints:
        raise ValueError("Unable to find any members in parameterPack")
    cls._packHints = hints
    cls._packCodecs = {name: codecFor(hint) for name, hint in hints.items()}
    cls._packDefaults = {name: _default(cls, name, hint) for name, hint in hints.items()}
    for name in hints:
        cls._packCodecs[name].validate(cls._packDefaults[name].value)
        setattr(cls, name, _member(name))
    own = cls.__dict__.get("__init__")

    def initialize(self, *values, **named):
        _fill(self, *(() if own else values), **({} if own else named))
        if own:
            own(self, *values, **named)

    cls.__init__ = initialize
    if "__eq__" not in cls.__dict__:
        cls.__eq__ = lambda self, other: isinstance(other, cls) and _values(self) == _values(other)
        cls.__hash__ = None
    for method in ("__repr__", "__str__"):
        if method not in cls.__dict__:
            setattr(cls, method, _described)
    cls._is_parameterPack = True
    cls.getValue, cls.setValue = _getValue, _setValue
    cls.dataType = staticmethod(lambda name: _dataType(cls, name))
    return cls


def _default(cls, name: str, hint) -> Default:
    if name in cls.__dict__:
        return Default(cls.__dict__[name])
    return first(hint, Default) or Default(generator=cls._packCodecs[name].default)


def _member(name: str) -> property:
    def write(self, value):
        self._packCodecs[name].validate(value)
        self.__dict__[f"_{name}_value"] = value
        if _BINDING in self.__dict__:
            self.__dict__[_BINDING](self)

    return property(lambda self: self.__dict__[f"_{name}_value"], write)


def _fill(self, *values, **named):
    unknown = set(named) - set(self._packHints)
    if unknown or len(values) > len(self._packHints):
        raise TypeError(f"__init__() got unexpected arguments {sorted(unknown) or values}")
    given = {**dict(zip(self._packHints, values, strict=False)), **named}
    for name, default in self._packDefaults.items():
        setattr(self, name, given.get(name, default.value) if name in given else default.value)


def _values(self) -> list:
    return [getattr(self, name) for name in self._packHints]


def _described(self) -> str:
    return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self._packHints)})"


def _getValue(self, name: str):
    top, _, rest = name.partition(".")
    value = getattr(self, top)
    return value.getValue(rest) if rest else value


def _setValue(self, name: str, value) -> None:
    top, _, rest = name.partition(".")
    if top not in self._packHints:
        raise ValueError(f"{self} has no member '{top}'")
    if not rest:
        setattr(self, top, value)
    else:
        inner = getattr(self, top)
        inner.setValue(rest, value)
        setattr(self, top, inner)


def _dataType(cls, name: str):
    top, _, rest = name.partition(".")
    return _dataType(plain(cls._packHints[top]), rest) if rest else cls._packHints[top]


class PackCodec(Codec):
    """Each member under <name>.<member>; the pack that is read writes its changes back."""

    def has(self, node, name):
        member, codec = next(iter(self.type._packCodecs.items()))
        return codec.has(node, f"{name}.{member}")

    def write(self, node, name, value):
        self.validate(value)
        with slicer.util.NodeModify(node):
            for member, codec in self.type._packCodecs.items():
                codec.write(node, f"{name}.{member}", getattr(value, member))

    def read(self, node, name):
        pack = self.type.__new__(self.type)
        for member, codec in self.type._packCodecs.items():
            pack.__dict__[f"_{member}_value"] = codec.read(node, f"{name}.{member}")
        pack.__dict__[_BINDING] = lambda changed: self.write(node, name, changed)
        return pack

    def remove(self, node, name):
        for member, codec in self.type._packCodecs.items():
            codec.remove(node, f"{name}.{member}")


@parameterPack
class FloatRange:
    """A range of real numbers."""

    _minimum: float
    _maximum: float

    def __init__(self, minimum=0, maximum=0):
        self.setRange(minimum, maximum)

    minimum = property(lambda self: self._minimum, lambda self, value: self.setRange(value, self._maximum))
    maximum = property(lambda self: self._maximum, lambda self, value: self.setRange(self._minimum, value))

    def setRange(self, minimum, maximum):
        if not minimum <= maximum:
            raise ValueError(f"FloatRange must have minimum <= maximum: {minimum} <= {maximum}")
        self._minimum, self._maximum = minimum, maximum
