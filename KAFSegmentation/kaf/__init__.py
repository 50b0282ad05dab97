"""KAF: keypoint-augmented segmentation.

One module per verb, each with one public function of the same name; ``import kaf`` itself loads nothing heavy::

    from kaf.verbs.segment import segment
    from kaf.settings.segment import SegmentSettings

    result = segment("scan.nii.gz", SegmentSettings(model="cardiac-mr-sax"))
"""

import os
import sys

from kaf._version import __version__

if sys.platform == "darwin":  # torch asks when it is imported: what it cannot do on Apple's GPUs, the processor does
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

__all__ = ["__version__"]
