"""``kaf devices``: what there is, what auto takes, and why there is no GPU."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from made_models import command_line

from kaf.runtime.device_list import find_devices
from kaf.runtime.events import from_json
from kaf.settings.run import RunSettings


@pytest.fixture(autouse=True)
def only_a_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None, raising=False)
    monkeypatch.setattr("kaf.runtime.device_list.physical_cores", lambda: 3)
    monkeypatch.setattr("kaf.runtime.threads.physical_cores", lambda: 3)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7 + torch.device(device).index, 5)
                        if torch.device(device).index is not None else (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_properties",
                        lambda index: SimpleNamespace(name=f"Card {index}", total_memory=8e9 * (index + 1)))


def test_all_gpus_are_listed_and_auto_takes_the_first(two_gpus):
    found = find_devices(RunSettings())
    assert [(d.name, d.description, d.memory_gb, d.bf16) for d in found.found] == [
        ("cuda:0", "Card 0", 8.0, False), ("cuda:1", "Card 1", 16.0, True),
        ("cpu", "CPU with 3 physical cores", None, False)]
    assert (found.auto, found.lacking) == ("cuda (a GPU is there)", "")
    assert "auto takes cuda (a GPU is there)" in found.text()
    assert "Card 1, 16.0 GB, bf16" in found.text()


@pytest.mark.parametrize(("built", "words"), [
    ({}, "is built for CPUs only"), ({"cuda": "12.8"}, r"NVIDIA GPUs \(CUDA 12\.8\) but finds none"),
    ({"hip": "6.2"}, r"AMD GPUs \(ROCm 6\.2\) but finds none"), ({"mps": True}, "Apple's GPUs but finds none"),
])
def test_why_there_is_no_gpu(monkeypatch, built, words):
    for name in {"cuda", "hip"} & set(built):
        monkeypatch.setattr(torch.version, name, built[name], raising=False)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: "mps" in built)
    found = find_devices(RunSettings())
    assert [device.name for device in found.found] == ["cpu"]
    assert found.auto == "cpu (no GPU was found)"
    assert re.search(words, found.lacking)


def test_an_apple_gpu_is_found(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    found = find_devices(RunSettings())
    assert [device.name for device in found.found] == ["mps", "cpu"]
    assert (found.auto, found.lacking) == ("mps (an Apple GPU is there)", "")


def test_the_command_says_it_as_a_message_and_as_json(capsys, monkeypatch, tmp_path):
    kaf = command_line(capsys, monkeypatch, tmp_path / "here")
    done = kaf("devices")
    assert (done.code, done.err) == (0, "")
    assert "cpu      CPU with 3 physical cores, fp32\nauto takes cpu (no GPU was found)\n" in done.out
    values = from_json(kaf("devices", "--events").out.splitlines()[-1]).values
    assert values["found"] == [{"name": "cpu", "description": "CPU with 3 physical cores", "bf16": False,
                                "memory_gb": None}]
    assert values["auto"] == "cpu (no GPU was found)"
    assert "CPUs only" in values["lacking"]
