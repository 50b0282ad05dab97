"""A made-up heart in Slicer's Sample Data: nothing is downloaded, and no patient is in it."""

import os

import slicer
from slicer.i18n import tr as _

from kaf.errors import ResourceError


def registerSampleData():
    """Adds the heart to the module Sample Data."""
    import SampleData

    icon = os.path.join(os.path.dirname(os.path.dirname(__file__)), "Resources", "Icons", "KAFSegmentation.png")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=_("KAF Segmentation"), sampleName="KAFHeart", thumbnailFileName=icon,
        nodeNames="KAFHeart", customDownloader=loadSampleHeart)


def loadSampleHeart(source=None):
    """A short-axis cardiac MR stack of a phantom, as a volume node.

    Raises:
        ResourceError: KAF is not set up; drawing the phantom needs OpenCV.
    """
    try:
        from kaf.phantom import cardiac_phantom
    except ImportError as error:
        raise ResourceError("The sample heart", f"cannot be drawn yet ({error.name} is missing)",
                            "Open the module KAF Segmentation and press Set up first.") from error
    heart, _labels = cardiac_phantom()
    node = slicer.util.addVolumeFromArray(heart.voxels, name="KAFHeart")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(heart.affine))
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return [node]
