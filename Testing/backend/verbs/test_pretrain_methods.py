"""Every method from a folder of scans to weights that fine-tuning takes: real runs of a few steps."""

from __future__ import annotations

import json
import math

import pytest
import torch
from finetune_toys import small_run
from pretrain_toys import small_pretraining
from small_models import SMALL, write_phantoms

from kaf.modelfile.card import read_card
from kaf.modelfile.model import load_tensors
from kaf.network import build_network
from kaf.runtime.events import Metric, from_json
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain

ENCODER, DECODER = ("encoder",), ("encoder", "decoder")
CLUSTERS = (*DECODER, "clusters")  # BIM's stay with the weights, to be looked at
RUNS = {"kaf": ENCODER, "pcl": ENCODER, "simclr": ENCODER, "pgl": ENCODER, "lrc": DECODER, "bim": CLUSTERS,
        "mae": DECODER, "kaf+bim": CLUSTERS, '{"pcl": 1, "lrc": 0.5}': DECODER}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_phantoms(folder / "scans")
    return folder


@pytest.fixture(scope="module")
def weights(folder):
    """Method -> weights after a few steps, in bf16, which `auto` takes where it is native; other tests are in fp32."""
    made = {}
    for number, method in enumerate(RUNS):
        settings = small_pretraining(folder, folder / "scans", f"run{number}", method=method, precision="bf16")
        made[method] = pretrain(settings)
    return made


@pytest.mark.parametrize("method", RUNS)
def test_the_weights_and_what_of_them_has_learned(weights, method):
    path = weights[method]
    card, tensors = load_tensors(path)
    assert card.trained_modules == RUNS[method]
    assert card.labels == ()
    assert card.recipe["method"] == ("pcl+lrc:0.5" if method.startswith("{") else method)
    assert all(torch.isfinite(value).all() for value in tensors.values())
    torch.manual_seed(0)
    untrained = build_network(SMALL.model_copy(update={"classes": 2})).state_dict()
    for name in ("encoder", "decoder", "head"):
        changed = [key for key, value in tensors.items() if key.startswith(name) and key.endswith("weight")
                   and not torch.equal(value, untrained[key].half().float())]
        assert bool(changed) == (name in RUNS[method]), name


@pytest.mark.parametrize("method", RUNS)
def test_the_run_folder_tells_the_run(weights, method):
    run = weights[method].parent
    for name in ("settings", "plan", "split", "forecast"):
        assert json.loads((run / f"{name}.json").read_text(encoding="utf-8"))
    assert json.loads((run / "split.json").read_text())["train"] == ["p1", "p2", "p3"]
    assert read_card(weights[method]).metrics["pretraining_patients"] == 3
    events = [from_json(line) for line in (run / "events.jsonl").read_text(encoding="ascii").splitlines()]
    for event in events:
        if isinstance(event, Metric):
            assert all(math.isfinite(value) for value in event.values.values())
    assert any((run / "checkpoints").iterdir())


@pytest.mark.parametrize("method", ["kaf", "mae", "kaf+bim"])
def test_fine_tuning_starts_from_the_modules_that_learned(folder, weights, method):
    settings = small_run(folder, folder / "scans", f"tuned-{method}", init_from=str(weights[method]), network=None,
                         epochs=0.4)
    path = finetune(settings)
    report = json.loads((path.parent / "transfer.json").read_text())
    assert report["coverage"] == pytest.approx(1)
    assert {name.split(".")[0] for name in report["loaded"]} == set(RUNS[method])
    network = read_card(path).network
    assert {name: network[name] for name in ("width", "blocks", "token_width", "fusion")} == {
        name: getattr(SMALL, name) for name in ("width", "blocks", "token_width", "fusion")}
    assert network["classes"] == 4
