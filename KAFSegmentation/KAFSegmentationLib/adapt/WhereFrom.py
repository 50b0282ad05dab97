"""Where from?: a click on a pixel shows the finished slices and the places that its label was taken from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import qt
from slicer.i18n import tr as _

from kaf.runtime.errors import Cancelled, KafError
from KAFSegmentationLib.adapt.EmbeddedEditor import EmbeddedEditor
from KAFSegmentationLib.adapt.OriginView import OriginView
from KAFSegmentationLib.adapt.PropagationRun import PropagationRun
from KAFSegmentationLib.adapt.UpdateLoop import UpdateLoop
from KAFSegmentationLib.backend.Backend import Backend, Ticket
from KAFSegmentationLib.scene.KeypointMarkups import KeypointMarkups
from KAFSegmentationLib.scene.SliceClicks import SliceClicks
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.widgets.MessageLine import MessageLine

_MOST = 24  # places that the worker names


class Updated(Protocol):
    """What has labelled the pixels."""

    shown: PropagationRun | None
    loop: UpdateLoop


class WhereFrom:
    """The tool: its button, the clicks, the markers and the sentence.

    Args:
        button: turns the tool on and off.
        backend: asks the worker.
        updated: the update that is shown.
        message: where the sentence is shown.
        editor: gives up its effect, which would draw where the tool is clicked.
        onStarted: called when the tool is turned on: others that take clicks give up.
    """

    def __init__(self, button: qt.QPushButton, backend: Backend, updated: Updated, message: MessageLine,
                 editor: EmbeddedEditor, onStarted: Callable[[], None] = lambda: None):
        self._button, self._backend, self._updated = button, backend, updated
        self._message, self._editor, self._onStarted = message, editor, onStarted
        self._clicks, self._markers, self._view = SliceClicks(self.ask), KeypointMarkups(), OriginView()
        self._ticket: Ticket | None = None
        button.connect("toggled(bool)", self._onToggled)

    def update(self) -> None:
        """The tool can be used where an update is shown."""
        self._button.enabled = self._updated.shown is not None

    def stop(self) -> None:
        """Turns the tool off."""
        self._button.checked = False

    def forget(self) -> None:
        """What was shown is no longer true."""
        self._withdraw()
        self._markers.clear()
        self._view.restore()
        if self._updated.shown is None:
            self.stop()

    def close(self) -> None:
        """Takes everything out of the scene and off the views."""
        self.stop()
        self._clicks.close()
        self._withdraw()
        self._view.restore()
        self._markers.remove()

    def ask(self, point: Sequence[float]) -> None:
        """Asks about a point of the world, RAS mm, as a click there does."""
        run = self._updated.shown
        if run is None:
            return
        geometry = VolumeGeometry(run.volumeNode)
        voxel = np.rint((np.linalg.inv(geometry.affine()) @ [*geometry.toLocal(point), 1.0])[:3]).astype(int)
        if (voxel < 0).any() or (voxel >= geometry.shape()[::-1]).any():
            return
        if any(voxel[2 - axis] in slices for axis, slices in run.accepted.items()):
            self._markers.clear()
            self._view.restore()
            self._message.show(_("This slice is finished: its labels are those that you drew."))
            return
        self._withdraw()
        if self._updated.loop.answered is run:
            self._ask(run, voxel)
        else:  # the worker was restarted, or compared something since: it has to see the update again
            self._ticket = self._backend.submit(
                run.verb, run.settings, run.volumes, lambda event: None,
                lambda answer, error: self._takeUpdate(run, voxel, error), run.options())

    def _ask(self, run, voxel):
        self._ticket = self._backend.submit(
            "provenance", {}, lambda: ({}, {}), lambda event: None,
            lambda answer, error: self._take(run, voxel, answer, error), {"voxel": voxel.tolist()})

    def _takeUpdate(self, run, voxel, error):
        if self._ticket is None or run is not self._updated.shown:
            return
        self._ticket = None
        if error is None:
            self._updated.loop.answered = run
            self._ask(run, voxel)
        elif not isinstance(error, Cancelled):
            self._message.showError(error)

    def _take(self, run: PropagationRun, voxel: np.ndarray, answer: dict | None, error: KafError | None) -> None:
        if self._ticket is None or run is not self._updated.shown:
            return
        self._ticket = None
        if error is not None:
            if not isinstance(error, Cancelled):
                self._message.showError(error)
            return
        origins = answer["origins"]
        if not origins:
            self.forget()
            self._message.show(_("This label is that of the model alone, or lies outside the part of the scan that is "
                                 "compared with the finished slices."))
            return
        self._show(run, voxel, origins)

    def _show(self, run, voxel, origins):
        geometry = VolumeGeometry(run.volumeNode)
        voxels = np.array([voxel.tolist(), *(origin["voxel"] for origin in origins)], float)
        positions = (geometry.affine() @ np.column_stack([voxels, np.ones(len(voxels))]).T)[:3].T
        weights = np.array([1.0, *(origin["weight"] for origin in origins)])
        slices = np.array([-1, *(origin["slice"] for origin in origins)])
        self._markers.show(positions, weights, slices, 0, run.volumeNode, _MOST)
        shares = _shares(origins, "slice")
        best = next(iter(shares))
        strongest = next(origin for origin in origins if origin["slice"] == best)
        self._view.show(geometry, run.axis, strongest["voxel"])
        names = _("none of the structures"), run.structures.names
        labels = _shares(origins, "label")
        label = next(iter(labels))
        text = _("Label {name}, taken from {slices}: {share} % of the marked places, by weight, have it.")
        self._message.show(text.format(
            name=f"'{names[1][label]}'" if label in names[1] else names[0], share=round(100 * labels[label]),
            slices=", ".join(_("slice {number} ({share} %)").format(number=number + 1, share=round(100 * share))
                             for number, share in shares.items())))

    def _withdraw(self):
        ticket, self._ticket = self._ticket, None
        if ticket is not None and not self._backend.isRunning(ticket):
            self._backend.cancel(ticket)

    def _onToggled(self, isOn):
        if isOn:
            self._onStarted()
            if self._editor.widget is not None:
                self._editor.widget.setActiveEffect(None)
            self._clicks.start()
            self._message.show(_("Click a pixel of an unfinished slice to see where its label was taken from."))
        else:
            self._clicks.stop()
            self._withdraw()
            self._markers.clear()
            self._view.restore()


def _shares(origins, part):
    """The share of the attention by slice or label, the largest first."""
    found: dict[int, float] = {}
    for origin in origins:
        found[origin[part]] = found.get(origin[part], 0.0) + origin["weight"]
    total = sum(found.values())
    return {key: found[key] / total for key in sorted(found, key=lambda key: -found[key])}
