"""What BIM is called and learns."""

from __future__ import annotations

from kaf.settings.methods import MethodInfo

INFO = MethodInfo("BIM", "finds clusters consistent under transforms, with boundaries at image edges",
                  trains=("encoder", "decoder"), place=6)
