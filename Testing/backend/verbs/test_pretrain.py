"""A pretraining from folder to file: forecast, short memory, numbers that are none, and folders that vanish."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from pretrain_toys import HEADS, small_pretrainer, small_pretraining, some_cases, some_views
from small_models import write_phantoms
from training_toys import CPU

from kaf.modelfile.card import read_card
from kaf.runtime.errors import DivergedError, OutputError, ResourceError
from kaf.runtime.events import Message, Metric
from kaf.runtime.message_codes import FORECAST
from kaf.settings.methods import method_names
from kaf.training.forecast import Pace, forecast
from kaf.training.loop import Loop
from kaf.training.pretraining import PretrainingTask
from kaf.training.schedule import Schedule
from kaf.verbs.pretrain import pretrain

THREE = Schedule(learning_rate=0.01, weight_decay=0.1, clip=5.0, ema=0.9, steps=3)


@pytest.fixture(scope="module")
def cases():
    return some_cases()


def loop_of(method: str, cases, schedule=THREE, checkpoints=None, on_event=lambda event: None, task=PretrainingTask):
    network = small_pretrainer(method)
    return Loop(task(network, CPU, some_views(cases), 4, on_event=on_event), schedule, CPU,
                checkpoints, on_event=on_event)


def state_of(loop: Loop) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in (*loop.network.state_dict().items(), *(
        (f"average {name}", value) for name, value in loop.ema.network.state_dict().items()))}


@pytest.mark.parametrize("method", ["kaf+bim", "pgl"])
def test_the_forecast_leaves_no_trace(cases, method):
    loop = loop_of(method, cases)
    torch.manual_seed(11)
    before, random = state_of(loop), torch.get_rng_state()
    modes = [module.training for module in loop.network.modules()]
    found = forecast(loop)
    assert found.steps == 3
    assert found.seconds == pytest.approx(3 * found.seconds_per_step)
    assert found.seconds_per_step > 0
    assert found.memory > 10_000_000  # of a process with torch in it
    after = state_of(loop)
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert torch.equal(random, torch.get_rng_state())
    assert [module.training for module in loop.network.modules()] == modes
    assert all(parameter.grad is None for parameter in loop.network.parameters())
    assert loop.state.step == 0
    plain = loop_of(method, cases)
    assert all(torch.equal(value, plain.run().state_dict()[name]) for name, value in loop.run().state_dict().items())


def test_the_forecast_counts_by_steps_or_by_the_clock(cases):
    timed = forecast(loop_of("mae", cases, replace(THREE, steps=None, seconds=3600.0)))
    assert timed.seconds == pytest.approx(3600, rel=0.1)
    assert re.fullmatch(r"Forecast: \d+ steps of \S+ s, 60 minutes in all, \d+\.\d GB of memory\.",
                        replace(timed, seconds=3600.0).text())


@pytest.mark.parametrize(("budget", "steps"), [({"steps": None, "seconds": 600.0}, 1180), ({"steps": 500}, 500)])
def test_the_second_minute_of_a_run_corrects_the_forecast(budget, steps):
    told, state = [], SimpleNamespace(step=40, elapsed=900.0, parts=1)  # it goes on from a checkpoint
    if budget.get("seconds"):
        budget = {**budget, "seconds": 900.0 + budget["seconds"]}
    pace = Pace(replace(THREE, **budget), CPU.device, state, told.append)
    for second in range(1, 301):
        state.step += 1 if second <= 60 else 2  # the first minute is slower
        state.elapsed = 900.0 + second
        pace.update(state)
    (message,) = told
    assert message.code == FORECAST
    assert message.data["seconds_per_step"] == pytest.approx(0.5)
    assert message.data["steps"] == steps
    assert message.data["seconds"] == pytest.approx(900 + 120 + (message.data["steps"] - 220) * 0.5, abs=1)


class Tight(PretrainingTask):
    """Has room for two slices."""

    def loss(self, batch, average, progress):
        if len(batch[1].seeds) > 2:
            raise torch.OutOfMemoryError("too much")
        return super().loss(batch, average, progress)


def test_short_memory_adds_up_gradients_of_parts_where_the_method_allows(cases):
    reported = []
    loop = loop_of("mae", cases, on_event=reported.append, task=Tight)
    found = forecast(loop)
    assert found.parts == loop.state.parts == 2
    assert "processed in 2 parts" in reported[0].text
    parts = loop.task.split(loop.task.batch(0), 2)
    whole = loop_of("mae", cases)
    whole.network.eval()  # the statistics of a part are not those of the batch
    with torch.no_grad():
        losses = [float(whole.task.loss(part, whole.ema.network, 0.0)[0]) for part in parts]
        together = float(whole.task.loss(whole.task.batch(0), whole.ema.network, 0.0)[0])
    assert together == pytest.approx(sum(losses) / 2, rel=1e-5)


@pytest.mark.parametrize("method", ["pcl", "mae+pcl"])
def test_short_memory_as_a_message_where_a_loss_needs_its_whole_batch(cases, method):
    with pytest.raises(ResourceError, match=r"ran out of memory .*needs the whole batch at once\. Use a smaller"):
        forecast(loop_of(method, cases, task=Tight))


def test_three_losses_of_no_number_end_the_run_and_keep_the_last_good_checkpoint(tmp_path, cases):
    class Broken(PretrainingTask):
        def loss(self, batch, average, progress):
            loss, terms = super().loss(batch, average, progress)
            return loss * (torch.nan if batch[0] in (1, 4, 5, 6) else 1.0), terms

    schedule = replace(THREE, steps=20, checkpoint_every=1e-9)
    with pytest.raises(ResourceError, match=r"3 times in a row \(batches 5 to 7\).*last good checkpoint"):
        loop_of("pcl", cases, schedule, tmp_path / "checkpoints", task=Broken).run()
    kept = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert kept == ["checkpoint-00000003.safetensors", "checkpoint-00000004.safetensors"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("scans"))


def test_a_run_writes_its_folder_whole(tmp_path, data):
    reported = []
    path = pretrain(small_pretraining(tmp_path, data, method="kaf+mae", epochs=11, labelled=str(data)), reported.append)
    run = path.parent
    assert {file.name for file in run.iterdir()} >= {
        "settings.json", "plan.json", "split.json", "forecast.json", "events.jsonl", "checkpoints", "model.safetensors"}
    assert {file.name for file in (run / "pictures").iterdir()} == {"matches-00000025.png", "drawn-00000025.png"}
    assert not list(run.rglob(".*"))  # nothing half-written
    expected = json.loads((run / "forecast.json").read_text())
    assert expected["steps"] == 25
    assert any(isinstance(event, Message) and event.text.startswith("Forecast: 25 steps of") for event in reported)
    metrics = [event.values for event in reported if isinstance(event, Metric)]
    assert {"loss", "kaf: matching", "kaf: inliers", "kaf: matched keypoints", "mae: reconstruction", "spread",
            "alignment", "uniformity", "share waiting for data"} <= metrics[0].keys()
    assert {"validation probe Dice", "validation untrained Dice"} <= metrics[-1].keys()
    card = read_card(path)
    assert card.trained_modules == ("encoder", "decoder")
    assert not card.labels
    assert str(tmp_path) not in json.dumps(card.recipe)


def test_a_learning_rate_that_diverges_ends_as_a_message(tmp_path, data):
    settings = small_pretraining(tmp_path, data, method="mae", learning_rate=10.0, optimiser="sgd", clip=1e30,
                                 epochs=40)
    with pytest.raises(DivergedError, match=r"the loss was NaN or infinite 3 times in a row .*Lower the learning rate"):
        pretrain(settings)


def test_a_run_folder_that_disappears_ends_the_run_as_a_message(tmp_path, data):
    def vanish(event):
        if isinstance(event, Metric):
            shutil.rmtree(tmp_path / "run", ignore_errors=True)

    with pytest.raises(OutputError, match="run folder disappeared"):
        pretrain(small_pretraining(tmp_path, data, method="pcl", epochs=10), vanish)
    assert not (tmp_path / "run").exists()


def test_the_toys_cover_every_method():
    assert {*HEADS, "mae"} == set(method_names())
