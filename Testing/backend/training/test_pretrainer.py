"""The network and the heads of several methods as one: what is computed, what learns, and the alarm."""

from __future__ import annotations

import pytest
import torch
from pretrain_toys import some_cases, some_views
from small_models import SMALL, listening
from training_toys import CPU

from kaf.data.views import ViewBatch
from kaf.methods.bim.settings import BimSettings
from kaf.methods.contrast_settings import ContrastSettings
from kaf.methods.kaf.settings import KafSettings
from kaf.methods.lrc.settings import LrcSettings
from kaf.methods.mae.settings import MaeSettings
from kaf.methods.pgl.settings import PglSettings
from kaf.methods.registry import method_class
from kaf.network import build_network
from kaf.runtime.events import Message
from kaf.training.pretraining import Pretrainer, PretrainingTask

HEADS = {
    "kaf": KafSettings(width=8, token_width=8), "pcl": ContrastSettings(width=8, theta=0.5),
    "simclr": ContrastSettings(width=8, positives="view"), "pgl": PglSettings(hidden=8, width=6, points=4),
    "lrc": LrcSettings(width=6, hidden=8, samples=6), "bim": BimSettings(clusters=5, heads=2, window=3),
    "mae": MaeSettings(block=8),
}
ENCODER, DECODER = ("encoder",), ("encoder", "decoder")
TRAINS = {"kaf": ENCODER, "pcl": ENCODER, "simclr": ENCODER, "pgl": ENCODER, "lrc": DECODER, "bim": DECODER,
          "mae": DECODER, "kaf+bim": DECODER, "pcl+simclr": ENCODER}


@pytest.fixture(scope="module")
def slices():
    return some_views(some_cases())


def made(method, norm="batch", **weights):
    """A tiny network with the heads of the methods; the same numbers every time."""
    settings = SMALL.model_copy(update={"norm": norm})
    torch.manual_seed(0)
    network = listening(build_network(settings))
    heads = {}
    for name in method.split("+"):
        torch.manual_seed(len(name) + ord(name[0]))
        heads[name] = method_class(name)(HEADS[name], settings)
    return Pretrainer(network, heads, {**dict.fromkeys(heads, 1.0), **weights})


def task_of(pretrainer, slices, on_event=lambda event: None):
    return PretrainingTask(pretrainer, CPU, slices, 8, on_event=on_event)


def views(slices, pretrainer) -> ViewBatch:
    return task_of(pretrainer, slices).views(0)


def step(pretrainer, slices):
    pretrainer.train()
    loss, terms, _ = pretrainer(views(slices, pretrainer), 0.5, made("+".join(pretrainer.methods)).eval())
    pretrainer.zero_grad()
    loss.backward()
    return loss, terms


@pytest.mark.parametrize("method", TRAINS)
def test_what_learns_is_what_is_handed_over(slices, method):
    """Every part that the method says it trains has a gradient, and nothing else of the network has one."""
    pretrainer = made(method)
    assert pretrainer.trained_modules == TRAINS[method]
    loss, terms = step(pretrainer, slices)
    assert torch.isfinite(loss)
    assert terms
    assert not any(value.requires_grad for value in terms.values())
    for name, part in pretrainer.network.named_children():
        learned = [p.grad is not None and bool(p.grad.any()) for p in part.parameters()]
        assert any(learned) == (name in TRAINS[method]), name
        assert all(p.requires_grad == (name in TRAINS[method]) for p in part.parameters())
    for parameter in pretrainer.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_losses_add_up_by_their_weights(slices):
    """With group normalisation methods do not see each other through the batch."""
    alone = {name: float(step(made(name, "group"), slices)[0].detach()) for name in ("kaf", "bim", "mae")}
    both = made("kaf+bim+mae", "group", kaf=0.5, bim=2.0, mae=3.0)
    loss, terms = step(both, slices)
    assert float(loss.detach()) == pytest.approx(0.5 * alone["kaf"] + 2 * alone["bim"] + 3 * alone["mae"], rel=1e-4)
    assert {name.partition(": ")[0] for name in terms} == {"kaf", "bim", "mae"}
    assert float(terms["mae: reconstruction"]) == pytest.approx(alone["mae"], rel=1e-4)


