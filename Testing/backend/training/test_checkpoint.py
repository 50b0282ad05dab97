"""Checkpoints: everything comes back, the last two are kept, damage is said and never loaded."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
import torch
from small_models import put_together, taken_apart
from torch import nn

from kaf.runtime.errors import ModelError, OutputError
from kaf.runtime.events import Message
from kaf.training.checkpoint import load_checkpoint, save_checkpoint


def made(kind: str = "adamw", steps: int = 3, seed: int = 0, width: int = 4):
    """Modules and an optimiser that have gone some steps."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Flatten(),
                            nn.Linear(36 * width, 2)).to(memory_format=torch.channels_last)
    average = nn.Sequential(nn.Linear(3, 3))
    parameters = [{"params": list(network.parameters()), "weight_decay": 0.01}]
    optimiser = (torch.optim.AdamW(parameters, lr=0.01) if kind == "adamw"
                 else torch.optim.SGD(parameters, lr=0.01, momentum=0.9))
    for _ in range(steps):
        optimiser.zero_grad()
        network(torch.randn(2, 1, 8, 8)).square().sum().backward()
        optimiser.step()
    return {"network": network, "average": average}, optimiser


STATE = {"step": 3, "best": float("-inf"), "elapsed": 0.1 + 0.2, "validations": [{"Dice": 1 / 3}]}


def saved(folder, steps, kind="adamw"):
    modules, optimiser = made(kind)
    for step in steps:
        save_checkpoint(folder, step, modules, optimiser, {**STATE, "step": step})
    return modules, optimiser


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def files(*steps):
    return [f"checkpoint-{step:08d}.safetensors" for step in steps]


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_modules_optimiser_and_state_come_back_bit_for_bit(tmp_path, kind):
    modules, optimiser = made(kind)
    optimiser.state[modules["network"][0].weight] |= {"turns": 7, "history": None}  # other optimisers keep such
    path = save_checkpoint(tmp_path / "new" / "folder", 3, modules, optimiser, STATE)
    assert path == tmp_path / "new" / "folder" / "checkpoint-00000003.safetensors"
    others, another = made(kind, steps=1, seed=1)
    assert load_checkpoint(path.parent, others, another) == STATE
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(others[name].state_dict()[key], value), key
    mine, theirs = optimiser.state_dict()["state"], another.state_dict()["state"]
    assert mine.keys() == theirs.keys()
    for index, values in mine.items():
        assert values.keys() == theirs[index].keys()
        assert values.keys() & {"exp_avg", "momentum_buffer"}
        for key, value in values.items():
            same = torch.equal(value, theirs[index][key]) if isinstance(value, torch.Tensor) else (
                value == theirs[index][key])
            assert same, key


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_fresh_optimiser_and_one_without_steps_are_told_apart(tmp_path, kind):
    modules, optimiser = made(kind, steps=0)
    save_checkpoint(tmp_path, 0, modules, optimiser, STATE)
    others, another = made(kind, steps=2)
    load_checkpoint(tmp_path, others, another)
    assert another.state_dict()["state"] == {}


def test_the_last_two_are_kept(tmp_path):
    saved(tmp_path, [1, 2])
    assert names(tmp_path) == files(1, 2)
    saved(tmp_path, [9, 10, 100])
    assert names(tmp_path) == files(10, 100)


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "absent", *made()) is None
    assert load_checkpoint(tmp_path, *made()) is None


def flip(path, place=-1):
    blob = bytearray(path.read_bytes())
    blob[place] ^= 1
    path.write_bytes(blob)


def change_header(path, change):
    header, data = taken_apart(path)
    change(header)
    put_together(path, header, data)


def edit_state(header):
    words = header["__metadata__"]["kaf_state"]
    header["__metadata__"]["kaf_state"] = words.replace('"step": 20', '"step": 90')
    assert header["__metadata__"]["kaf_state"] != words


def rename(header):
    header["optimiser/9/exp_avg"] = header.pop("optimiser/2/exp_avg")


def retype(header):
    header["network/0.weight"]["dtype"] = "I32"


