"""A mouse over a slice view does what it does in Slicer: VTK hears of it, with rows counted from below."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
import vtk
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

import host


def test_a_click_reaches_vtk_where_it_was():
    view = slicer.app.layoutManager().sliceWidget("Green").sliceView()
    interactor, reported = view.interactor(), []
    tags = [interactor.AddObserver(event, lambda caller, name: reported.append((name, caller.GetEventPosition())))
            for event in (vtk.vtkCommand.LeftButtonPressEvent, vtk.vtkCommand.LeftButtonReleaseEvent)]
    try:
        QTest.mouseClick(view, Qt.LeftButton, Qt.NoModifier, QPoint(30, 20))
        QTest.mouseClick(view, Qt.RightButton, Qt.NoModifier, QPoint(31, 21))
    finally:
        for tag in tags:
            interactor.RemoveObserver(tag)
    place = (30, view.height - 21)
    assert reported == [("LeftButtonPressEvent", place), ("LeftButtonReleaseEvent", place)]
    host.check_errors()
