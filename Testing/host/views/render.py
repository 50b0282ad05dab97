"""Off-screen drawing: a VTK render window and what turns it into pixels."""

import numpy as np
import slicer
import vtk
from PySide6.QtGui import QImage
from vtk.util.numpy_support import vtk_to_numpy


class OffscreenWindow:
    """A render window of given size with one renderer and an interactor, never on screen."""

    def __init__(self, width: int, height: int):
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetShowWindow(False)
        self.window.SetMultiSamples(0)
        self.window.SetSize(width, height)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())  # Slicer's own comes on top
        self.interactor.SetSize(width, height)
        self.interactor.Initialize()

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.window.GetSize())

    def resize(self, width: int, height: int) -> None:
        self.window.SetSize(width, height)
        self.interactor.SetSize(width, height)

    def pixels(self) -> np.ndarray:
        """Draw and read back: (row, column, RGB) uint8, first row on top."""
        self.window.Render()
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(self.window)
        reader.SetInputBufferTypeToRGB()
        reader.ReadFrontBufferOff()
        reader.Update()
        image = reader.GetOutput()
        columns, rows, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()


def displayableManagers(factory, names: tuple[str, ...], applicationLogic, renderer, node):
    """The group of displayable managers that draw `node`'s view into `renderer`."""
    factory.SetMRMLApplicationLogic(applicationLogic)
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = factory.InstantiateDisplayableManagers(renderer)
    group.SetMRMLDisplayableNode(node)
    return group


def toImage(pixels: np.ndarray) -> QImage:
    """A Qt image that owns its memory."""
    rows, columns, _ = pixels.shape
    return QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format_RGB888).copy()


def defaultViewNode(className: str, layoutName: str):
    """The scene's view node of that name."""
    return slicer.mrmlScene.GetSingletonNode(layoutName, className)
