"""Fine-tuning with several processes (torchrun): what each works on, and what does not go with it."""

from __future__ import annotations

from kaf.data.batches import Batch, split_batch
from kaf.runtime import ranks
from kaf.runtime.errors import SettingsError
from kaf.settings.finetune import FinetuneSettings


def check_processes(settings: FinetuneSettings) -> None:
    """SettingsError where a batch cannot be divided, or the loss is not that of the joint batch."""
    if ranks.world() == 1:
        return
    if settings.unlabelled:
        raise SettingsError("unlabelled", "is for one process, because slices of a batch are mixed with each other",
                            "Start without torchrun, or leave out --unlabelled.")
    if "batch" in settings.model_fields_set and settings.batch % ranks.world():
        raise SettingsError("batch", f"{settings.batch} patches cannot be divided among {ranks.world()} processes",
                            f"Choose a multiple of {ranks.world()}.")


def own_part(batch: Batch) -> Batch:
    """This process's part of a joint batch.

    Raises:
        SettingsError: it cannot be divided.
    """
    if ranks.world() == 1:
        return batch
    parts = split_batch(batch, ranks.world())
    if not parts:
        raise SettingsError("batch", f"{len(batch.image)} patches cannot be divided among {ranks.world()} processes",
                            f"Choose a multiple of {ranks.world()}.")
    return parts[ranks.rank()]
