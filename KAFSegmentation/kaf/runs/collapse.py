"""Collapse of a representation: from which figures on, and what to do; one definition for training and panel.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

from collections.abc import Mapping

from kaf.runtime.events import Message
from kaf.runtime.message_codes import COLLAPSE

STEPS_BEFORE_ALARM = 50
LEAST_SPREAD = 0.1  # of 1 / sqrt(width), which is that of directions drawn at random
LEAST_RANK = 2.0
_REMEDY = "Lower the learning rate, take a larger batch, or add another method."


def embedding_collapse(figures: Mapping[str, float]) -> Message | None:
    """A warning where "spread" or "effective rank" of embeddings show that they have collapsed."""
    spread, rank = figures.get("spread", 1.0), figures.get("effective rank", LEAST_RANK)
    if spread < LEAST_SPREAD:
        return collapse_warning("all slices, or places, get nearly the same embedding (spread "
                                f"{spread:.3f} of that of random directions). {_REMEDY}", "spread", spread)
    if rank < LEAST_RANK:
        return collapse_warning(f"the embeddings vary along one direction only (effective rank {rank:.1f}). {_REMEDY}",
                                "effective rank", rank)
    return None


def collapse_warning(text: str, figure: str, value: float, clusters: bool = False) -> Message:
    """The warning about a collapse that ``figure`` shows, of the embeddings or of the ``clusters``."""
    return Message(f"Collapse: {text}", "warning", COLLAPSE, {"figure": figure, "value": value, "clusters": clusters})
