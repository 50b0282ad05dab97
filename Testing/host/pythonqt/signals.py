"""`sender.connect("clicked()", slot)` as PythonQt has it, with the signature checked.

PythonQt prints a line and goes on when a signal does not exist; here a wrong signature is an error, because a
connection that was never made is a bug whichever way it is reported.
"""

import inspect
import re
from types import MethodType

from PySide6.QtCore import SIGNAL, SLOT, QMetaObject, QObject

from .names import qtObjectClasses

_VTK_POINTER = re.compile(r"\bvtk\w+\s*\*")
_original: dict[str, object] = {}


def adapt() -> None:
    """Change PySide6's classes in place, once per process."""
    if _original:
        return
    _original.update(connect=QObject.connect, disconnect=QObject.disconnect)
    replacements = {"connect": _connect, "disconnect": _disconnect}
    for cls in qtObjectClasses():
        # Five classes have a C++ attribute hook that would still find PySide6's own connect.
        hook = cls.__dict__.get("__getattribute__")
        if hook is not None:
            cls.__getattribute__ = _findingFirst(replacements, hook)


def normalized(signature: str) -> str:
    """The signature as the metaobject spells it; a vtk pointer travels as a Python object."""
    spelled = QMetaObject.normalizedSignature(signature)
    return _VTK_POINTER.sub("PyObject", bytes(spelled).decode() if not isinstance(spelled, str) else spelled)


def signalSignatures(sender: QObject) -> list[str]:
    """All signals of an object, in the metaobject's spelling."""
    meta = sender.metaObject()
    methods = (meta.method(i) for i in range(meta.methodCount()))
    return [bytes(m.methodSignature()).decode() for m in methods if m.methodType().name == "Signal"]


def checkedSignature(sender: QObject, signature: str) -> str:
    """The normalized signature of an existing signal; ValueError with the near ones otherwise."""
    name = normalized(signature)
    known = signalSignatures(sender)
    if name in known:
        return name
    stem = name.split("(")[0].lower()
    near = [s for s in known if s.split("(")[0].lower() == stem] or sorted(known)
    raise ValueError(
        f"signal '{signature}' does not exist on {sender.className()} '{QObject.objectName(sender)}'; "
        f"it has: {', '.join(near)}"
    )


def _findingFirst(replacements: dict, hook):
    def find(self, name):
        if name in replacements:
            return MethodType(replacements[name], self)
        return hook(self, name)

    return find


def _connect(self, *arguments):
    """connect("sig(args)", callable) or connect("sig(args)", receiver, "slot(args)")."""
    if not arguments or not isinstance(arguments[0], str):
        return _original["connect"](*arguments)  # PySide6 calling itself
    if arguments[0][:1] == "2":
        return _original["connect"](self, *arguments)
    signature = checkedSignature(self, arguments[0])
    return _original["connect"](self, SIGNAL(signature), *_target(self, arguments))


def _disconnect(self, *arguments):
    """disconnect("sig(args)"[, callable]) or disconnect("sig(args)", receiver, "slot(args)")."""
    if not arguments or not isinstance(arguments[0], str):
        return _original["disconnect"](*arguments)
    if arguments[0][:1] == "2":
        return _original["disconnect"](self, *arguments)
    signature = checkedSignature(self, arguments[0])
    if len(arguments) == 1:
        return _original["disconnect"](self, SIGNAL(signature), None, None)
    return _original["disconnect"](self, SIGNAL(signature), *_target(self, arguments))


def _target(sender: QObject, arguments: tuple) -> tuple:
    target = arguments[1]
    if isinstance(target, QObject):
        if len(arguments) < 3:
            raise TypeError(f"connecting {arguments[0]} to an object needs the slot's signature too")
        slot = normalized(arguments[2])
        if target.metaObject().indexOfMethod(slot) >= 0:
            return (target, SLOT(slot))
        method = inspect.getattr_static(type(target), slot.split("(")[0], None)
        if method is None:
            raise ValueError(f"slot '{arguments[2]}' does not exist on {target.className()}")
        return (getattr(target, slot.split("(")[0]),)
    if not callable(target):
        raise TypeError(f"'{target!r}' is not callable (connecting {arguments[0]} of {sender.className()})")
    return (target,)
