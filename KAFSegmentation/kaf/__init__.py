"""KAF: keypoint-augmented segmentation.

One module per verb, each with one public function of the same name; ``import kaf`` itself loads nothing heavy::

    from kaf.verbs.segment import segment
    from kaf.settings.segment import SegmentSettings

    result = segment("scan.nii.gz", SegmentSettings(model="cardiac-mr-sax"))
"""

from kaf._version import __version__
from kaf.runtime import mps_fallback  # before anything imports torch

__all__ = ["__version__", "mps_fallback"]
