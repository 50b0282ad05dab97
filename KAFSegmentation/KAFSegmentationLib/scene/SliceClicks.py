"""Clicks in the slice views, reported as points in the patient."""

from collections.abc import Callable, Sequence

import slicer
import vtk

_PIXELS = 4  # a press and a release further apart are a drag


class SliceClicks:
    """Calls ``onClick(point)`` with RAS mm of the world for each left click in a slice view, while started.

    The views go on to work as they always do: the click is watched, not taken away.
    """

    def __init__(self, onClick: Callable[[Sequence[float]], None]):
        self._onClick = onClick
        self._observers: list[tuple] = []
        self._pressed = None
        self._isWatching = False
        manager = slicer.app.layoutManager()
        if manager is not None:
            manager.connect("layoutChanged(int)", self._onLayout)

    def isWatching(self) -> bool:
        """Whether clicks are watched."""
        return self._isWatching

    def start(self) -> None:
        """Begins to watch the slice views, also those that a later layout brings."""
        self.stop()
        self._isWatching = True
        manager = slicer.app.layoutManager()
        if manager is None:  # without a main window
            return
        for name in manager.sliceViewNames():
            view = manager.sliceWidget(name).sliceView()
            interactor = view.interactor()
            for event, function in ((vtk.vtkCommand.LeftButtonPressEvent, self._onPress),
                                    (vtk.vtkCommand.LeftButtonReleaseEvent, self._onRelease)):
                tag = interactor.AddObserver(
                    event, lambda caller, event, function=function, view=view: function(caller, view))
                self._observers.append((interactor, tag))

    def stop(self) -> None:
        """Watches no more."""
        self._isWatching = False
        for interactor, tag in self._observers:
            interactor.RemoveObserver(tag)
        self._observers = []
        self._pressed = None

    def close(self) -> None:
        """Watches no more, whatever layout comes."""
        self.stop()
        manager = slicer.app.layoutManager()
        if manager is not None:
            manager.disconnect("layoutChanged(int)", self._onLayout)

    def _onLayout(self, layout):
        if self._isWatching:
            self.start()

    def _onPress(self, interactor, view):
        self._pressed = interactor.GetEventPosition()

    def _onRelease(self, interactor, view):
        pressed, self._pressed = self._pressed, None
        x, y = interactor.GetEventPosition()
        if pressed is None or max(abs(x - pressed[0]), abs(y - pressed[1])) > _PIXELS:
            return
        self._onClick(view.mrmlSliceNode().GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))[:3])
