"""Checkpoints without pickle: written whole or not at all, the last two kept, verified when loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kaf.errors import ModelError
from kaf.events import Message, OnEvent, ignore
from kaf.weights import load_weights, save_weights

_STATE_KEY = "kaf_state"
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
    words = json.dumps({**state, "step": step, "optimiser": numbers})
    save_weights(path, tensors, {_STATE_KEY: words})
    for old in sorted(folder.glob("checkpoint-*.safetensors"))[:-_KEEP]:
        old.unlink()
    return path


def load_checkpoint(folder: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer,
                    on_event: OnEvent = ignore) -> dict[str, Any] | None:
    """Load the newest sound checkpoint into the modules and the optimiser; its state, or None if there is none.

    A damaged checkpoint is reported and the one before it is taken.
    """
    for path in sorted(folder.glob("checkpoint-*.safetensors"), reverse=True):
        try:
            tensors, metadata = load_weights(path)
            state = json.loads(metadata[_STATE_KEY])
        except (ModelError, KeyError, ValueError) as error:
            on_event(Message(f"{path.name} is damaged ({error}); taking the checkpoint before it.", "warning"))
            continue
        _restore(path, tensors, state, modules, optimiser)
        return state
    return None


def _restore(path: Path, tensors: dict[str, Tensor], state: dict[str, Any], modules: Mapping[str, nn.Module],
             optimiser: torch.optim.Optimizer) -> None:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, key = name.partition("/")
        groups.setdefault(part, {})[key] = tensor
    try:
        for name, module in modules.items():
            module.load_state_dict(groups[name])
    except (KeyError, RuntimeError) as error:
        raise ModelError(path, "its network is not the one of this run's settings",
                         "Resume with the settings that the run was started with.") from error
    values: dict[int, dict[str, Any]] = {}
    for name, tensor in groups.get("optimiser", {}).items():
        index, _, key = name.partition("/")
        values.setdefault(int(index), {})[key] = tensor
    for name, number in state.pop("optimiser").items():
        index, _, key = name.partition("/")
        values.setdefault(int(index), {})[key] = number
    optimiser.load_state_dict({"state": values, "param_groups": optimiser.state_dict()["param_groups"]})
