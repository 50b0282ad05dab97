"""What MAE is called and learns."""

from __future__ import annotations

from kaf.settings.methods import MethodInfo

INFO = MethodInfo("MAE", "reconstructs masked patches", trains=("encoder", "decoder"), place=7)
