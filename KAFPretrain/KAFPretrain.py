"""KAF Pretrain: the module as Slicer sees it. The panel is in KAFPretrainLib, the computation in processes of kaf."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

# KAFPretrainLib uses KAFSegmentationLib and kaf, whose folder Slicer knows once KAFSegmentation is loaded: it is
# imported when the panel is made, not with this file.


HELP_PAGE = "https://github.com/KAF-maintainers/SlicerKAFSegmentation/blob/main/Docs/tutorial-pretraining.md"


class KAFPretrain(ScriptedLoadableModule):
    """Name, place in the module list and help."""

    def __init__(self, parent: qt.QObject):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("KAF Pretrain")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["KAFSegmentation"]
        parent.contributors = ["The KAF developers"]
        parent.helpText = _(
            "From a folder of scans to a model of your own: scan the folder, pretrain on unlabelled scans, fine-tune "
            "on a few labelled ones, and evaluate the model by patient. Runs continue when Slicer is closed and are "
            "found again. Nothing leaves this computer. For research, not for diagnosis."
        ) + f'<p><a href="{HELP_PAGE}">{_("Tutorial and documentation")}</a></p>'
        parent.acknowledgementText = _(
            "Keypoint-augmented fusion (KAF): Yang et al., Keypoint-Augmented Self-Supervised Learning for Medical "
            "Image Segmentation with Limited Annotation, NeurIPS 2023. This is an independent implementation."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Adds the folder of synthetic hearts to Sample Data; every module is loaded by now."""
    from KAFPretrainLib.data.SampleFolder import SampleFolder
    from KAFSegmentationLib.setup.Setup import Setup

    SampleFolder(Setup).register()


class KAFPretrainWidget(ScriptedLoadableModuleWidget):
    """Holds the panel.

    ``makeSetup`` makes what finds and installs the packages: that of KAFSegmentation, unless tests replace it.
    """

    makeSetup = None

    def __init__(self, parent: qt.QWidget | None = None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = self.pretraining = self.ui = None

    def setup(self) -> None:
        """Slicer opens the module for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        from KAFPretrainLib import PretrainWidget
        from KAFSegmentationLib.setup.Setup import Setup

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/KAFPretrain.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = KAFPretrainLogic()
        self.pretraining = PretrainWidget(uiWidget, self.logic, (type(self).makeSetup or Setup)())
        self.ui = self.pretraining.ui

    def enter(self) -> None:
        """The module is opened."""
        self.pretraining.enter()

    def exit(self) -> None:
        """Another module is opened."""
        if self.pretraining is not None:
            self.pretraining.exit()

    def cleanup(self) -> None:
        """Slicer ends, or the module is loaded again; runs continue."""
        if self.pretraining is not None:
            self.pretraining.cleanup()
            self.pretraining = None

    def onReload(self) -> None:
        """The Reload button: the libraries and kaf are loaded again, too."""
        from KAFSegmentationLib.widgets.Reload import reloadModules

        reloadModules()


class KAFPretrainLogic(ScriptedLoadableModuleLogic):
    """Keeps the choices of the panel in the scene. Scripts use the command line, or kaf itself."""


class KAFPretrainTest(ScriptedLoadableModuleTest):
    """The test that Slicer runs: curves grow in the scene."""

    def setUp(self) -> None:
        """Starts with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Runs every test."""
        self.setUp()
        self.test_curvesGrow()

    def test_curvesGrow(self) -> None:
        """Without a run and without torch, so that it runs wherever Slicer does."""
        from KAFPretrainLib.runs.Curves import Curves

        curves = Curves("test")
        curves.add(10, {"loss": 2.0})
        curves.add(20, {"loss": 1.0})
        curves.flush()
        chart = curves.chart("loss")
        table = chart.GetNthPlotSeriesNode(0).GetTableNode()
        assert table.GetNumberOfRows() == 2
        self.delayDisplay("Test passed")
