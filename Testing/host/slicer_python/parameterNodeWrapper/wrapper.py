"""parameterNodeWrapper: a class whose annotated members live in a vtkMRMLScriptedModuleNode."""

import typing

import qt
import slicer
import vtk

from .annotations import Default, first, plain
from .codecs import codecFor
from .connectors import packWidgets
from .gui import GuiConnector, createGuiConnector

SlicerParameterNamePropertyName = "SlicerParameterName"
_RESERVED = (
    "default", "isCached", "dataType", "getValue", "setValue", "connectGui", "connectParametersToGui",
    "disconnectGui", "StartModify", "EndModify", "AddObserver", "RemoveObserver", "Modified", "allParameters",
)  # fmt: skip


class _Parameter:
    """One declared parameter: its hint, its codec and its default."""

    def __init__(self, cls, name: str, hint):
        self.name, self.hint = name, hint
        self.codec = codecFor(hint)
        own = cls.__dict__.get(name)
        byEquals = Default(own) if name in cls.__dict__ else None
        self.default = byEquals or first(hint, Default) or Default(generator=self.codec.default)

    def asProperty(self) -> property:
        return property(lambda wrapper: wrapper.getValue(self.name), lambda wrapper, v: wrapper.setValue(self.name, v))


class _Wrapper:
    """What every parameter node wrapper can do besides its parameters."""

    def __init__(self, parameterNode, prefix=None):
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._guis: dict[int, tuple[dict[str, GuiConnector], int]] = {}
        self._nextTag = 0
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameter.codec.has(parameterNode, self._stored(parameter)):
                self._write(parameter, parameter.default.value)

    def getValue(self, name):
        top, rest = self._split(name)
        value = self._read(top)
        return value.getValue(rest) if rest else value

    def setValue(self, name, value):
        top, rest = self._split(name)
        if rest:
            self._read(top).setValue(rest, value)
        else:
            self._write(top, value)

    def default(self, name):
        return self._split(name)[0].default

    def isCached(self, name):
        return self._split(name)[0].codec.cached

    @classmethod
    def dataType(cls, name):
        top, rest = cls._split(name)
        return plain(top.hint).dataType(rest) if rest else top.hint

    def connectGui(self, gui):
        """Bind every child with a SlicerParameterName; returns the tag for disconnectGui."""
        isWidget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if isWidget else list(vars(gui).values())
        named = {w.property(SlicerParameterNamePropertyName): w for w in widgets}
        return self.connectParametersToGui({name: w for name, w in named.items() if name})

    def connectParametersToGui(self, mapping):
        """Bind {parameter name: widget or GuiConnector}; returns the tag for disconnectGui."""
        for name in mapping:
            self._split(name)
        connectors = {
            name: w if isinstance(w, GuiConnector) else createGuiConnector(w, self.dataType(name))
            for name, w in mapping.items()
        }
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(lambda name=name, connector=connector: self._fromGui(name, connector))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._toGui())
        tag, self._nextTag = self._nextTag, self._nextTag + 1
        self._guis[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag):
        if tag not in self._guis:
            return
        connectors, observer = self._guis.pop(tag)
        for connector in connectors.values():
            connector.onChanged(None)
        self.RemoveObserver(observer)

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        self.parameterNode.Modified()

    @classmethod
    def _split(cls, name: str) -> tuple[_Parameter, str]:
        top, _, rest = name.partition(".")
        if top not in cls.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {top}; found {list(cls.allParameters)}")
        if rest and not hasattr(plain(cls.allParameters[top].hint), rest.partition(".")[0]):
            raise ValueError(f"'{top}' has no member '{rest}'")
        return cls.allParameters[top], rest

    def _stored(self, parameter: _Parameter) -> str:
        return f"{self._prefix}{parameter.name}"

    def _read(self, parameter: _Parameter):
        if not parameter.codec.has(self.parameterNode, self._stored(parameter)):
            self._write(parameter, parameter.default.value)
        return parameter.codec.read(self.parameterNode, self._stored(parameter))

    def _write(self, parameter: _Parameter, value) -> None:
        with slicer.util.NodeModify(self.parameterNode):
            parameter.codec.write(self.parameterNode, self._stored(parameter), value)

    def _fromGui(self, name: str, connector: GuiConnector) -> None:
        if not self._updating:
            with slicer.util.NodeModify(self):
                self.setValue(name, connector.read())

    def _toGui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            with slicer.util.NodeModify(self):
                for connectors, _ in list(self._guis.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._updating = False


def parameterNodeWrapper(classtype=None):
    """Class decorator: the annotated members are kept in the parameter node given to the constructor."""
    return _process if classtype is None else _process(classtype)


def _process(cls):
    hints = typing.get_type_hints(cls, include_extras=True)
    for name in hints:
        if name in _RESERVED:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    parameters = {}
    for name, hint in hints.items():
        try:
            parameters[name] = _Parameter(cls, name, hint)
        except Exception as error:
            raise Exception(f"Unable to create serializer for {cls} member {name}") from error
    for name, parameter in parameters.items():
        setattr(cls, name, parameter.asProperty())
    for name, member in vars(_Wrapper).items():
        if name not in ("__dict__", "__weakref__", "__doc__", "__module__"):
            setattr(cls, name, member)
    cls.allParameters = parameters
    cls._is_parameter_node_wrapper = True
    return cls


def isParameterNodeWrapper(thing) -> bool:
    """Whether a class or object is a parameter node wrapper."""
    return bool(getattr(thing, "_is_parameter_node_wrapper", False))


def findChildWidgetForParameter(widget, parameter):
    """The child widget bound to a parameter by its SlicerParameterName, or None."""
    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    top, _, rest = parameter.partition(".")
    parent = findChildWidgetForParameter(widget, top) if rest else None
    return packWidgets(parent).get(rest) if parent is not None else None
