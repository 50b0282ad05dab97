"""What a person does in a test: click, type, wait, look."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import slicer
import vtk
from PySide6.QtCore import QCoreApplication, QDeadlineTimer, QEvent, QEventLoop, QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QWidget

from .screen import seen
from .views.slice_view import qMRMLSliceView, qMRMLSliceWidget
from .views.three_d_view import qMRMLThreeDView, qMRMLThreeDWidget
from .widgets.node_selector import innerComboBox, qMRMLNodeComboBox

PATIENCE = 60.0
"""Seconds; what a test waits for comes within a fraction of this, or not at all."""


class NotClickable(AssertionError):
    """A person could not click this: it is hidden, disabled or covered by a folded section."""


def pump(milliseconds: int = 0) -> None:
    """Let Qt deliver its events, for at least the given time."""
    deadline = time.monotonic() + milliseconds / 1000
    while True:
        QApplication.processEvents(QEventLoop.AllEvents, QDeadlineTimer(20))
        QCoreApplication.sendPostedEvents(None, QEvent.DeferredDelete)
        if time.monotonic() >= deadline:
            return
        time.sleep(0.005)


def wait_until(condition: Callable[[], object], what: str = "", timeout: float = PATIENCE,
               describe: Callable[[], str] = seen, progress: Callable[[], object] = lambda: None):
    """Pump Qt's events until `condition()` is true.

    Args:
        what: is waited for, a noun.
        timeout: in seconds; where it is over and `progress()` has changed, up to four times as much is given.
        describe: says how things stand if it never comes true; by default what the panels show, see `seen`.
        progress: is another value while the work goes on, for work that a busy computer may take minutes for.

    Returns:
        The value of `condition()`.

    Raises:
        AssertionError: after `timeout`, with that description.
    """
    start, deadline, last = time.monotonic(), time.monotonic() + timeout, progress()
    while True:
        value = condition()
        if value:
            return value
        now = time.monotonic()
        if now > deadline:
            before, last = last, progress()
            if last == before or now > start + 4 * timeout:
                raise AssertionError(f"after {now - start:.0f} s still waiting for {what or condition}:\n{describe()}")
            deadline = now + timeout
        pump(10)


def click(widget: QWidget) -> None:
    """A left click in the middle of a widget (a check box: on its mark), as a person would do it."""
    if not widget.isVisible():
        raise NotClickable(f"{widget.className()} '{widget.objectName}' is not visible")
    if not widget.isEnabled():
        raise NotClickable(f"{widget.className()} '{widget.objectName}' is disabled")
    middle = widget.rect.center()
    isChoice = isinstance(widget, QAbstractButton) and not widget.hitButton(middle)
    QTest.mouseClick(widget, Qt.LeftButton, Qt.NoModifier, QPoint(8, 8) if isChoice else middle)
    pump()


def type_text(widget: QWidget, text: str) -> None:
    """Replace a line edit's (or an editable widget's) text by typing."""
    widget.setFocus()
    widget.selectAll()
    QTest.keyClicks(widget, text)
    pump()


def press_key(widget: QWidget, key, modifier=Qt.NoModifier) -> None:
    """Press one key."""
    QTest.keyClick(widget, key, modifier)
    pump()


def press_sample(name: str):
    """Press the button of a data set in the module Sample Data; returns what its downloader brings."""
    import SampleData

    logic = SampleData.SampleDataLogic()
    source = logic.sourceForSampleName(name)
    if source is None:
        raise NotClickable(f"there is no '{name}' in Sample Data")
    loaded = (source.customDownloader or logic.downloadFromSource)(source)
    pump()
    return loaded


def choose(selector: QWidget, text: str) -> None:
    """Choose an entry of a combo box or node selector by its text, node selectors' actions included."""
    combo = innerComboBox(selector) if isinstance(selector, qMRMLNodeComboBox) else selector
    if not isinstance(combo, QComboBox):
        raise TypeError(f"{selector} is not a combo box")
    if not combo.isEnabled() or not combo.isVisible():
        raise NotClickable(f"{selector.className()} '{selector.objectName}' cannot be used")
    row = combo.findText(text)
    if row < 0:
        raise AssertionError(f"'{text}' is not among {[combo.itemText(i) for i in range(combo.count)]}")
    model = combo.model()
    if not model.flags(model.index(row, combo.modelColumn, combo.rootModelIndex())) & Qt.ItemIsEnabled:
        raise NotClickable(f"'{text}' of {selector.className()} '{selector.objectName}' is disabled")
    combo.setCurrentIndex(row)
    combo.activated.emit(row)
    pump()


def pixels(shown) -> np.ndarray:
    """What a view or widget shows: (row, column, RGB) uint8."""
    view = _view(shown)
    if view is not None:
        return view._drawing.pixels()
    image = shown.grab().toImage().convertToFormat(_rgb())
    rows, columns = image.height(), image.width()
    flat = np.frombuffer(image.constBits(), np.uint8).reshape(rows, image.bytesPerLine())
    return flat[:, : 3 * columns].reshape(rows, columns, 3).copy()


def screenshot(shown, path: str | Path) -> Path:
    """Write what a view, widget or loaded module shows as a PNG; returns the path."""
    from .views.render import toImage

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not toImage(pixels(getattr(shown, "panel", shown))).save(str(path)):
        raise OSError(f"the picture could not be written: {path}")
    return path


def click_view(view, ras, button: str = "Left") -> None:
    """Click in a slice view at a point in RAS mm; the crosshair cursor is there too, as under a mouse."""
    view = _view(view)
    interactor = view.interactor()
    column, row, _ = view.convertRASToXYZ(ras)
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCursorPositionRAS(list(ras))
    interactor.SetEventInformation(round(column), round(row), 0, 0)
    press, release = f"{button}ButtonPressEvent", f"{button}ButtonReleaseEvent"
    for event in ("EnterEvent", "MouseMoveEvent", press, release, "LeaveEvent"):
        interactor.InvokeEvent(getattr(vtk.vtkCommand, event))
    pump()


def _view(shown):
    if isinstance(shown, qMRMLSliceWidget | qMRMLThreeDWidget):
        return shown.viewWidget()
    return shown if isinstance(shown, qMRMLSliceView | qMRMLThreeDView) else None


def _rgb():
    from PySide6.QtGui import QImage

    return QImage.Format_RGB888