DAMAGE = {
    "flipped bit": (flip, "its weights have SHA-256"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:500]), "is not a model file"),
    "empty": (lambda path: path.write_bytes(b""), "is not a model file"),
    "a changed number of the state": (lambda path: change_header(path, edit_state), "its state has SHA-256"),
    "no state": (lambda path: change_header(path, lambda h: h["__metadata__"].pop("kaf_state")), "kaf_state"),
    "a number of another kind": (lambda path: change_header(path, retype), "its state has SHA-256"),
    "another name": (lambda path: change_header(path, rename), "its state has SHA-256"),
    "a pickle": (lambda path: path.write_bytes(b"\x80\x02N."), "is a pickle"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_newest_one_is_reported_and_the_one_before_is_taken(tmp_path, kind):
    saved(tmp_path, [10, 20])
    spoil, words = DAMAGE[kind]
    spoil(tmp_path / files(20)[0])
    reported = []
    others, another = made(seed=1)
    state = load_checkpoint(tmp_path, others, another, reported.append)
    assert state["step"] == 10
    assert [(type(event), event.level) for event in reported] == [(Message, "warning")]
    assert reported[0].text.startswith("checkpoint-00000020.safetensors is damaged (")
    assert words in reported[0].text
    assert torch.equal(others["network"][0].weight, made()[0]["network"][0].weight)


def test_a_damaged_one_left_behind_never_pushes_out_a_sound_one(tmp_path):
    """After going back to 10, the next checkpoints have lower numbers than the damaged 20."""
    modules, optimiser = saved(tmp_path, [10, 20])
    flip(tmp_path / files(20)[0])
    load_checkpoint(tmp_path, modules, optimiser)
    save_checkpoint(tmp_path, 15, modules, optimiser, {**STATE, "step": 15})
    assert names(tmp_path) == files(10, 15)
    save_checkpoint(tmp_path, 18, modules, optimiser, {**STATE, "step": 18})
    assert names(tmp_path) == files(15, 18)
    assert load_checkpoint(tmp_path, modules, optimiser)["step"] == 18


def test_when_all_are_damaged_nothing_starts_anew_unasked(tmp_path):
    saved(tmp_path, [10, 20])
    for name in names(tmp_path):
        flip(tmp_path / name)
    reported = []
    with pytest.raises(ModelError, match=r"all 2 checkpoints are damaged.*--overwrite") as caught:
        load_checkpoint(tmp_path, *made(), reported.append)
    assert caught.value.subject == str(tmp_path)
    assert [event.text[:37] for event in reported] == [f"{name} is da" for name in reversed(files(10, 20))]
    assert names(tmp_path) == files(10, 20)


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError])
def test_a_save_that_fails_leaves_the_old_one(tmp_path, monkeypatch, call, kind):
    modules, optimiser = saved(tmp_path, [10])
    before = (tmp_path / files(10)[0]).read_bytes()

    def fail(*_):
        raise kind(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for step in (10, 20):
            with pytest.raises(KeyboardInterrupt if kind is KeyboardInterrupt else OutputError):
                save_checkpoint(tmp_path, step, modules, optimiser, {**STATE, "step": step})
    assert names(tmp_path) == files(10)
    assert (tmp_path / files(10)[0]).read_bytes() == before
    assert load_checkpoint(tmp_path, modules, optimiser)["step"] == 10


def test_what_a_killed_save_leaves_is_not_taken_and_is_removed_by_the_next(tmp_path):
    modules, optimiser = saved(tmp_path, [10])
    half = tmp_path / f".1a2b3c4d-{files(20)[0]}"
    half.write_bytes((tmp_path / files(10)[0]).read_bytes()[:1000])
    (tmp_path / "notes.txt").write_text("mine")
    reported = []
    assert load_checkpoint(tmp_path, modules, optimiser, reported.append)["step"] == 10
    assert reported == []
    save_checkpoint(tmp_path, 20, modules, optimiser, STATE)
    assert names(tmp_path) == [*files(10, 20), "notes.txt"]


def test_a_checkpoint_of_another_network_or_optimiser_is_refused_as_a_message(tmp_path):
    saved(tmp_path, [10])
    same = "Resume with the settings that the run was started with"
    with pytest.raises(ModelError, match=f"its network is not the one of this run's settings. {same}"):
        load_checkpoint(tmp_path, *made(width=5))
    modules, optimiser = made()
    with pytest.raises(ModelError, match=f"its network is not the one of this run's settings. {same}"):
        load_checkpoint(tmp_path, {**modules, "teacher": modules["network"]}, optimiser)
    with pytest.raises(ModelError, match=f"its optimiser is AdamW, not SGD. {same}"):
        load_checkpoint(tmp_path, *made("sgd"))


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_going_on_from_a_checkpoint_gives_the_same_steps(tmp_path, kind):
    """Also where the weights lie channels-last in memory and the file does not."""
    def go_on(network, optimiser):
        random = torch.Generator().manual_seed(1)
        for _ in range(5):
            optimiser.zero_grad()
            network(torch.randn(2, 1, 8, 8, generator=random)).square().sum().backward()
            optimiser.step()
        return network.state_dict()

    modules, optimiser = saved(tmp_path, [3], kind)
    others, another = made(kind, steps=0, seed=4)
    load_checkpoint(tmp_path, others, another)
    expected, found = go_on(modules["network"], optimiser), go_on(others["network"], another)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_checkpoint_is_one_file_that_can_be_copied(tmp_path):
    modules, optimiser = saved(tmp_path / "a", [10])
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / files(10)[0], tmp_path / "b")
    assert load_checkpoint(tmp_path / "b", modules, optimiser) == {**STATE, "step": 10}
