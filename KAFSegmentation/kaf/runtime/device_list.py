"""Which devices there are, which one ``auto`` takes, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from kaf.runtime.device_choice import DeviceSettings, choose_device, native_bf16
from kaf.runtime.threads import physical_cores


@dataclass(frozen=True)
class Device:
    """A device by the name that --device takes; ``memory_gb`` is that of a GPU, None where torch does not tell."""

    name: str
    description: str
    bf16: bool
    memory_gb: float | None = None


@dataclass(frozen=True)
class Devices:
    """The devices, the one that ``auto`` takes with its reason, and why there is no GPU ("" where there is one)."""

    found: tuple[Device, ...]
    auto: str
    lacking: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "found": [asdict(device) for device in self.found]}

    def text(self) -> str:
        lines = []
        for device in self.found:
            memory = "" if device.memory_gb is None else f", {device.memory_gb:.1f} GB"
            lines.append(f"{device.name:8} {device.description}{memory}, {'bf16' if device.bf16 else 'fp32'}")
        return "\n".join([*lines, f"auto takes {self.auto}", *([self.lacking] if self.lacking else [])])


def find_devices(settings: DeviceSettings) -> Devices:
    """All devices that this torch can use, and the one that these settings take.

    The number of torch's threads is set, as by every run.
    """
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        found.append(Device(f"cuda:{index}", properties.name, native_bf16(torch.device("cuda", index)),
                            round(properties.total_memory / 1e9, 1)))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", native_bf16(torch.device("mps"))))
    gpu = bool(found)
    cores = physical_cores()
    found.append(Device("cpu", f"CPU with {cores} physical core{'s' * (cores > 1)}",
                        native_bf16(torch.device("cpu"))))
    return Devices(tuple(found), choose_device(settings).reason, "" if gpu else _why_no_gpu())


def _why_no_gpu() -> str:
    if torch.version.cuda:
        return (f"torch {torch.__version__} can use NVIDIA GPUs (CUDA {torch.version.cuda}) but finds none: check the "
                "GPU's driver with `nvidia-smi`")
    if getattr(torch.version, "hip", None):
        return f"torch {torch.__version__} can use AMD GPUs (ROCm {torch.version.hip}) but finds none: check its driver"
    if torch.backends.mps.is_built():
        return f"torch {torch.__version__} can use Apple's GPUs but finds none: it needs an Apple chip and macOS 14"
    return f"torch {torch.__version__} is built for CPUs only; for an NVIDIA GPU install a CUDA build of torch"
