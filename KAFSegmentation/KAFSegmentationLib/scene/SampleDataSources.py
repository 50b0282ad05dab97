"""What KAF offers in Slicer's Sample Data: synthetic hearts, drawn in the worker's Python, with nothing to download."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError, ResourceError
from KAFSegmentationLib.backend.Backend import InterpreterChoice, environmentFor
from KAFSegmentationLib.setup.Interpreter import Interpreter
from KAFSegmentationLib.widgets.PlainText import tellError

CATEGORY = "KAFSegmentation"
RESOURCES = Path(__file__).resolve().parents[2] / "Resources"
_SECONDS = 120.0
# The phantom is drawn with OpenCV, which Slicer does not have; the Python that the worker runs in does.
_DRAW = """
import sys
import numpy as np
from kaf.phantom.heart import cardiac_phantom
volume, truth = cardiac_phantom(int(sys.argv[1]))
np.savez(sys.argv[2], image=volume.voxels, truth=truth.voxels, affine=volume.affine)
"""
_STRUCTURES = (("right ventricular cavity", (0.44, 0.72, 0.82)), ("left ventricular myocardium", (0.90, 0.40, 0.36)),
               ("left ventricular cavity", (0.95, 0.84, 0.57)))


class SampleDataSources:
    """The samples of ``Resources/SampleData.json``; ``setup`` says which Python can draw them."""

    def __init__(self, setup: InterpreterChoice | None = None,
                 interpreter: Callable[[str], Interpreter] | None = None):
        self._setup, self._interpreter = setup, interpreter
        self.samples = json.loads((RESOURCES / "SampleData.json").read_text(encoding="utf-8"))["samples"]

    def register(self) -> None:
        """Adds them to the module Sample Data."""
        import SampleData

        logic = SampleData.SampleDataLogic
        if hasattr(logic, "registerCustomSampleDataCategory"):
            logic.registerCustomSampleDataCategory(CATEGORY, title=_("KAF Segmentation"))
        for sample in self.samples:
            # Without an address the lists have to be there and empty: Slicer compares their lengths.
            logic.registerCustomSampleDataSource(
                category=CATEGORY, sampleName=sample["name"], uris=[], fileNames=[], nodeNames=[], loadFiles=[],
                thumbnailFileName=str(RESOURCES / "Icons" / sample["thumbnail"]), customDownloader=self.onClicked)

    def onClicked(self, source: Any) -> list[slicer.vtkMRMLNode]:
        """Somebody has pressed a sample's button; Slicer would show an exception in the console only."""
        try:
            return self.load(source.sampleName)
        except KafError as error:
            tellError(str(error), _("KAF Segmentation"))
            return []

    def load(self, name: str) -> list[slicer.vtkMRMLNode]:
        """Makes the sample of that name. Returns its nodes: the volume, then the segmentation if it has one.

        Raises:
            ResourceError: KAF is not set up, or the phantom could not be drawn.
            KeyError: there is no such sample.
        """
        sample = {sample["name"]: sample for sample in self.samples}[name]
        image, truth, affine = self._draw(sample["seed"])
        matrix = slicer.util.vtkMatrixFromArray(affine)
        volume = slicer.util.addVolumeFromArray(image, matrix, slicer.mrmlScene.GenerateUniqueName(name))
        nodes = [volume]
        if sample["truth"]:
            nodes.append(_segmentation(volume, truth))
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        return nodes

    def _draw(self, seed):
        setup = self._setup or _makeSetup()
        if not setup.isReady():
            raise ResourceError(_("Sample heart"), _("KAF has to be set up before it can be created"),
                                _("Open the module KAF Segmentation and press Set up, then try again."))
        interpreter = (self._interpreter or _makeInterpreter)(setup.python())
        folder = tempfile.mkdtemp(prefix="kaf-sample-")
        try:
            path = os.path.join(folder, "heart.npz")
            failure = interpreter.run(["-c", _DRAW, str(seed), path], _SECONDS)
            if failure:
                raise ResourceError(_("Sample heart"), _("it could not be created ({reason})").format(reason=failure),
                                    _("Press Diagnose in KAF Segmentation for the reason."))
            with np.load(path, allow_pickle=False) as found:
                return found["image"], found["truth"], found["affine"]
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sampleOf(model: str) -> str:
    """The sample data that a model is for, or ""."""
    return next((sample["name"] for sample in SampleDataSources().samples
                 if sample["model"] == model and not sample["truth"]), "")


def registerSampleData() -> None:
    """For ``slicer.app.connect("startupCompleted()", registerSampleData)``."""
    SampleDataSources().register()


def _segmentation(volume, truth):
    name = slicer.mrmlScene.GenerateUniqueName(f"{volume.GetName()} truth")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for value, (structure, color) in enumerate(_STRUCTURES, start=1):
        segment = node.GetSegmentation().AddEmptySegment(structure.replace(" ", "-"), structure, color)
        mask = (truth == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    return node


def _makeSetup():
    from KAFSegmentationLib.setup.Setup import Setup

    return Setup()


def _makeInterpreter(path):
    return Interpreter(path, environmentFor(path), slicer.app.processEvents)
