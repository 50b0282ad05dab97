"""Small networks, their cards and files, and phantoms on disk, for the tests of models and training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
import torch
from torch import nn

from kaf.imaging.labels import Label
from kaf.modelfile.card import Card
from kaf.modelfile.model import save_model
from kaf.network import build_network
from kaf.phantom.heart import cardiac_phantom
from kaf.settings.network import NetworkSettings

SMALL = NetworkSettings(classes=4, width=4, decoder_width=4, blocks=1, token_width=8, heads=2,
                        diffusion_width=4)
PLAIN = SMALL.model_copy(update={"fusion": "none"})
CARD = Card(
    name="heart", version="1", description="Drei Höhlen", modality="MR", spacing=1.5, slice_spacing=8.0,
    labels=(Label(1, "right ventricle", (230, 103, 91), "~SCT^1^Heart"), Label(3, "Höhle", (1, 2, 3))),
    slicing_axis="largest-spacing", slice_context=0,
    normalisation={"kind": "tissue", "low": 0.5, "high": 99.5}, network=PLAIN.model_dump(mode="json"),
    weights_licence="CC BY 4.0", training_data="phantoms", metrics={"Dice": 0.5}, keypoints={"limit": 16},
    seed=7, code_version="0", recipe={"epochs": 1})


def listening(network: nn.Module) -> nn.Module:
    """The network as training leaves it: what comes from its keypoints counts, which it does not in the beginning."""
    for name, value in network.named_parameters():
        if name.endswith("diffuse.weight"):
            nn.init.kaiming_normal_(value, a=0.01)
    return network


def small_network(settings: NetworkSettings = PLAIN, seed: int = 0) -> nn.Module:
    """A network whose normalisation has seen some data."""
    torch.manual_seed(seed)
    network = listening(build_network(settings))
    network.train()(*some_slices(settings.in_channels))
    return network.eval()


def some_slices(channels: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(2, channels, 32, 32) images with six keypoints each, the last one of which is padding."""
    random = torch.Generator().manual_seed(5)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 5] = False
    images = torch.randn(2, channels, 32, 32, generator=random)
    return images, 31 * torch.rand(2, 6, 2, generator=random), mask


@torch.no_grad()
def logits_of(network: nn.Module, channels: int = 1) -> torch.Tensor:
    return network.eval()(*some_slices(channels)).logits


def model_file(path: Path, name: str = "heart", seed: int = 0, **words: Any) -> Path:
    save_model(path, small_network(seed=seed), replace(CARD, name=name, **words), overwrite=True)
    return path


def taken_apart(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and tensor data of a safetensors file, by the format's definition."""
    blob = path.read_bytes()
    end = 8 + int.from_bytes(blob[:8], "little")
    return json.loads(blob[8:end]), blob[end:]


def put_together(path: Path, header: Any, data: bytes = b"") -> Path:
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    path.write_bytes(len(words).to_bytes(8, "little") + words + data)
    return path


def change_card(path: Path, change: Callable[[dict[str, Any]], Any], sign: bool = False) -> Path:
    """Edit the card in a model file; with ``sign`` its own digest is made to fit the new words."""
    header, data = taken_apart(path)
    card = json.loads(header["__metadata__"]["kaf_card"])
    change(card)
    if sign:
        words = {key: value for key, value in card.items() if key not in ("digest", "card_digest")}
        card["card_digest"] = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
    header["__metadata__"]["kaf_card"] = json.dumps(card, sort_keys=True)
    return put_together(path, header, data)


def write_phantoms(folder: Path, names: Sequence[str] = ("p1", "p2", "p3"), blank: bool = False) -> Path:
    """Small hearts, <name>.nii.gz beside <name>_gt.nii.gz; ``blank`` label maps hold nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        image, labels = cardiac_phantom(seed, slices=3, size=64, spacing=3.0)
        write_volume(folder / f"{name}.nii.gz", image.voxels, image.spacing)
        write_volume(folder / f"{name}_gt.nii.gz", labels.voxels * (not blank), labels.spacing)
    return folder


def write_volume(path: Path, voxels: np.ndarray, spacing: Sequence[float]) -> None:
    """An array (k, j, i) with a spacing along (i, j, k) in mm, standing straight in the patient."""
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing(tuple(spacing))
    SimpleITK.WriteImage(image, str(path))
