"""What KAF is called and learns."""

from __future__ import annotations

from kaf.settings.methods import MethodInfo

INFO = MethodInfo("KAF", "contrasts neighbouring slices and their pooled keypoints, and matches keypoints", place=1)
