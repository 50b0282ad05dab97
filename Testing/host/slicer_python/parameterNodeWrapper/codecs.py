"""How a value of each type is kept in a vtkMRMLScriptedModuleNode, in Slicer's own format."""

import enum
import types
import typing
from collections import UserDict, UserList
from pathlib import Path, PurePath

import slicer

from .annotations import IsInstance, NotNone, plain, split, validators


class Codec:
    """Writes and reads one parameter; `checks` guard every write."""

    cached = True

    def __init__(self, hint, checks=()):
        self.type = hint
        self.checks = list(checks)

    def validate(self, value) -> None:
        for check in self.checks:
            check.validate(value)

    def default(self):
        return self.type()

    def has(self, node, name) -> bool:
        return node.HasParameter(name)

    def write(self, node, name, value) -> None:
        self.validate(value)
        node.SetParameter(name, self.text(value))

    def read(self, node, name):
        return self.value(node.GetParameter(name))

    def remove(self, node, name) -> None:
        node.UnsetParameter(name)

    def text(self, value) -> str:
        return str(value)

    def value(self, text: str):
        return self.type(text)


class BoolCodec(Codec):
    def value(self, text):
        return text == "True"


class EnumCodec(Codec):
    """By name, so that renaming a member breaks old scenes."""

    def default(self):
        return next(iter(self.type))

    def text(self, value):
        return value.name

    def value(self, text):
        if text not in self.type.__members__:
            raise ValueError(f"Found {text!r} in parameter node but it is not a name in {self.type!r}")
        return self.type[text]


class NodeCodec(Codec):
    """A node reference; an empty parameter of the same name says that it was set, be it to None."""

    def default(self):
        return None

    def write(self, node, name, value):
        self.validate(value)
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)

    def remove(self, node, name):
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class NoneCodec(Codec):
    def default(self):
        return None

    def validate(self, value):
        if value is not None:
            raise ValueError("Value must be None")

    def value(self, text):
        return None


class TupleCodec(Codec):
    cached = False

    def __init__(self, hint, checks=()):
        super().__init__(hint, checks)
        self.parts = [codecFor(part) for part in typing.get_args(hint)]

    def default(self):
        return tuple(part.default() for part in self.parts)

    def has(self, node, name):
        return self.parts[0].has(node, f"{name}.0")

    def write(self, node, name, value):
        self.validate(value)
        for index, (part, one) in enumerate(zip(self.parts, value, strict=True)):
            part.write(node, f"{name}.{index}", one)

    def read(self, node, name):
        return tuple(part.read(node, f"{name}.{index}") for index, part in enumerate(self.parts))

    def remove(self, node, name):
        for index, part in enumerate(self.parts):
            part.remove(node, f"{name}.{index}")


class ListCodec(Codec):
    """<name>.len and <name>.0, <name>.1, ...; the list that is read writes its changes back."""

    def __init__(self, hint, checks=()):
        super().__init__(hint, checks)
        self.element = codecFor(*typing.get_args(hint))

    def default(self):
        return []

    def has(self, node, name):
        return node.HasParameter(f"{name}.len")

    def length(self, node, name) -> int:
        return int(node.GetParameter(f"{name}.len") or 0)

    def write(self, node, name, value):
        values = list(value)
        self.validate(values)
        for one in values:
            self.element.validate(one)
        for index in range(len(values), self.length(node, name)):
            self.element.remove(node, f"{name}.{index}")
        for index, one in enumerate(values):
            self.element.write(node, f"{name}.{index}", one)
        node.SetParameter(f"{name}.len", str(len(values)))

    def read(self, node, name):
        values = [self.element.read(node, f"{name}.{index}") for index in range(self.length(node, name))]
        return _Bound(UserList)(values, lambda changed: self.write(node, name, changed))

    def remove(self, node, name):
        for index in range(self.length(node, name)):
            self.element.remove(node, f"{name}.{index}")
        node.UnsetParameter(f"{name}.len")


class DictCodec(Codec):
    """A list of (key, value) pairs; the dictionary that is read writes its changes back."""

    def __init__(self, hint, checks=()):
        super().__init__(hint, checks)
        self.pairs = ListCodec(list[tuple[typing.get_args(hint)]])

    def default(self):
        return {}

    def has(self, node, name):
        return self.pairs.has(node, name)

    def write(self, node, name, value):
        self.validate(value)
        self.pairs.write(node, name, list(value.items()))

    def read(self, node, name):
        return _Bound(UserDict)(dict(self.pairs.read(node, name)), lambda changed: self.write(node, name, changed))

    def remove(self, node, name):
        self.pairs.remove(node, name)


