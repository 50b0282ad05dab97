"""A run that is killed outright, again and again, ends with the weights of a run that was left in peace."""

from __future__ import annotations

import multiprocessing
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from finetune_toys import small_run
from small_models import SMALL, write_phantoms

from kaf.modelfile.card import read_card
from kaf.modelfile.weights_file import load_weights
from kaf.runtime.events import from_json
from kaf.runtime.message_codes import RESUMED
from kaf.verbs.finetune import finetune

STEPS = 24
KILLED = -getattr(signal, "SIGKILL", signal.SIGTERM)


@pytest.fixture(scope="module")
def start():
    """Starts a run in a process of its own; where the system can fork, the imports are made only once."""
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(["kaf.verbs.finetune"])
    running = []

    def begin(settings):
        running.append(context.Process(target=finetune, args=(settings,), daemon=True))
        running[-1].start()
        return running[-1]

    yield begin
    for process in running:
        process.kill()


def steps_in(folder: Path) -> list[int]:
    return sorted(int(file.stem[-8:]) for file in (folder / "checkpoints").glob("checkpoint-*.safetensors"))


def wait_for(condition: Callable[[], bool], process: multiprocessing.Process, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.is_alive(), f"the run ended by itself with {process.exitcode}"
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.001)


def test_a_run_that_is_killed_three_times_gives_the_same_weights_bit_for_bit(tmp_path, start):
    """Once before the first checkpoint and twice at random steps, at random moments within them."""
    data = write_phantoms(tmp_path / "scans")
    settings = small_run(tmp_path, data, "killed", network=SMALL, epochs=STEPS * 2 / 9, checkpoint_every=1e-6)
    straight = start(settings.model_copy(update={"output": str(tmp_path / "straight")}))
    straight.join(300)
    assert straight.exitcode == 0

    folder, chance, moments = tmp_path / "killed", random.SystemRandom(), []
    for number in range(3):
        process = start(settings.model_copy(update={"resume": number > 0}))
        if number == 0:
            wait_for((folder / "settings.json").is_file, process)
        else:
            goal = (steps_in(folder) or [0])[-1] + chance.randint(1, 6)
            wait_for(lambda goal=goal: (steps_in(folder) or [0])[-1] >= goal, process)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.join(60)
        assert process.exitcode == KILLED
        moments.append(steps_in(folder))
        assert not (folder / "model.safetensors").exists()
    assert moments[2][-1] < STEPS, moments
    last = start(settings.model_copy(update={"resume": True}))
    last.join(300)
    assert last.exitcode == 0

    name = f"checkpoint-{STEPS:08d}.safetensors"
    found, expected = (load_weights(tmp_path / run / "checkpoints" / name)[0] for run in ("killed", "straight"))
    assert found.keys() == expected.keys()
    assert any(key.startswith("optimiser/") for key in found)
    different = [key for key, value in expected.items() if not torch.equal(found[key], value)]
    assert different == [], f"killed after {moments}"
    digests = {read_card(tmp_path / run / "model.safetensors").digest for run in ("killed", "straight")}
    assert len(digests) == 1
    assert sorted(file.name for file in (folder / "checkpoints").iterdir()) == [
        f"checkpoint-{step:08d}.safetensors" for step in (STEPS - 1, STEPS)]
    reported = [from_json(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event.data["step"] for event in reported if getattr(event, "code", "") == RESUMED][-1] == moments[2][-1]
