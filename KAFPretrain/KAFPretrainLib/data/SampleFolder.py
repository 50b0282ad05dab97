"""A folder of synthetic hearts in Slicer's Sample Data: generated once by the Python that has the packages, kept in
Slicer's cache, and chosen as the folder of scans."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError, ResourceError
from KAFPretrainLib.widgets import Folders
from KAFPretrainLib.widgets.Interfaces import Setup
from KAFSegmentationLib.backend.Backend import environmentFor
from KAFSegmentationLib.scene.SampleDataSources import CATEGORY, RESOURCES
from KAFSegmentationLib.setup.Interpreter import Interpreter
from KAFSegmentationLib.widgets.PlainText import tellError

NAME = "KAFHeartFolder"
_SECONDS = 300.0
_GENERATE = "import sys; from kaf.data.example import make_example; make_example(sys.argv[1])"


class SampleFolder:
    """Args:
        makeSetup: makes what knows which Python has the packages.
    """

    def __init__(self, makeSetup: Callable[[], Setup]):
        self._makeSetup = makeSetup

    def register(self) -> None:
        """Adds it to the module Sample Data."""
        import SampleData

        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY, sampleName=NAME, uris=[], fileNames=[], nodeNames=[], loadFiles=[],
            thumbnailFileName=str(RESOURCES / "Icons" / "KAFHeart.png"), customDownloader=self.onClicked)

    def onClicked(self, source: object) -> list[slicer.vtkMRMLScalarVolumeNode]:
        """Its button was pressed; Slicer would show an exception in the console only."""
        try:
            folder = self.generate()
        except KafError as error:
            tellError(str(error), _("KAF Pretrain"))
            return []
        self._choose(folder)
        return [slicer.util.loadVolume(str(folder / "images" / "heart01.nii.gz"))]

    def generate(self) -> Path:
        """The folder, which is generated where it is not there yet.

        Raises:
            ResourceError: KAF is not set up, or the hearts could not be generated.
        """
        folder = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / NAME
        if (folder / "dataset.json").is_file():  # which is written last
            return folder
        setup = self._makeSetup()
        if not setup.isReady():
            raise ResourceError(_("Synthetic hearts"), _("KAF has to be set up before they can be generated"),
                                _("Open the module KAF Pretrain and press Set up, then try again."))
        shutil.rmtree(folder, ignore_errors=True)
        python = setup.python()
        failure = Interpreter(python, environmentFor(python), slicer.app.processEvents).run(
            ["-c", _GENERATE, str(folder)], _SECONDS)
        if failure:
            raise ResourceError(_("Synthetic hearts"), _("could not be generated ({reason})").format(reason=failure),
                                _("Check that there is space in Slicer's cache folder, and try again."))
        return folder

    def _choose(self, folder):
        """Makes it the folder of scans, now or when the panel is opened."""
        Folders.setDataFolder(str(folder))
        pretraining = getattr(getattr(slicer.modules, "KAFPretrainWidget", None), "pretraining", None)
        if pretraining is not None:
            pretraining.ui.dataPath.setCurrentPath(str(folder))
