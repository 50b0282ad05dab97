"""Where a network runs: as asked, or why not; bf16 only where it is native."""

from __future__ import annotations

import pytest
import torch

from kaf.runtime.device_choice import DeviceChoice, choose_device
from kaf.runtime.errors import ResourceError
from kaf.settings.run import RunSettings


@pytest.fixture(autouse=True)
def only_a_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def gpus(monkeypatch, count, capability=(8, 0)):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3", "mps"])
def test_a_device_that_is_not_there_is_said_with_what_to_do(name):
    with pytest.raises(ResourceError) as caught:
        choose_device(RunSettings(device=name))
    assert str(caught.value) == (
        f"device {name}: is not available to torch {torch.__version__}. Use --device auto or --device cpu, "
        "or install a torch build for this GPU.")


def test_a_gpu_beyond_the_last_is_not_there(monkeypatch):
    gpus(monkeypatch, 2)
    assert choose_device(RunSettings(device="cuda:1")).device == torch.device("cuda:1")
    with pytest.raises(ResourceError, match="device cuda:2: is not available"):
        choose_device(RunSettings(device="cuda:2"))


def test_auto_takes_a_gpu_then_apples_then_the_cpu(monkeypatch):
    place = choose_device(RunSettings(precision="fp32"))
    assert (place.device, place.bf16, place.reason) == (torch.device("cpu"), False, "cpu (no GPU was found)")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    place = choose_device(RunSettings(precision="fp32"))
    assert (place.device.type, place.reason) == ("mps", "mps (an Apple GPU is there)")
    gpus(monkeypatch, 1)
    place = choose_device(RunSettings(precision="fp32"))
    assert (place.device.type, place.reason) == ("cuda", "cuda (a GPU is there)")


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_is_taken_where_it_is_native_and_otherwise_on_request(monkeypatch, capability, native):
    gpus(monkeypatch, 1, capability)
    place = choose_device(RunSettings())
    assert place.bf16 == native
    assert place.reason == "cuda (a GPU is there, bf16)" if native else "cuda (a GPU is there)"
    assert choose_device(RunSettings(precision="bf16")).bf16
    assert not choose_device(RunSettings(precision="fp32")).bf16


def test_only_processors_that_have_bf16_use_it(monkeypatch):
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    for answers in ((False, False), (True, False), (False, True)):
        for name, answer in zip(probes, answers, strict=True):
            monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)
        assert choose_device(RunSettings(device="cpu", threads=1)).bf16 == any(answers)


def test_autocast_is_on_only_with_bf16():
    weight = torch.randn(4, 4)
    for bf16, kind in ((True, torch.bfloat16), (False, torch.float32)):
        with DeviceChoice(torch.device("cpu"), bf16, "").autocast():
            assert (weight @ weight).dtype == kind


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_torch_gets_as_many_threads_as_there_are_for_it(monkeypatch, device):
    """With a GPU, too: there they prepare the scans."""
    gpus(monkeypatch, 1)
    monkeypatch.setattr("kaf.runtime.device_choice.threads_for", lambda asked: asked or 3)
    choose_device(RunSettings(device=device, threads=2))
    assert torch.get_num_threads() == 2
    choose_device(RunSettings(device=device))
    assert torch.get_num_threads() == 3
