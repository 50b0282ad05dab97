"""Where a network runs: device, threads, mixed precision (AMP, bf16), each with its reason for the user."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from kaf.runtime.errors import ResourceError
from kaf.runtime.threads import threads_for


@dataclass(frozen=True)
class DeviceChoice:
    """A device, the number type of the network's inner work, and why these."""

    device: torch.device
    bf16: bool
    reason: str

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.bf16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def put(self, network: nn.Module) -> nn.Module:
        solid = any(parameter.ndim == 5 for parameter in network.parameters())
        layout = torch.channels_last_3d if solid else torch.channels_last
        return network.to(self.device).to(memory_format=layout)  # type: ignore[call-overload]


def native_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is in the hardware; elsewhere on a CPU it is up to five times slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(bool(getattr(torch.cpu, name)()) for name in probes if hasattr(torch.cpu, name))
    return False


class DeviceSettings(Protocol):
    """What a verb's settings say about where its network runs."""

    @property
    def device(self) -> str:
        """auto, cpu, mps, cuda or cuda:N."""

    @property
    def threads(self) -> int:
        """CPU threads; 0: one per physical core."""

    @property
    def precision(self) -> str:
        """auto, fp32 or bf16."""


def choose_device(settings: DeviceSettings) -> DeviceChoice:
    """The device of the settings; "auto" takes the first GPU, then Apple's, then the CPU.

    Raises:
        ResourceError: the device that was asked for is not there.
    """
    name = settings.device
    if name == "auto":
        name = _own_gpu() if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        found = {"cuda": "a GPU is there", "mps": "an Apple GPU is there", "cpu": "no GPU was found"}
        reason = found[name.partition(":")[0]]
    else:
        reason = "as asked"
    there = {"cpu": True, "mps": torch.backends.mps.is_available()}.get(name)
    if there is None:
        index = int(name.partition(":")[2] or 0)
        there = torch.cuda.is_available() and index < torch.cuda.device_count()
    if not there:
        raise ResourceError(f"device {name}", f"is not available to torch {torch.__version__}",
                            "Use --device auto or --device cpu, or install a torch build for this GPU.")
    device = torch.device(name)
    torch.set_num_threads(threads_for(settings.threads))  # with a GPU they prepare the scans
    if device.type == "cuda":
        _allow_fast_fp32(settings.precision != "fp32")
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and native_bf16(device))
    return DeviceChoice(device, bf16, f"{name} ({reason}{', bf16' if bf16 else ''})")


def _allow_fast_fp32(allowed: bool) -> None:
    """TensorFloat-32 in what is left in fp32 on a GPU; not where fp32 was asked for."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def _own_gpu() -> str:
    """The GPU of this process among those that torchrun started on this machine."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda"


def on_device(values: np.ndarray, device: torch.device, **how: Any) -> Tensor:
    """An array as a tensor on the device; a GPU copies it from pinned memory by itself."""
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True, **how)


def in_double(values: Tensor) -> Tensor:
    """The values as float64; on the CPU where the device has no such numbers (Apple's GPUs)."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def empty_caches() -> None:
    """Give the memory that torch keeps for later back to the GPU."""
    torch.cuda.empty_cache()  # does nothing where CUDA was not used
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
