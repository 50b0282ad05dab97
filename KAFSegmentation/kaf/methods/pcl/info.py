"""What PCL is called and learns."""

from __future__ import annotations

from kaf.settings.methods import MethodInfo

INFO = MethodInfo("PCL", "contrasts slices: slices at similar positions in the volume are positives", place=2)
