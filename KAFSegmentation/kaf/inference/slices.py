"""A network over the slices of a volume, batch by batch; used by segmentation, explanation and validation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kaf.imaging.keypoints import Keypoints, pad_keypoints
from kaf.imaging.prepare import stack_context
from kaf.network import Features
from kaf.runtime.device_choice import DeviceChoice, empty_caches
from kaf.runtime.errors import InputError, ResourceError
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.runtime.out_of_memory import is_about_a_gpu, is_out_of_memory

_MIRRORS: tuple[tuple[int, ...], ...] = ((2,), (3,), (2, 3))


def fold_norms(network: nn.Module) -> nn.Module:
    """A copy for inference in which every Conv2d that is followed by its BatchNorm2d has taken it in (exact)."""
    network = copy.deepcopy(network).eval()
    for parent in list(network.modules()):
        if isinstance(parent, nn.Sequential):
            for index in range(len(parent) - 1):
                conv, norm = parent[index], parent[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    parent[index] = fuse_conv_bn_eval(conv, norm)
                    parent[index + 1] = nn.Identity()
    return network


def labels_of(logits: Tensor) -> np.ndarray:
    """(B, K, H, W) -> (B, H, W) uint8, the best class.  ``max`` is many times faster than ``argmax`` on a CPU."""
    return logits.max(1).indices.to(torch.uint8).cpu().numpy()


@dataclass
class SlicePredictor:
    """Logits of slices: a folded network, its place, the slices seen on each side, the batch, mirror averaging, and
    what to call the scan in an error.

    With ``flips`` the probabilities of four mirrored copies are averaged and their logarithm is returned.
    """

    network: nn.Module
    place: DeviceChoice
    context: int = 0
    batch: int = 8
    flips: bool = False
    on_event: OnEvent = ignore
    source: str = ""
    _left_the_gpu: bool = field(default=False, init=False)

    def __call__(self, image: np.ndarray, keypoints: Sequence[Keypoints], slices: Sequence[int] | None = None,
                 capture: bool = False) -> Iterator[tuple[list[int], Features]]:
        """Yields (slice indices, features of them with float32 logits) over (S, H, W).

        With ``capture`` the features hold the attention of the slices as they are (not of mirrored copies).

        Raises:
            InputError: the network answers a slice with NaN or infinity.
            ResourceError: memory runs out whatever the batch.
        """
        wanted = list(range(len(image))) if slices is None else list(slices)
        start = 0
        while start < len(wanted):
            part = wanted[start:start + self.batch]
            try:
                features = self._features(image, keypoints, part, capture)
            except Exception as error:  # which kind of error it is depends on the library
                self._make_room(error)
                continue
            yield part, features
            start += len(part)

    def _inputs(self, image: np.ndarray, keypoints: Sequence[Keypoints], part: list[int]
                ) -> tuple[Tensor, Tensor, Tensor]:
        stack = np.stack([stack_context(image, index, self.context) for index in part])
        positions, mask = pad_keypoints([keypoints[index].positions for index in part])
        device = self.place.device
        return (torch.from_numpy(stack).to(device, memory_format=torch.channels_last),
                torch.from_numpy(positions).to(device), torch.from_numpy(mask).to(device))

    def _features(self, image: np.ndarray, keypoints: Sequence[Keypoints], part: list[int], capture: bool
                  ) -> Features:
        stack, positions, mask = self._inputs(image, keypoints, part)
        with torch.inference_mode(), self.place.autocast():
            features = self.network(stack, positions, mask, capture)
            features.logits = features.logits.float()
            self._refuse_not_finite(features.logits, part)
            if self.flips:
                features.logits = self._mirrored(stack, positions, mask, features.logits)
                self._refuse_not_finite(features.logits, part)
        return features

    def _refuse_not_finite(self, logits: Tensor, part: Sequence[int]) -> None:
        """The best of classes that are NaN would be the background: an empty result that looks like a sound one."""
        finite = torch.isfinite(logits)
        if not bool(finite.all()):
            index = next(n for n, sound in zip(part, finite.flatten(1).all(1).tolist(), strict=True) if not sound)
            raise InputError(
                self.source or "the scan", f"the model's output for slice {index} contains values that are NaN or "
                "infinite", "Try --precision fp32 and --device cpu. If the error persists, check that the model was "
                "made for scans of this kind, or choose another model.")

    def _mirrored(self, stack: Tensor, positions: Tensor, mask: Tensor, logits: Tensor) -> Tensor:
        """Logarithm of the probabilities averaged over the slices and their three mirrored copies."""
        total = F.softmax(logits, 1)
        for dims in _MIRRORS:
            moved = positions.clone()
            for dim in dims:
                moved[..., dim - 2] = stack.shape[dim] - 1 - moved[..., dim - 2]
            total += F.softmax(self.network(stack.flip(dims), moved, mask).logits.float(), 1).flip(dims)
        return (total / (1 + len(_MIRRORS))).clamp_min(1e-9).log()

    def _make_room(self, error: Exception) -> None:
        """After memory ran out: half the batch, then the CPU in place of a GPU, then an error.

        Other errors go on their way.
        """
        if not is_out_of_memory(error):
            raise error
        if self._left_the_gpu:
            raise ResourceError("memory", "ran out on the GPU and then on the CPU too",
                                "Close other programs, or segment a smaller box of the scan.") from error
        on_a_gpu = self.place.device.type != "cpu" or is_about_a_gpu(error)
        empty_caches()
        if self.batch > 1:
            self.batch = max(1, self.batch // 2)
            slices = "1 slice" if self.batch == 1 else f"{self.batch} slices"
            full = "The GPU" if on_a_gpu else "This computer"
            self.on_event(Message(f"{full} ran out of memory: continuing with {slices} at a time.", "warning"))
            return
        if not on_a_gpu:
            raise ResourceError("memory", "this computer ran out of memory",
                                "Close other programs, or segment a smaller box of the scan.") from error
        self._left_the_gpu = True
        self.place = DeviceChoice(torch.device("cpu"), False, "cpu (the GPU ran out of memory)")
        self.place.put(self.network)
        self.on_event(Message("The GPU ran out of memory: continuing on the CPU.", "warning"))
