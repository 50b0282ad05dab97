"""What pretraining and fine-tuning share is one setting: the same kind, range and text, under the same flag."""

from __future__ import annotations

import pytest

from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings

# Where the meaning differs, so does the text.
OWN = {"data", "output", "name", "augmentation", "init_from", "optimiser", "ema", "batch", "minutes", "patch", "seed",
       "slicing_axis", "modality", "leave_out", "weights_licence"}
ORDER = ("data", "output", "name", "cases", "spacing", "slicing_axis", "slice_context", "patch", "network",
         "normalisation", "keypoints", "augmentation", "init_from", "optimiser", "learning_rate", "weight_decay",
         "clip",
         "ema", "steps", "epochs", "minutes", "checkpoint_every", "seed", "log", "resume", "overwrite", "cache",
         "cache_limit", "weights_licence", "training_data")


def test_a_setting_of_both_has_the_same_kind_range_and_text():
    one, other = FinetuneSettings.model_fields, PretrainSettings.model_fields
    shared = [name for name in one if name in other and name not in OWN]
    assert len(shared) > 15
    for name in shared:
        assert (one[name].annotation, one[name].metadata, one[name].description) == \
            (other[name].annotation, other[name].metadata, other[name].description), name


@pytest.mark.parametrize("settings", [FinetuneSettings, PretrainSettings])
def test_files_and_flags_keep_their_order(settings):
    assert [name for name in settings.model_fields if name in ORDER] == list(ORDER)


@pytest.mark.parametrize("settings", [FinetuneSettings, PretrainSettings])
def test_a_run_is_resumed_or_replaced_not_both(settings):
    with pytest.raises(ValueError, match="resume and overwrite cannot be combined"):
        settings(data="a", output="b", resume=True, overwrite=True)
