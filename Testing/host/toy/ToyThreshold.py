"""A small scripted module with everything the host has to cope with; written as Slicer's template is."""

import enum
from pathlib import Path
from typing import Annotated

import numpy as np
import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class ToyThreshold(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Toy Threshold")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.contributors = ["Test host"]
        self.parent.helpText = _("Labels what is brighter than a threshold.")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataCategory("Toy", title=_("Toy"))


class Side(enum.Enum):
    above = "brighter"
    below = "darker"

    @staticmethod
    def label(side):
        return side.value


@parameterNodeWrapper
class ToyThresholdParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    threshold: Annotated[float, WithinRange(-100, 500)] = 100
    side: Side = Side.above
    showSurface: bool = False
    segmentName: str = "bright"
    logFolder: Path = Path()


class ToyThresholdWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.process = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/ToyThreshold.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = ToyThresholdLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.workerButton.connect("clicked()", self.onWorkerButton)
        self.ui.progressBar.visible = False
        self.initializeParameterNode()

    def cleanup(self):
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _checkCanApply(self, caller=None, event=None):
        ready = self._parameterNode and self._parameterNode.inputVolume is not None
        self.ui.applyButton.enabled = bool(ready)
        self.ui.applyButton.toolTip = _("Label the volume") if ready else _("Select a volume first")

    def onApplyButton(self):
        node = self._parameterNode
        with slicer.util.tryWithErrorDisplay(_("Thresholding failed."), waitCursor=True):
            if node.outputSegmentation is None:
                node.outputSegmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
            self.ui.progressBar.visible = True
            self.logic.threshold(
                node.inputVolume,
                node.outputSegmentation,
                node.segmentName,
                node.threshold,
                node.side,
                self.onProgress,
            )
            self.ui.messageLabel.text = _("Done.")

    def onProgress(self, percent):
        self.ui.progressBar.value = percent
        slicer.app.processEvents()

    def onWorkerButton(self):
        import sys

        self.process = qt.QProcess()
        self.process.connect("readyReadStandardOutput()", self.onWorkerOutput)
        self.process.connect("finished(int,QProcess::ExitStatus)", self.onWorkerFinished)
        self.process.start(sys.executable, ["-u", "-c", "print('ready'); print(input()[::-1]); input()"])
        self.process.waitForStarted(10000)
        self.process.write(b"olleh\n")

    def onWorkerOutput(self):
        text = self.process.readAllStandardOutput().data().decode()
        self.ui.logText.plainText = self.ui.logText.plainText + text

    def onWorkerFinished(self, exitCode, exitStatus):
        crashed = exitStatus == qt.QProcess.CrashExit
        self.ui.messageLabel.text = _("Stopped.") if crashed else _("Worker ended with {code}.").format(code=exitCode)


class ToyThresholdLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return ToyThresholdParameterNode(super().getParameterNode())

    def threshold(self, volume, segmentation, name, value, side, onProgress=lambda percent: None):
        if volume.GetImageData() is None:
            raise ValueError(f"{volume.GetName()} has no voxels: load it again")
        voxels = slicer.util.arrayFromVolume(volume)
        onProgress(30)
        mask = (voxels > value) if side is Side.above else (voxels < value)
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segment = segmentation.GetSegmentation().AddEmptySegment(name, name)
        onProgress(60)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, segment, volume)
        onProgress(100)


class ToyThresholdTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_threshold()

    def test_threshold(self):
        self.delayDisplay("Starting the test")
        voxels = np.zeros((4, 5, 6), np.float32)
        voxels[1:3] = 200
        volume = slicer.util.addVolumeFromArray(voxels)
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        ToyThresholdLogic().threshold(volume, segmentation, "bright", 100, Side.above)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "bright", volume)
        assert found.sum() == 60