class UnionCodec(Codec):
    """The first alternative that takes the value, kept under <name>.<its index>."""

    def __init__(self, hint, checks=()):
        super().__init__(hint, checks)
        self.parts = [NoneCodec(type(None)) if a is type(None) else codecFor(a) for a in typing.get_args(hint)]

    @property
    def cached(self):
        return all(part.cached for part in self.parts)

    def default(self):
        return None if any(isinstance(p, NoneCodec | NodeCodec) for p in self.parts) else self.parts[0].default()

    def has(self, node, name):
        return any(part.has(node, f"{name}.{index}") for index, part in enumerate(self.parts))

    def write(self, node, name, value):
        self.validate(value)
        chosen = self._chosen(value)
        for index, part in enumerate(self.parts):
            if index != chosen and part.has(node, f"{name}.{index}"):
                part.remove(node, f"{name}.{index}")
        self.parts[chosen].write(node, f"{name}.{chosen}", value)

    def read(self, node, name):
        for index, part in enumerate(self.parts):
            if part.has(node, f"{name}.{index}"):
                return part.read(node, f"{name}.{index}")
        raise KeyError(f"Unable to find value for name: {name}")

    def remove(self, node, name):
        for index, part in enumerate(self.parts):
            part.remove(node, f"{name}.{index}")

    def _chosen(self, value) -> int:
        for index, part in enumerate(self.parts):
            try:
                part.validate(value)
            except (TypeError, ValueError):
                continue
            return index
        raise TypeError(f"Unable to write value '{value}' of type '{type(value)}'")


def _Bound(base):
    """A list or dictionary class whose every change is handed on."""

    class Bound(base):
        def __init__(self, content, onChange):
            self._onChange = None
            super().__init__(content)
            self._onChange = onChange

    def handingOn(name):
        plainMethod = getattr(base, name)

        def method(self, *arguments, **named):
            result = plainMethod(self, *arguments, **named)
            if self.__dict__.get("_onChange") is not None:
                self._onChange(self.data)
            return result

        return method

    changes = (
        "__setitem__",
        "__delitem__",
        "append",
        "extend",
        "insert",
        "pop",
        "remove",
        "clear",
        "update",
        "sort",
    )
    for name in (*changes, "reverse", "__iadd__", "popitem", "setdefault"):
        if hasattr(base, name):
            setattr(Bound, name, handingOn(name))
    return Bound


_BY_ORIGIN = {
    list: ListCodec,
    dict: DictCodec,
    tuple: TupleCodec,
    typing.Union: UnionCodec,
    types.UnionType: UnionCodec,
}


def codecFor(hint) -> Codec:
    """The codec of a type hint, with its validators."""
    kind, annotations = split(hint)
    codec = _plainCodec(plain(kind))
    codec.checks += validators(annotations)
    return codec


def _plainCodec(kind) -> Codec:
    origin = typing.get_origin(kind)
    if origin in _BY_ORIGIN:
        return _BY_ORIGIN[origin](kind)
    if kind in _BY_ORIGIN:
        raise TypeError(f"{kind} needs its element types")
    if not isinstance(kind, type):
        raise TypeError(f"Unable to create serializer for type: {kind}")
    if getattr(kind, "_is_parameterPack", False):
        from .packs import PackCodec

        return PackCodec(kind, [NotNone(), IsInstance(kind)])
    if kind is bool:
        return BoolCodec(bool, [NotNone(), IsInstance(bool)])
    if kind in (int, float, str):
        return Codec(kind, [NotNone(), IsInstance((int, float) if kind is float else kind)])
    if issubclass(kind, PurePath):
        return Codec(kind, [NotNone(), IsInstance(Path if kind is Path else kind)])
    if issubclass(kind, enum.Enum):
        return EnumCodec(kind, [NotNone(), IsInstance(kind)])
    if issubclass(kind, slicer.vtkMRMLNode):
        return NodeCodec(kind, [IsInstance(kind)])
    raise TypeError(f"Unable to create serializer for type: {kind}")
