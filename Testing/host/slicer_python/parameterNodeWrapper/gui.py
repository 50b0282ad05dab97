"""What binds a parameter to a widget: the base class of the connectors, and finding the one that fits."""

_connectors: list[type] = []


class GuiConnector:
    """Reads and writes the value of a widget and reports its changes.

    A derived class says with `fits` what it can do, names the widget's signal in `signal`, and overrides
    `read` and `write` where the value is not simply the widget's attribute `attribute`.
    """

    attribute = "value"
    signal = ""

    @staticmethod
    def fits(widget, datatype) -> bool:
        raise NotImplementedError

    @classmethod
    def create(cls, widget, datatype):
        return cls(widget, datatype) if cls.fits(widget, datatype) else None

    def __init__(self, widget=None, datatype=None):
        self._widget, self._type, self._callback = widget, datatype, None
        if widget is not None:
            self.prepare()

    def prepare(self) -> None:
        """Apply the annotations to the widget."""

    def onChanged(self, callback) -> None:
        if callback is None and self._callback is not None:
            self._disconnect()
        elif callback is not None and self._callback is None:
            self._connect()
        self._callback = callback

    def changed(self) -> None:
        if self._callback is not None:
            self._callback()

    def widget(self):
        return self._widget

    def read(self):
        return getattr(self._widget, self.attribute)

    def write(self, value) -> None:
        setattr(self._widget, self.attribute, value)

    def _connect(self) -> None:
        if self.signal:
            getattr(self._widget, self.signal).connect(self.changed)

    def _disconnect(self) -> None:
        if self.signal:
            getattr(self._widget, self.signal).disconnect(self.changed)


def parameterNodeGuiConnector(classtype=None):
    """Class decorator: createGuiConnector may use this connector."""

    def register(cls):
        _connectors.append(cls)
        return cls

    return register if classtype is None else register(classtype)


def createGuiConnector(widget, datatype) -> GuiConnector:
    """The connector for a widget and a type hint; RuntimeError where nothing fits."""
    for cls in reversed(_connectors):
        connector = cls.create(widget, datatype)
        if connector is not None:
            return connector
    raise RuntimeError(f"Unable to create gui connector: widget {type(widget).__name__}, data type {datatype}")
