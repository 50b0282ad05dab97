"""The module `qt` of Slicer's Python: all of Qt in one place, in PythonQt's dialect."""

from host.pythonqt import ui_loader
from host.pythonqt.names import qtNames

globals().update(qtNames(), QUiLoader=ui_loader.QUiLoader)
