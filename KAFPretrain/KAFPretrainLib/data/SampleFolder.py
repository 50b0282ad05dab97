"""A folder of made-up hearts in Slicer's Sample Data: made once by the Python that has the packages, kept in Slicer's
cache, and chosen under Scans."""

import shutil
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError, ResourceError
from KAFPretrainLib.widgets import Folders
from KAFSegmentationLib.backend.Backend import environmentFor
from KAFSegmentationLib.scene.SampleDataSources import CATEGORY, RESOURCES
from KAFSegmentationLib.setup.Interpreter import Interpreter
from KAFSegmentationLib.widgets.PlainText import tellError

NAME = "KAFHeartFolder"
_SECONDS = 300.0
_MAKE = "import sys; from kaf.data.example import make_example; make_example(sys.argv[1])"


class SampleFolder:
    """``makeSetup`` makes what says which Python has the packages: the Setup of KAFSegmentationLib, or one like it."""

    def __init__(self, makeSetup):
        self._makeSetup = makeSetup

    def register(self):
        """Adds it to the module Sample Data."""
        import SampleData

        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY, sampleName=NAME, uris=[], fileNames=[], nodeNames=[], loadFiles=[],
            thumbnailFileName=str(RESOURCES / "Icons" / "KAFHeart.png"), customDownloader=self.onClicked)

    def onClicked(self, source):
        """Somebody has pressed its button; Slicer would show an exception in the console only."""
        try:
            folder = self.make()
        except KafError as error:
            tellError(str(error), _("KAF Pretrain"))
            return []
        self._choose(folder)
        return [slicer.util.loadVolume(str(folder / "images" / "heart01.nii.gz"))]

    def make(self):
        """The folder, which is made where it is not there yet.

        Raises:
            ResourceError: KAF is not set up, or the hearts could not be made.
        """
        folder = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / NAME
        if (folder / "dataset.json").is_file():  # which is written last
            return folder
        setup = self._makeSetup()
        if not setup.isReady():
            raise ResourceError("The folder of hearts", "cannot be made before KAF is set up",
                                "Open the module KAF Pretrain and press Set up, then try again.")
        shutil.rmtree(folder, ignore_errors=True)
        python = setup.python()
        failure = Interpreter(python, environmentFor(python), slicer.app.processEvents).run(
            ["-c", _MAKE, str(folder)], _SECONDS)
        if failure:
            raise ResourceError("The folder of hearts", f"could not be made ({failure})",
                                "Check that there is space in Slicer's cache folder, and try again.")
        return folder

    def _choose(self, folder):
        """The panel has it under Scans, now or when it is opened."""
        Folders.setDataFolder(str(folder))
        pretraining = getattr(getattr(slicer.modules, "KAFPretrainWidget", None), "pretraining", None)
        if pretraining is not None:
            pretraining.ui.dataPath.setCurrentPath(str(folder))
