"""Tensors in one safetensors file whose header carries words and the SHA-256 of the data.  Never a pickle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
from torch import Tensor

from kaf.modelfile.card import read_header
from kaf.runtime.errors import ModelError
from kaf.runtime.files import atomic_write

DIGEST_KEY = "kaf_digest"


def data_digest(blob: bytes | memoryview) -> str:
    """SHA-256 of the tensor data of a safetensors file (all that follows its header)."""
    length = int.from_bytes(bytes(blob[:8]), "little")
    return hashlib.sha256(memoryview(blob)[8 + length:]).hexdigest()


def digest_of(tensors: dict[str, Tensor]) -> str:
    """The digest that :func:`save_weights` will store for these tensors."""
    return data_digest(safetensors.torch.save(_plain(tensors)))


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], overwrite: bool = True) -> str:
    """Write atomically; returns the digest."""
    plain = _plain(tensors)
    digest = digest_of(plain)
    atomic_write(path, safetensors.torch.save(plain, {**metadata, DIGEST_KEY: digest}), overwrite=overwrite)
    return digest


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata after the digest was checked.

    Raises:
        ModelError: not a safetensors file, damaged, or its data do not have the digest in its header.
    """
    metadata = read_header(path).get("__metadata__", {})
    blob = Path(path).read_bytes()
    stated, found = str(metadata.get(DIGEST_KEY, "none")), data_digest(blob)
    if stated != found:
        raise ModelError(path, f"its weights have SHA-256 {found[:16]}... but its header states {stated[:16]}...",
                         "The file is damaged or was changed; get it again from its source.")
    try:
        return safetensors.torch.load(blob), metadata
    except Exception as error:
        raise ModelError(path, f"its tensors cannot be read ({error})", "Get the file again.") from error


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
