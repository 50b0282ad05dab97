"""KAF Segmentation: the module as Slicer sees it. All work is in KAFSegmentationLib, and in kaf behind it."""

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

from KAFSegmentationLib import AdaptationLogic, SegmentationWidget
from KAFSegmentationLib.scene.SampleDataSources import registerSampleData
from KAFSegmentationLib.scene.Terminology import loadTerminology
from KAFSegmentationLib.setup.AfterRestart import continueSetup
from KAFSegmentationLib.setup.Setup import Setup
from KAFSegmentationLib.widgets.Reload import reloadModules

HELP_PAGE = "https://github.com/KAF-maintainers/SlicerKAFSegmentation/blob/main/Docs/tutorial.md"


class KAFSegmentation(ScriptedLoadableModule):
    """Name, place in the module list and help."""

    def __init__(self, parent: qt.QObject):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("KAF Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.contributors = ["The KAF developers"]
        parent.helpText = _(
            "Segments MR and CT scans with keypoint-augmented networks and shows what the network attends to. Choose a "
            "scan and a model and press Apply; the card below the model says which scans it is intended for. Under "
            "Correct and adapt, correct a few slices or draw a new structure on a few: the model learns from them, "
            "segments the other slices and keeps yours as drawn. Other segments are never changed. Nothing leaves this "
            "computer, unless you choose another one under Options, Device. For research, not for diagnosis."
        ) + f'<p><a href="{HELP_PAGE}">{_("Tutorial and documentation")}</a></p>'
        parent.acknowledgementText = _(
            "Keypoint-augmented fusion (KAF): Yang et al., Keypoint-Augmented Self-Supervised Learning for Medical "
            "Image Segmentation with Limited Annotation, NeurIPS 2023. An independent implementation."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", loadTerminology)
        slicer.app.connect("startupCompleted()", continueSetup)


class KAFSegmentationWidget(ScriptedLoadableModuleWidget):
    """Holds the panel.

    ``makeSetup`` makes what finds and installs the packages; tests put their own there.
    """

    makeSetup = Setup

    def __init__(self, parent: qt.QWidget | None = None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = self.segmentation = self.ui = None

    def setup(self) -> None:
        """Slicer opens the module for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/KAFSegmentation.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        setup = type(self).makeSetup()
        self.logic = KAFSegmentationLogic(setup)
        self.segmentation = SegmentationWidget(uiWidget, self.logic, setup)
        self.ui = self.segmentation.ui
        scene = slicer.mrmlScene
        self.segmentation.addObserver(scene, scene.EndCloseEvent, self._onSceneReplaced)
        self.segmentation.addObserver(scene, scene.EndImportEvent, self._onSceneReplaced)

    def enter(self) -> None:
        """The module is opened."""
        self.segmentation.enter()

    def exit(self) -> None:
        """Another module is opened."""
        if self.segmentation is not None:
            self.segmentation.exit()

    def cleanup(self) -> None:
        """Slicer ends, or the module is loaded again."""
        if self.segmentation is not None:
            self.segmentation.cleanup()
            self.segmentation = None

    def onReload(self) -> None:
        """The Reload button: the libraries and kaf too, not this file alone."""
        reloadModules()

    def _onSceneReplaced(self, caller, event):
        """A scene was closed or loaded: its choices are shown if the panel is open."""
        if self.parent.isEntered:
            self.segmentation.exit()
            self.segmentation.enter()


class KAFSegmentationLogic(AdaptationLogic):
    """For scripts: ``KAFSegmentationLogic().process(volumeNode, {"model": "cardiac-mr-sax"})``, and ``adapt``."""


class KAFSegmentationTest(ScriptedLoadableModuleTest):
    """What Slicer's own test run does: a volume is read, and labels on it become segments."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_labelsBecomeSegments()

    def test_labelsBecomeSegments(self) -> None:
        """Without a model and without torch, so that it runs wherever Slicer does."""
        import numpy as np

        from KAFSegmentationLib import SegmentationWriter, VolumeGeometry

        voxels = np.zeros((4, 16, 16), np.float32)
        voxels[1:3, 4:12, 4:12] = 100
        volume = slicer.util.addVolumeFromArray(voxels)
        VolumeGeometry(volume).check()
        label = {"value": 3, "name": "block", "colour": (200, 80, 60)}
        node = SegmentationWriter(volume, "test", [label]).write((voxels > 50).astype(np.uint8) * 3)
        segmentId = node.GetSegmentation().GetNthSegmentID(0)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volume)
        assert np.array_equal(found > 0, voxels > 50)
        self.delayDisplay("Test passed")
