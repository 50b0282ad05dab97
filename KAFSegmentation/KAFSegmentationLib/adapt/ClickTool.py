"""Clicks that correct unfinished slices: this pixel belongs to the structure, or to none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import slicer
from slicer.i18n import tr as _

from KAFSegmentationLib.adapt.EmbeddedEditor import EmbeddedEditor
from KAFSegmentationLib.adapt.Structures import Structures
from KAFSegmentationLib.scene.KeypointMarkups import hiddenPoints
from KAFSegmentationLib.scene.SliceClicks import SliceClicks
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.widgets.MessageLine import MessageLine

_COLORS = {True: (0.3, 0.95, 0.4), False: (1.0, 0.3, 0.3)}


class Click(NamedTuple):
    """A place in the volume's own frame (RAS mm), and the id of the segment that it belongs to; "" for none."""

    point: tuple[float, float, float]
    segmentId: str


class ClickedSection(Protocol):
    """What clicks change."""

    def clicked(self, text: str) -> None:
        """There is one more or less; ``text`` says which."""


class ClickTool:
    """Two buttons, of which one may be down, one that takes the last click back, and the marks in the views.

    Args:
        ui: the widgets of the .ui file.
        message: what to do.
        editor: says which structure is meant, and gives up its effect.
        section: updated after a click.
        scan: gives the scan, or None.
    """

    def __init__(self, ui: Any, message: MessageLine, editor: EmbeddedEditor, section: ClickedSection,
                 scan: Callable[[], slicer.vtkMRMLScalarVolumeNode | None]):
        self.ui, self._message, self._editor, self._section, self._scan = ui, message, editor, section, scan
        self._clicks, self._markers = SliceClicks(self.click), ClickMarkers()
        self._placed: tuple[Click, ...] = ()
        self._buttons = {True: ui.addClickButton, False: ui.removeClickButton}
        for isPositive, button in self._buttons.items():
            button.connect("toggled(bool)", lambda isOn, isPositive=isPositive: self._onToggled(isPositive, isOn))
        ui.undoClickButton.connect("clicked()", self.takeBack)

    @property
    def placed(self) -> tuple[Click, ...]:
        """All clicks on the scan, in their order."""
        return self._placed

    def update(self, canClick: bool) -> None:
        """Which buttons can be pressed."""
        for button in self._buttons.values():
            button.enabled = canClick
        self.ui.undoClickButton.enabled = canClick and bool(self._placed)

    def toggle(self, isPositive: bool) -> None:
        """What a click on a button does, for shortcuts."""
        button = self._buttons[isPositive]
        if button.enabled:
            button.checked = not button.checked

    def stop(self) -> None:
        """Clicks do nothing any more."""
        for button in self._buttons.values():
            button.checked = False

    def forget(self) -> None:
        """Another scan was chosen, or the scene is closing."""
        self.stop()
        self.keep(())

    def close(self) -> None:
        """Takes everything out of the scene and off the views."""
        self.stop()
        self._clicks.close()
        self._markers.remove()

    def keep(self, clicks: Sequence[Click]) -> None:
        """Exactly these clicks are there."""
        self._placed = tuple(clicks)
        self._markers.show(self._placed, self._scan())

    def takeBack(self) -> None:
        """The last click never was."""
        if self.ui.undoClickButton.enabled:
            self.keep(self._placed[:-1])
            self._section.clicked(_("The last click was taken back."))

    def click(self, point: Sequence[float]) -> None:
        """A click at a point of the world, RAS mm."""
        scan, isPositive = self._scan(), self.ui.addClickButton.checked
        if scan is None:
            return
        geometry = VolumeGeometry(scan)
        local = geometry.toLocal(point)
        voxel = np.rint((np.linalg.inv(geometry.affine()) @ [*local, 1.0])[:3])
        if (voxel < 0).any() or (voxel >= geometry.shape()[::-1]).any():
            return
        segmentId = self._editor.widget.currentSegmentID() if isPositive and self._editor.widget is not None else ""
        if isPositive and not segmentId:
            self._message.show(_("Choose a structure in the editor first: the click will belong to it."), "warning")
            return
        self.keep([*self._placed, Click(tuple(round(float(part), 3) for part in local), segmentId)])
        self._section.clicked(_("1 click added."))

    def values(self, structures: Structures, finished: Mapping[int, Sequence[int]]) -> list[tuple]:
        """(R, A, S, value) of those in unfinished slices, for the verb ``propagate``."""
        byId = {segmentId: value for value, segmentId in structures.segmentIds.items()}
        inverse = np.linalg.inv(VolumeGeometry(structures.volumeNode).affine())
        found = []
        for point, segmentId in self._placed:
            voxel = np.rint((inverse @ [*point, 1.0])[:3]).astype(int)[::-1]
            isFinished = any(voxel[axis] in slices for axis, slices in finished.items())
            if not isFinished and (not segmentId or segmentId in byId):
                found.append((*point, byId.get(segmentId, 0)))
        return found

    def _onToggled(self, isPositive, isOn):
        if isOn:
            self._buttons[not isPositive].checked = False
            self.ui.whereFromButton.checked = False
            if self._editor.widget is not None:
                self._editor.widget.setActiveEffect(None)
            self._clicks.start()
            self._message.show(_("Click pixels that belong to the structure chosen in the editor.") if isPositive else
                               _("Click pixels that belong to no structure."))
        elif not self._buttons[not isPositive].checked:
            self._clicks.stop()


class ClickMarkers:
    """Green points where a structure is, red ones where none is."""

    def __init__(self) -> None:
        self._nodes: dict[bool, slicer.vtkMRMLMarkupsFiducialNode] = {}

    def show(self, clicks: Sequence[Click], scan: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Exactly these."""
        if not clicks and not self._nodes:
            return
        for isPositive, color in _COLORS.items():
            node = self._nodes.get(isPositive)
            if node is None or not slicer.mrmlScene.IsNodePresent(node):
                node = self._nodes[isPositive] = hiddenPoints("KAF clicks", color, 2.2)
            points = [click.point for click in clicks if bool(click.segmentId) == isPositive]
            with slicer.util.NodeModify(node):
                node.SetAndObserveTransformNodeID(scan.GetTransformNodeID() if scan is not None else None)
                node.RemoveAllControlPoints()
                for point in points:
                    node.AddControlPoint(*point)
                node.SetLocked(True)

    def remove(self) -> None:
        """Takes the points out of the scene."""
        for node in self._nodes.values():
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)
        self._nodes = {}
