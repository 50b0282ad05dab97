"""KAF: keypoint-augmented segmentation.

One module per verb, each with one public function of the same name; ``import kaf`` itself loads nothing heavy::

    from kaf.segment import segment
    from kaf.settings import SegmentSettings

    result = segment("scan.nii.gz", SegmentSettings(model="cardiac-mr-sax"))
"""

from kaf._version import __version__

__all__ = ["__version__"]
