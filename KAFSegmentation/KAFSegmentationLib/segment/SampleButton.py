"""A synthetic heart on one click, where there is no scan yet."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from KAFSegmentationLib.backend.Backend import InterpreterChoice
from KAFSegmentationLib.scene.SampleDataSources import SampleDataSources
from KAFSegmentationLib.widgets.MessageLine import MessageLine

SAMPLE = "KAFHeart"


class SampleButton:
    """Args:
        button: the widget of the .ui file.
        setup: knows the Python that can draw it.
        message: where errors are shown.
        makeReady: sets up what is missing; whether all is there then.
        onLoaded: called with the volume.
    """

    def __init__(self, button: qt.QPushButton, setup: InterpreterChoice, message: MessageLine,
                 makeReady: Callable[[], bool], onLoaded: Callable[[slicer.vtkMRMLScalarVolumeNode], None]):
        self._button, self._samples, self._message = button, SampleDataSources(setup), message
        self._makeReady, self._onLoaded = makeReady, onLoaded
        button.connect("clicked()", self.load)

    def update(self, scan: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Offers it while no scan is chosen."""
        self._button.visible = scan is None

    def load(self) -> None:
        """Adds the heart to the scene and chooses it."""
        if not self._makeReady():
            return
        self._message.show(_("Creating the sample heart…"))
        slicer.app.processEvents()
        try:
            nodes = self._samples.load(SAMPLE)
        except KafError as error:
            self._message.showError(error)
            return
        self._message.clear()
        self._onLoaded(nodes[0])
