"""BIM's clusters stay with the weights and can be looked at: on the grid of the scan, also after fine-tuning."""

from __future__ import annotations

import numpy as np
import pytest
from finetune_toys import small_run
from made_models import HERE, RUN, stored
from small_models import SMALL, write_phantoms

from kaf.cli.entry import main
from kaf.evaluation.pairing import named_labels
from kaf.imaging.volume import Volume, read_labels
from kaf.imaging.write import write_map
from kaf.methods.bim.settings import BimSettings
from kaf.modelfile.card import read_card
from kaf.modelfile.model import load_tensors
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError
from kaf.settings.adapt import AdaptSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.adapt import adapt
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain
from kaf.verbs.segment import segment

CLUSTERS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_phantoms(folder / "scans", ("anna", "bert"))
    return folder


@pytest.fixture(scope="module")
def weights(folder):
    return pretrain(PretrainSettings(
        data=str(folder / "scans"), output=str(folder / "bim"), method="bim",
        bim=BimSettings(clusters=CLUSTERS, heads=2), network=SMALL, patch=32, batch=4, steps=3,
        cache=str(folder / "cache"), **RUN))


@pytest.fixture(scope="module")
def tuned(folder, weights):
    return finetune(small_run(folder, folder / "scans", init_from=str(weights), network=None))


@pytest.fixture(scope="module")
def scan():
    volume, _ = cardiac_phantom(3, slices=4, size=60, spacing=2.0)
    return stored(volume, (2, 0, 1), (False, True, False))


def test_the_weights_hold_the_clusters_and_say_so(weights):
    card = read_card(weights)
    assert card.network["clusters"] == CLUSTERS
    assert card.trained_modules == ("encoder", "decoder", "clusters")
    assert load_tensors(weights)[1]["clusters.weight"].shape[0] == CLUSTERS


def test_fine_tuned_weights_keep_them(weights, tuned, scan):
    before, after = (load_tensors(path)[1]["clusters.weight"] for path in (weights, tuned))
    assert np.array_equal(before, after)
    found = segment(scan, SegmentSettings(model=str(tuned), clusters=True, **RUN)).clusters
    assert found.voxels.shape == scan.voxels.shape
    assert np.array_equal(found.affine, scan.affine)
    assert found.voxels.min() >= 1
    assert found.voxels.max() <= CLUSTERS
    adapted = adapt(scan, Volume((scan.voxels > np.median(scan.voxels)).astype(np.uint8), scan.affine),
                    AdaptSettings(model=str(tuned), labels={1: "bright"}, seconds=1, patch=32, batch=2, **RUN))
    assert np.array_equal(adapted.network.clusters.weight.detach(), after)


def test_weights_without_labels_show_clusters_and_segment_nothing(weights, scan):
    result = segment(scan, SegmentSettings(model=str(weights), clusters=True, **RUN))
    assert len(np.unique(result.clusters.voxels)) > 1
    assert not result.labels.voxels.any()
    with pytest.raises(InputError, match="holds pretrained weights only, which cannot segment yet"):
        segment(scan, SegmentSettings(model=str(weights), **RUN))


def test_a_model_without_clusters_says_so(folder, scan):
    plain = finetune(small_run(folder, folder / "scans", "plain"))
    with pytest.raises(InputError, match="has no clusters"):
        segment(scan, SegmentSettings(model=str(plain), clusters=True, **RUN))


def test_the_command_writes_clusters_that_open_with_names_and_colours(tuned, scan, tmp_path):
    write_map(tmp_path / "scan.nrrd", scan)
    assert main(["segment", str(tmp_path / "scan.nrrd"), "--model", str(tuned), "--clusters", "--output",
                 str(tmp_path / "out.seg.nrrd"), *HERE]) == 0
    named = named_labels(tmp_path / "out-clusters.seg.nrrd")
    assert [label.name for label in named.values()] == [f"cluster {n}" for n in range(1, CLUSTERS + 1)]
    found = read_labels(tmp_path / "out-clusters.seg.nrrd").voxels
    direct = segment(scan, SegmentSettings(model=str(tuned), clusters=True, **RUN)).clusters.voxels
    assert (found == direct).mean() > 0.999


def test_there_are_no_more_clusters_than_a_byte_can_number_from_one():
    assert BimSettings(clusters=255).clusters == 255
    with pytest.raises(ValueError, match="less than or equal to 255"):
        BimSettings(clusters=256)
    with pytest.raises(ValueError, match="less than or equal to 255"):
        NetworkSettings(clusters=256)
