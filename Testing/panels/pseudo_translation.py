"""A language in which every text stands in brackets, and what is seen of a panel that is not.

Slicer's translation is replaced, and Qt's for the .ui file; the product is not touched.
"""

import re
import sys

import qt
import slicer
from PySide6.QtCore import QCoreApplication, QTranslator

LEFT, RIGHT = "⟦", "⟧"
_INNERMOST = re.compile(f"{LEFT}[^{LEFT}{RIGHT}]*{RIGHT}")
_MARKUP = re.compile(r"<[^<>]*>|&[a-z#0-9]+;")
_WORD = re.compile(r"[A-Za-z]{2,}")
_PROPERTIES = ("text", "title", "placeholderText", "suffix", "format", "windowTitle", "collapsedText")


def bracketed(text):
    return f"{LEFT}{text}{RIGHT}"


class Brackets(QTranslator):
    """The texts of some .ui files; Qt's own stay as they are."""

    def __init__(self, contexts):
        super().__init__()
        self._contexts = contexts

    def isEmpty(self):
        return False

    def translate(self, context, text, disambiguation=None, count=-1):
        return bracketed(text) if context in self._contexts else ""


class PseudoTranslation:
    """While it is active, what is translated stands in brackets, in libraries that are imported from then on.

    Args:
        modules: names of the modules, e.g. KAFSegmentation: of their .ui files and libraries.
    """

    def __init__(self, *modules):
        self._libraries = tuple(f"{name}Lib" for name in modules)
        self._translator = Brackets(modules)

    def __enter__(self):
        self._kept = {name: found for name, found in sys.modules.items() if name.split(".")[0] in self._libraries}
        for name in self._kept:
            del sys.modules[name]
        application = type(slicer.app)
        self._translate = application.translate
        application.translate = lambda app, context, text: bracketed(text)
        QCoreApplication.installTranslator(self._translator)
        return self

    def __exit__(self, *error):
        QCoreApplication.removeTranslator(self._translator)
        type(slicer.app).translate = self._translate
        for name in [name for name in sys.modules if name.split(".")[0] in self._libraries]:
            del sys.modules[name]
        sys.modules.update(self._kept)


def raw(text, names=()):
    """What of a text stands in no brackets and is no name; empty if nothing that reads like a word is left."""
    text = _MARKUP.sub(" ", text)
    while _INNERMOST.search(text):
        text = _INNERMOST.sub(" ", text)
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, " ")
    return text.strip() if _WORD.search(text) else ""


def visible_texts(widget, skipped=()):
    """(where, text) of everything that is written in a widget and on its tool tips.

    Args:
        skipped: class names whose own texts, and those of their children, are Slicer's or the user's.
    """
    found = []
    for child in [widget, *widget.findChildren(qt.QWidget)]:
        if _isSkipped(child, widget, skipped):
            continue
        name = f"{child.className()} {child.name}"
        texts = [child.toolTip, *(getattr(child, prop, "") for prop in _PROPERTIES)]
        if isinstance(child, qt.QComboBox):
            texts += [child.itemText(index) for index in range(child.count)]
            texts += [child.itemData(index, qt.Qt.ToolTipRole) for index in range(child.count)]
        if isinstance(child, qt.QListWidget):
            texts += [child.item(row).text() for row in range(child.count)]
        if isinstance(child, qt.QTabWidget):
            texts += [child.tabText(index) for index in range(child.count)]
            texts += [child.tabToolTip(index) for index in range(child.count)]
        if isinstance(child, qt.QTableWidget):
            items = [child.horizontalHeaderItem(column) for column in range(child.columnCount)]
            items += [child.item(row, column) for row in range(child.rowCount) for column in range(child.columnCount)]
            texts += [part for item in items if item is not None for part in (item.text(), item.toolTip())]
        found += [(name, text) for text in texts if isinstance(text, str) and text]
    return found


def raw_texts(widget, names=(), skipped=()):
    """``where: text`` of all that is visible in a widget and was not translated."""
    return {f"{where}: {text}" for where, text in visible_texts(widget, skipped) if raw(text, names)}


def _isSkipped(child, top, skipped):
    while child is not None and child is not top:
        if child.className() in skipped:
            return True
        child = child.parent()
    return False
