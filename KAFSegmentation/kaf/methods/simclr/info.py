"""What SimCLR is called and learns."""

from __future__ import annotations

from kaf.settings.methods import MethodInfo

INFO = MethodInfo("SimCLR", "contrasts slices: only two views of the same slice are positives", place=3)
