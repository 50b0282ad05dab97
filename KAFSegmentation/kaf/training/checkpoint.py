"""Checkpoints without pickle: written whole or not at all, the last two kept, verified when loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kaf.modelfile.weights_file import load_weights, save_weights
from kaf.runs.layout import checkpoints
from kaf.runtime.errors import ModelError
from kaf.runtime.events import Message, OnEvent, ignore

_STATE_KEY = "kaf_state"
_STATE_DIGEST = "kaf_state_digest"
_KEEP = 2


def save_checkpoint(folder: Path, step: int, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer,
                    state: dict[str, Any]) -> Path:
    """Everything a run needs to go on with the same numbers, in ``checkpoint-<step>.safetensors``."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
    numbers: dict[str, Any] = {}
    for index, values in optimiser.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser/{index}/{key}"] = value
            else:
                numbers[f"{index}/{key}"] = value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"checkpoint-{step:08d}.safetensors"
    words = json.dumps({**state, "step": step, "optimiser": numbers, "kind": type(optimiser).__name__})
    save_weights(path, tensors, {_STATE_KEY: words, _STATE_DIGEST: _digest(words, tensors)})
    # Later steps are damaged files that a resumed run left behind; a copy that somebody keeps has another name.
    upto = [old for old in checkpoints(folder) if old.name <= path.name]
    for old in set(checkpoints(folder, half_written=True)) - set(upto[-_KEEP:]):
        with suppress(OSError):  # a reader has it open, on Windows: it goes after the next one
            old.unlink()
    return path


def load_checkpoint(folder: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer,
                    on_event: OnEvent = ignore) -> dict[str, Any] | None:
    """Load the newest sound checkpoint into the modules and the optimiser; its state, or None if there is none.

    A damaged checkpoint is reported and the one before it is taken.

    Raises:
        ModelError: there are checkpoints but all are damaged (a run is not started anew unasked), or they are
            those of another network or optimiser.
    """
    found = checkpoints(folder)[::-1]
    for path in found:
        try:
            tensors, metadata = load_weights(path)
            words = metadata[_STATE_KEY]
            digest = _digest(words, tensors)
            if metadata[_STATE_DIGEST] != digest:
                raise ValueError(f"its state has SHA-256 {digest[:16]}... but its header states "
                                 f"{metadata[_STATE_DIGEST][:16]}...")
            state = json.loads(words)
        except (ModelError, KeyError, ValueError) as error:
            on_event(Message(f"{path.name} is damaged ({error}).", "warning"))
            continue
        _restore(path, tensors, state, modules, optimiser)
        return state
    if found:
        raise ModelError(folder, f"all {len(found)} checkpoints are damaged, there is nothing to go on with",
                         "Restore one from a backup, or start again with --overwrite.")
    return None


def _digest(words: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the state and of the tensors' names, kinds and shapes; their data have their own."""
    table = [f"{name} {tensor.dtype} {tuple(tensor.shape)}" for name, tensor in sorted(tensors.items())]
    return hashlib.sha256("\n".join([words, *table]).encode()).hexdigest()


def _restore(path: Path, tensors: dict[str, Tensor], state: dict[str, Any], modules: Mapping[str, nn.Module],
             optimiser: torch.optim.Optimizer) -> None:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, key = name.partition("/")
        groups.setdefault(part, {})[key] = tensor
    same = "Resume with the settings that the run was started with."
    if (kind := state.pop("kind")) != type(optimiser).__name__:
        raise ModelError(path, f"its optimiser is {kind}, not {type(optimiser).__name__}", same)
    try:
        for name, module in modules.items():
            module.load_state_dict(groups[name])
    except (KeyError, RuntimeError) as error:
        raise ModelError(path, "its network is not the one of this run's settings", same) from error
    values: dict[int, dict[str, Any]] = {}
    for name, tensor in groups.get("optimiser", {}).items():
        index, _, key = name.partition("/")
        values.setdefault(int(index), {})[key] = tensor
    for name, number in state.pop("optimiser").items():
        index, _, key = name.partition("/")
        values.setdefault(int(index), {})[key] = number
    optimiser.load_state_dict({"state": values, "param_groups": optimiser.state_dict()["param_groups"]})
