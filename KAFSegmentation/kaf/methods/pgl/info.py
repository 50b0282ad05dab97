"""What PGL is called and learns."""

from __future__ import annotations

from kaf.settings.methods import MethodInfo

INFO = MethodInfo("PGL", "aligns the features of the same location in two crops, with an EMA teacher", place=4)
