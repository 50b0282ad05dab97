"""A pretraining that is killed outright, at random moments, ends with the weights of one left in peace."""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import time
from pathlib import Path

import pytest
import torch
from pretrain_toys import small_pretraining
from small_models import write_phantoms

from kaf.modelfile.weights_file import load_weights
from kaf.runtime.message_codes import RESUMED
from kaf.verbs.pretrain import pretrain

STEPS = 12
KILLS = 2


@pytest.fixture(scope="module")
def start():
    """Starts a run in a process of its own; where the system can fork, the imports are made only once."""
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(["kaf.verbs.pretrain"])
    running = []

    def begin(settings):
        running.append(context.Process(target=pretrain, args=(settings,), daemon=True))
        running[-1].start()
        return running[-1]

    yield begin
    for process in running:
        process.kill()


def newest(folder: Path) -> int:
    return max((int(file.stem[-8:]) for file in (folder / "checkpoints").glob("checkpoint-*.safetensors")), default=0)


def test_a_pretraining_killed_at_random_moments_gives_the_same_weights_bit_for_bit(tmp_path, start):
    """kaf+bim has every kind of head and of view; the first kill is as soon as there is a run folder."""
    data = write_phantoms(tmp_path / "scans")
    values = {"method": "kaf+bim", "epochs": STEPS * 4 / 9, "checkpoint_every": 1e-6}
    straight = small_pretraining(tmp_path, data, "straight", **values)
    pretrain(straight)
    settings, chance = small_pretraining(tmp_path, data, "killed", **values), random.Random(7)
    folder = tmp_path / "killed"
    steps = []
    for number in range(KILLS):
        process = start(settings.model_copy(update={"resume": number > 0}))
        goal = newest(folder) + chance.randint(1, 4) if number else 0
        end = time.monotonic() + 120
        while not ((folder / "settings.json").is_file() and newest(folder) >= goal):
            assert process.is_alive(), f"the run ended by itself with {process.exitcode}"
            assert time.monotonic() < end, "nothing happens"
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.join(60)
        assert not (folder / "model.safetensors").exists()
        steps.append(newest(folder))
    assert 0 < steps[-1] < STEPS, steps
    pretrain(settings.model_copy(update={"resume": True}))

    name = f"checkpoints/checkpoint-{STEPS:08d}.safetensors"
    expected, found = (load_weights(tmp_path / run / name)[0] for run in ("straight", "killed"))
    assert found.keys() == expected.keys()
    assert any("methods.bim" in key for key in found)
    assert [key for key, value in expected.items() if not torch.equal(found[key], value)] == [], steps
    expected, found = (load_weights(tmp_path / run / "model.safetensors")[0] for run in ("straight", "killed"))
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    reported = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [line["data"] for line in reported if line.get("code") == RESUMED][-1] == {"step": steps[-1]}
