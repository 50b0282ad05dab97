"""Everything runs on a GPU that has no float64, and finds there what it finds on the CPU."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from apple_toys import APPLE, AppleTensor, apple_gpu
from finetune_toys import small_run
from made_models import RUN, run
from pretrain_toys import small_pretrainer, small_pretraining, some_cases, some_views
from small_models import SMALL, write_phantoms
from training_toys import CPU

from kaf.imaging.volume import Volume
from kaf.modelfile.model import load_tensors
from kaf.settings.adapt import AdaptSettings
from kaf.settings.explain import ExplainSettings
from kaf.settings.select import SelectSettings
from kaf.training.loop import Loop
from kaf.training.pretraining import PretrainingTask
from kaf.training.schedule import Schedule
from kaf.verbs.adapt import adapt
from kaf.verbs.explain import explain
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain
from kaf.verbs.select import select

METHODS = ["kaf", "pcl", "simclr", "pgl", "lrc", "lrc-labels", "bim", "mae", "kaf+bim"]
APPLES = {**RUN, "device": "mps"}


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with apple_gpu():
        yield


@pytest.fixture(scope="module")
def cases():
    return some_cases()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    write_phantoms(folder / "scans", ("anna", "bert", "carl"))
    return folder


def test_the_gpu_of_these_tests_refuses_float64(gpu):
    there = torch.ones(3).to("mps")
    assert there.device.type == "mps"
    assert isinstance(there, AppleTensor)
    for make in (there.double, lambda: there.to(torch.float64), lambda: torch.ones(3, dtype=torch.float64).to("mps"),
                 lambda: torch.zeros(2, device="mps", dtype=torch.float64), lambda: there.type(torch.float64)):
        with pytest.raises(TypeError, match="doesn't support float64"):
            make()
    assert there.cpu().double().sum() == 3
    with pytest.raises(TypeError, match="to numpy"):
        there.numpy()


def gradients(method, cases, place):
    views = some_views(cases, "labels" if method == "lrc-labels" else "superpixels")
    task = PretrainingTask(small_pretrainer(method, norm="group"), place, views, 6)
    loop = Loop(task, Schedule(1e-3, 0.0, 1.0, 0.9, steps=2), place, None)
    loop.network.train()
    loss, _ = loop.gradients(task.batch(3), 0.5)
    found = {name: p.grad.cpu() for name, p in loop.network.named_parameters() if p.grad is not None}
    return float(loss), found, task.figures()


@pytest.mark.parametrize("method", METHODS)
def test_pretraining_has_the_gradients_of_the_cpu(cases, gpu, method):
    loss, found, figures = gradients(method, cases, APPLE)
    expected, theirs, known = gradients(method, cases, CPU)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert set(found) == set(theirs)
    assert all(not isinstance(gradient, AppleTensor) for gradient in found.values())
    # As a whole: the gradient of a bias in front of a batch normalisation is rounding and nothing else.
    apart = torch.cat([(gradient - theirs[name]).flatten() for name, gradient in found.items()])
    assert float(apart.norm()) < 1e-3 * float(torch.cat([each.flatten() for each in theirs.values()]).norm())
    assert figures == pytest.approx(known, rel=1e-3)


@pytest.mark.parametrize(("name", "values"), [
    ("slices", {"method": "kaf+bim"}),
    ("volumes", {"method": "pgl", "network": {"dimensions": 3, "width": 4, "patch": (4, 32, 32)}, "batch": 2}),
])
def test_a_whole_pretraining(folder, tmp_path, gpu, name, values):
    """With pictures, and (in 2-D) a look at labelled cases."""
    more = {} if name == "volumes" else {"labelled": str(folder / "scans")}
    path = pretrain(small_pretraining(tmp_path, folder / "scans", device="mps", epochs=None, steps=2, **more, **values))
    assert all(torch.isfinite(value).all() for value in load_tensors(path)[1].values())


@pytest.mark.parametrize("values", [
    {"network": SMALL}, {"network": SMALL, "unlabelled": "scans", "unlabelled_after": 0.0, "cases": ("anna", "carl")},
    {"network": {"dimensions": 3, "width": 4, "patch": (4, 32, 32)}}, {"network": {"kind": "basicunet"}},
], ids=["slices", "mixed", "volumes", "basicunet"])
def test_a_whole_fine_tuning(folder, tmp_path, gpu, values):
    if "unlabelled" in values:
        values = {**values, "unlabelled": str(folder / "scans")}
    path = finetune(small_run(tmp_path, folder / "scans", device="mps", epochs=None, steps=2,
                              validation_cases=("carl",), **values))
    assert all(torch.isfinite(value).all() for value in load_tensors(path)[1].values())
    if values == {"network": SMALL}:
        resumed = small_run(tmp_path, folder / "scans", device="mps", epochs=None, steps=2, validation_cases=("carl",),
                            resume=True, **values)
        assert finetune(resumed) == path


def test_segmenting_and_explaining_give_what_the_cpu_gives(model, scan, gpu):
    wanted = {"uncertainty": True, "attention": True, "flips": True}
    expected, found = run(model, scan, **wanted), run(model, scan, **wanted, device="mps")
    assert (found.labels.voxels == expected.labels.voxels).mean() > 0.999
    np.testing.assert_allclose(found.uncertainty.voxels, expected.uncertainty.voxels, atol=1e-3)
    np.testing.assert_allclose(found.attention.voxels, expected.attention.voxels, atol=1e-3)
    for more in ({}, {"combine": "rollout", "head": 1}):
        mine = explain(scan, ExplainSettings(model=str(model), **APPLES, **more))
        theirs = explain(scan, ExplainSettings(model=str(model), **RUN, **more))
        np.testing.assert_allclose(mine.weights, theirs.weights, atol=1e-4)


@pytest.mark.parametrize("by", ["coverage", "uncertainty"])
def test_choosing_what_to_label_first(folder, model, tmp_path, gpu, by):
    order = []
    for device in ("mps", "cpu"):
        found = select(SelectSettings(data=str(folder / "scans"), model=str(model), by=by, ignore_labels=True,
                                      output=str(tmp_path / device), cache=str(tmp_path / "cache"),
                                      **{**RUN, "device": device}))
        order.append([choice.patient for choice in found.choices])
    assert order[0] == order[1]


@pytest.mark.parametrize("labels", [{}, {1: "tumour"}])
def test_adapting(model, scan, gpu, labels):
    drawn = np.zeros(scan.voxels.shape, np.uint8)
    drawn[2, 20:40, 20:40] = 1
    done = adapt(scan, Volume(drawn, scan.affine), AdaptSettings(model=str(model), labels=labels, seconds=1, **APPLES))
    assert done.segmentation.labels.voxels[2].sum() == drawn.sum()
    assert all(bool(torch.isfinite(value).all()) for value in done.network.state_dict().values())


@pytest.mark.parametrize(("platform", "before", "after"), [("darwin", None, "1"), ("darwin", "0", "0"),
                                                           ("linux", None, None)])
def test_what_torch_lacks_there_goes_to_the_cpu(monkeypatch, platform, before, after):
    """torch reads the variable when it is imported, which nobody does before the package itself."""
    import importlib
    import sys

    import kaf

    name = "PYTORCH_ENABLE_MPS_FALLBACK"
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    monkeypatch.setattr(sys, "platform", platform)
    importlib.reload(kaf.mps_fallback)  # which `import kaf` imports
    found = os.environ.get(name)
    monkeypatch.delenv(name, raising=False)
    assert found == after
