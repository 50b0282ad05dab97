"""Where a value on a GPU would decide on a shape or a branch: asking for it makes the CPU wait for all queued work.

On a CPU asking costs nothing, and shapes that fit the data save work.  Elsewhere, and while torch exports or compiles,
shapes follow from the sizes of the inputs alone, and both branches are computed: the same results to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor


def has_static_shapes(values: Tensor) -> bool:
    """Whether what is computed from these values may not ask for any of them."""
    return values.device.type != "cpu" or torch.compiler.is_compiling()