def test_only_what_is_wanted_is_computed(slices):
    assert made("kaf").depth == "bottleneck"
    assert made("kaf").names == ["anchor", "neighbour"]
    assert made("kaf+bim").depth == "decoder"
    assert made("kaf+bim").names == ["again", "anchor", "neighbour"]
    assert made("mae").names == ["masked"]
    for method, maps in (("kaf", 0), ("kaf+bim", 4)):
        pretrainer = made(method)
        found = pretrainer.features(views(slices, pretrainer), pretrainer.names, pretrainer.depth)
        assert set(found) == set(pretrainer.names)
        assert all(len(features.decoder) == maps for features in found.values())
        assert all(features.logits.numel() == 0 for features in found.values())


def test_views_in_one_pass_are_the_views_one_by_one(slices):
    """Their keypoints are of different numbers; each view gets its own tokens back."""
    pretrainer = made("kaf+bim", "group").eval()
    batch = views(slices, pretrainer)
    assert len({view.mask.shape[1] for view in batch.views.values()}) > 1
    for name, features in pretrainer.features(batch, pretrainer.names, "decoder").items():
        view = batch.views[name]
        alone = pretrainer.network(view.image, view.keypoints, view.mask, until="decoder")
        assert torch.allclose(features.bottleneck, alone.bottleneck, atol=1e-4)
        for mine, theirs in zip(features.tokens, alone.tokens, strict=True):
            assert mine.shape == theirs.shape
            assert torch.allclose(mine[view.mask], theirs[view.mask], atol=1e-4)
        for mine, theirs in zip(features.decoder, alone.decoder, strict=True):
            assert torch.allclose(mine, theirs, atol=1e-4)


def test_the_teacher_is_the_average(slices):
    student, teacher = made("pgl").train(), made("pgl").eval()
    batch = views(slices, student)
    near = float(student(batch, 0.5, teacher)[0].detach())
    with torch.no_grad():
        for parameter in teacher.network.parameters():
            parameter.mul_(-1.5)
    assert float(student(batch, 0.5, teacher)[0].detach()) != pytest.approx(near, rel=1e-3)
    assert all(p.grad is None for p in teacher.parameters())


def test_a_batch_in_parts_only_where_the_loss_allows_it(slices):
    for method, allowed in (("mae", True), ("kaf", False), ("mae+pcl", False), ("bim", False)):
        task = task_of(made(method, "group").eval(), slices)
        parts = task.split(task.batch(0), 2)
        assert len(parts) == (2 if allowed else 0)
        if allowed:
            average = made(method, "group").eval()
            whole = float(task.loss(task.batch(0), average, 0.5)[0].detach())
            each = [float(task.loss(part, average, 0.5)[0].detach()) for part in parts]
            assert sum(each) / 2 == pytest.approx(whole, rel=1e-4)


def constant(pretrainer):
    """The same answer to everything: the weights are zero, the biases are not."""
    with torch.no_grad():
        for name, parameter in pretrainer.network.named_parameters():
            if parameter.ndim > 1:
                parameter.zero_()
            elif name.endswith("bias"):
                parameter.fill_(0.5)
    return pretrainer


@pytest.mark.parametrize(("method", "words"), [
    ("kaf", "nearly the same embedding"), ("pcl", "nearly the same embedding"),
    ("simclr", "nearly the same embedding"), ("pgl", "nearly the same embedding"),
    ("bim", "all pixels get the same clusters"), ("kaf+bim", "nearly the same embedding"),
])
def test_a_constant_network_raises_the_alarm_once_and_a_new_one_does_not(slices, method, words):
    reported = []
    living, dead = made(method), constant(made(method))
    for pretrainer in (living, dead):
        pretrainer.train()
        task = task_of(pretrainer, slices, reported.append)
        task.loss(task.batch(49), dead, 0.5)
        task.figures()
        assert reported == [], "too early to tell"
        for number in (200, 201):
            # In training mode the teacher normalises by the batch: its statistics are not those of a new network.
            task.loss(task.batch(number), made(method).train() if pretrainer is living else dead, 0.5)
            figures = task.figures()
            assert all(value == value for value in figures.values())
        if pretrainer is living:
            assert reported == []
    assert [event.level for event in reported if isinstance(event, Message)] == ["warning"]
    assert words in reported[0].text
