"""The worker's own verbs with a tiny model: the numbers of the same process, by way of files and pipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_models import LABELS, RUN, STORAGES, stored, tiny_model, turned

from kaf.imaging.volume import Volume
from kaf.memory.earlier import load_earlier
from kaf.memory.header import structures_of
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError, ModelError, SettingsError
from kaf.runtime.events import Message, Progress
from kaf.settings.explain import ExplainSettings
from kaf.settings.propagate import PropagateSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.explain import explain
from kaf.verbs.propagate import propagate
from kaf.verbs.segment import segment
from kaf.worker.client import Client


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict:
    path = tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=2.5)
    return {"model": str(path), **RUN}


@pytest.fixture(scope="module")
def volume() -> Volume:
    scan = cardiac_phantom(3, slices=4, size=48, spacing=2.5)[0]
    return stored(Volume(scan.voxels, turned() @ scan.affine), *STORAGES[4])


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with Client(threads=1, start_timeout=600, log=tmp_path_factory.mktemp("log") / "worker.log") as one:
        one.start()
        yield one


def test_segment_gives_the_arrays_of_the_same_process(client, settings, volume):
    settings = {**settings, "attention": True, "uncertainty": True}
    image, reported = {"image": (volume.voxels, volume.affine)}, []
    here = segment(volume, SegmentSettings(**settings))
    for _ in range(2):  # the second time with the model and the scan kept warm
        there = client.request("segment", settings, image, reported.append, keys={"image": "scan"})
        assert set(there["arrays"]) == {"labels", "uncertainty", "attention"}
        for name, (voxels, affine) in there["arrays"].items():
            mine = getattr(here, name)
            assert voxels.dtype == mine.voxels.dtype
            np.testing.assert_array_equal(voxels, mine.voxels)
            np.testing.assert_array_equal(affine, volume.affine)
    assert there["labels"] == [
        {"value": label.value, "name": label.name, "colour": list(label.colour), "terminology": ""}
        for label in LABELS]
    assert there["volumes_ml"] == {str(value): amount for value, amount in here.volumes_ml.items()}
    assert there["warnings"] == list(here.warnings)
    assert there["place"] == here.place
    assert reported[-1] == Progress("segmenting", 4, 4, 0.0)


def test_only_the_labels_come_where_no_map_was_asked_for(client, settings, volume):
    thick = volume.affine @ np.diag([1, 1, 1, 1.0])
    thick[:3, :3] *= 3
    reported = []
    there = client.request("segment", settings, {"image": (volume.voxels, thick)}, reported.append)
    assert set(there["arrays"]) == {"labels"}
    assert [event.text for event in reported if isinstance(event, Message)] == there["warnings"]
    assert "mm apart" in there["warnings"][0]


def test_explain_gives_keypoints_with_weights_and_one_slice_or_all(client, settings, volume):
    point = tuple((volume.affine @ [*(np.array(volume.shape[::-1]) // 2), 1])[:3])
    for more in ({}, {"point": point, "direction": "from"}):
        there = client.request("explain", {**settings, **more}, {"image": (volume.voxels, volume.affine)})
        here = explain(volume, ExplainSettings(**settings, **more))
        positions, weights, slices = (there["arrays"][name][0] for name in ("positions", "weights", "slices"))
        np.testing.assert_array_equal(positions, here.positions)
        np.testing.assert_allclose(weights, here.weights, rtol=1e-6)
        np.testing.assert_array_equal(slices, here.slices)
        voxels, affine = there["arrays"]["attention"]
        shown = here.sheet() if more else here.attention
        np.testing.assert_array_equal(voxels, shown.voxels)
        np.testing.assert_allclose(affine, shown.affine)
        assert there["chosen"] == here.chosen
    assert there["chosen"] is not None


def test_propagate_keeps_the_scan_warm_and_says_where_a_label_came_from(client, settings):
    scan, truth = cardiac_phantom(3, slices=7, size=48, spacing=2.5)
    drawn = np.where(np.isin(np.arange(7), (1, 3, 5))[:, None, None], truth.voxels, 0).astype(np.uint8)
    given = {"image": (scan.voxels, scan.affine), "drawn": (drawn, scan.affine)}
    with pytest.raises(InputError, match="no scan was propagated yet"):
        client.request("provenance", options={"voxel": [1, 1, 1]})
    for slices in ((1, 5), (1, 3, 5)):
        there = client.request("propagate", {**settings, "slices": slices, "use": "memory"}, given,
                               keys={"image": "heart"})
        here = propagate(scan, Volume(drawn, scan.affine), PropagateSettings(slices=slices, use="memory", **settings))
        assert (there["arrays"]["labels"][0] == here.labels.voxels).mean() > 0.999
        assert there["report"]["finished"] == list(slices)
        assert there["report"]["next"] in there["report"]["review"]
    row, column = (int(place[len(place) // 2]) for place in np.nonzero(there["arrays"]["labels"][0][2]))
    origins = client.request("provenance", options={"voxel": [column, row, 2]})["origins"]
    assert {item["slice"] for item in origins} <= {1, 3}
    with pytest.raises(InputError, match="three whole numbers"):
        client.request("provenance", options={"voxel": [1, 2]})
    kept = client.request("propagate", {**settings, "slices": [1, 3]}, given, keys={"image": "heart"},
                          options={"remember": "Heart"})["memory"]
    names = structures_of(kept)
    assert names == dict(enumerate(["RV cavity", "myocardium", "LV cavity"], start=1))
    more = client.request("propagate", {**settings, "slices": [5], "memory": kept}, given, keys={"image": "heart"},
                          options={"remember": "Another"})["memory"]
    assert {(source["scan"], source["slice"]) for source in load_earlier(Path(more)).sources} == \
        {("Heart", 1), ("Heart", 3), ("Another", 5)}


def test_the_first_slices_to_draw_are_proposed(client):
    scan, truth = cardiac_phantom(3, slices=8, size=64, spacing=2.0)
    model = {"model": "cardiac-mr-sax", **RUN}
    found = client.request("propose", model, {"image": (scan.voxels, scan.affine)}, options={"count": 3})["slices"]
    held = np.flatnonzero(truth.voxels.any(axis=(1, 2)))
    assert found == sorted(found)
    assert len(found) == 3
    assert set(found) <= set(held.tolist())
    with pytest.raises(InputError, match="got no count"):
        client.request("propose", model, {"image": (scan.voxels, scan.affine)}, options={"count": "3"})


@pytest.mark.parametrize(("verb", "more", "kind", "words"), [
    ("segment", {"modle": "x"}, SettingsError, "did you mean 'model'"),
    ("segment", {"model": "nobody"}, ModelError, "is not in the library"),
    ("segment", {"roi": [900, 900, 900, 910, 910, 910]}, InputError, "outside the scan"),
    ("explain", {"direction": "to"}, SettingsError, "needs a point"),
])
def test_errors_arrive_as_they_were_raised_and_the_worker_goes_on(client, settings, volume, verb, more, kind, words):
    image = {"image": (volume.voxels, volume.affine)}
    with pytest.raises(kind, match=words):
        client.request(verb, {**settings, **more}, image)
    assert "labels" in client.request("segment", settings, image)["arrays"]


def test_a_request_without_its_volume_is_reported(client, settings):
    with pytest.raises(InputError, match="image"):
        client.request("segment", settings)
