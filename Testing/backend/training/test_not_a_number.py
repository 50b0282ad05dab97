"""A batch that holds NaN or infinity is skipped by every method, and the run says so."""

from __future__ import annotations

import pytest
import torch
from finetune_toys import small_run
from pretrain_toys import small_pretrainer, some_cases, some_views
from small_models import SMALL, write_phantoms
from training_toys import CPU

from kaf.data.batches import LabelledSlices
from kaf.data.patches3d import LabelledVolumes
from kaf.data.views import UnlabelledSlices
from kaf.modelfile.model import load_model
from kaf.runtime.errors import DivergedError
from kaf.runtime.events import Message, Result
from kaf.training.loop import Loop
from kaf.training.pretraining import PretrainingTask
from kaf.training.schedule import Schedule
from kaf.verbs.finetune import finetune

METHODS = ["kaf", "pcl", "simclr", "pgl", "lrc", "lrc-labels", "bim", "mae", "kaf+bim", "kaf+lrc", "kaf+mae+pgl",
           "pcl+lrc", "simclr+bim+mae"]
SCHEDULE = Schedule(learning_rate=1e-3, weight_decay=0.0, clip=1.0, ema=0.9)


class WithBadSteps(PretrainingTask):
    """Pretraining whose batches of ``bad`` steps hold ``value`` in a slice of every view."""

    bad: tuple[int, ...] = ()
    value = float("nan")

    def views(self, step):
        made = super().views(step)
        if step in self.bad:
            for view in made.views.values():
                view.image[0, 0, 3:9] = self.value
        return made


@pytest.fixture(scope="module")
def cases():
    return some_cases()


def run_of(method, cases, steps, bad, value=float("nan"), **network):
    reported = []
    views = some_views(cases, "labels" if method == "lrc-labels" else "superpixels")
    task = WithBadSteps(small_pretrainer(method, **network), CPU, views, 6, None, reported.append)
    task.bad, task.value = tuple(bad), value
    loop = Loop(task, Schedule(**{**vars(SCHEDULE), "steps": steps}), CPU, None, on_event=reported.append)
    before = {name: tensor.clone() for name, tensor in loop.network.state_dict().items()}
    if len(bad) == steps:
        with pytest.raises(DivergedError, match=r"the loss (was|became) NaN or infinite"):
            loop.run()
    else:
        loop.run()
    return loop, loop.ema.network, before, [event for event in reported if isinstance(event, Message)]


def finite(network):
    return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_the_step_out_and_says_so(cases, method, norm, value):
    loop, average, before, said = run_of(method, cases, 1, [0], value, norm=norm)
    assert loop.state.step == 1
    assert [event.level for event in said] == ["warning"]
    assert said[0].text.startswith("Step 1 was skipped, because its loss or gradient was NaN or infinite")
    for name, tensor in loop.network.named_parameters():
        assert torch.equal(tensor, before[name]), name
    assert finite(loop.network)
    assert finite(average)


@pytest.mark.parametrize("method", METHODS)
def test_the_run_goes_on_after_it(cases, method):
    loop, average, before, said = run_of(method, cases, 4, [1, 2])
    assert loop.state.step == 4
    assert loop.state.left_out == 2
    assert finite(loop.network)
    assert finite(average)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in loop.network.named_parameters())
    assert [event.text.partition(" was skipped")[0] for event in said] == ["Step 2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_phantoms(folder / "scans", ("anna", "bert", "carl"))
    return folder


MIXED = {"cases": ("anna", "bert"), "unlabelled_after": 0.0}
VARIANTS = {
    "slices": (LabelledSlices, {}),
    "keypoints": (LabelledSlices, {"network": SMALL}),
    "mixed, labelled": (LabelledSlices, MIXED),
    "mixed, unlabelled": (UnlabelledSlices, MIXED),
    "volumes": (LabelledVolumes, {"network": {"dimensions": 3, "width": 4, "patch": (8, 32, 32)}}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_fine_tuning_leaves_the_step_out_and_says_so(folder, tmp_path, monkeypatch, variant):
    source, values = VARIANTS[variant]
    honest = source.batch

    def with_a_bad_step(self, step, *rest):
        made = honest(self, step, *rest)
        if step == 1:
            (made.views["anchor"] if isinstance(self, UnlabelledSlices) else made).image[0] = float("nan")
        return made

    monkeypatch.setattr(source, "batch", with_a_bad_step)
    if "mixed" in variant:
        values = {**values, "unlabelled": str(folder / "scans")}
    reported = []
    path = finetune(small_run(tmp_path, folder / "scans", epochs=None, steps=4, **values), reported.append)
    said = [event.text for event in reported if isinstance(event, Message) and event.level == "warning"]
    assert [words.partition(",")[0] for words in said] == ["Step 2 was skipped"]
    assert [event.values["left_out"] for event in reported if isinstance(event, Result)] == [1]
    assert finite(load_model(path)[0])
