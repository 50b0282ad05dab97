"""What LRC is called and learns."""

from __future__ import annotations

from kaf.settings.methods import MethodInfo

INFO = MethodInfo("LRC", "contrasts the regions of a slice: superpixels or labels",
                  trains=("encoder", "decoder"), place=5)
