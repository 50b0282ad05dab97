"""One model, one file: a network's weights with its card in the header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from kaf.modelfile.card import CARD_KEY, Card, card_from_json, check_card, read_card, tidy_card
from kaf.modelfile.weights_file import DIGEST_KEY, digest_of, load_weights, save_weights
from kaf.network import build_network
from kaf.runtime.errors import ModelError, SettingsError
from kaf.runtime.no_compiler import outline
from kaf.settings.base import build
from kaf.settings.network import NetworkSettings


def save_model(path: Path, network: nn.Module, card: Card, half: bool = True, overwrite: bool = False) -> Card:
    """Write the weights (floats as float16 when ``half``) and the card; returns the card with its digests.

    The two digests are the SHA-256 of the tensor data and of the card's words.

    Raises:
        ModelError: a weight is NaN or infinite.
    """
    tensors = {name: _stored(value, half) for name, value in network.state_dict().items()
               if not name.endswith("num_batches_tracked")}
    if lost := _not_finite(tensors):
        raise ModelError(path, f"would hold weights that are NaN or infinite ({lost})",
                         "Train again with a lower learning rate.")
    card = replace(tidy_card(card), digest=digest_of(tensors))
    card = replace(card, card_digest=card.digest_of_words())
    check_card(card)
    save_weights(path, tensors, {CARD_KEY: card.to_json(), "format": "pt"}, overwrite=overwrite)
    return card


def _stored(value: Tensor, half: bool) -> Tensor:
    """A tensor with a number beyond float16's range (65504) stays as it is."""
    if not half or not value.is_floating_point():
        return value
    small = value.to(torch.float16)
    return small if bool(torch.isfinite(small).all()) else value


def _not_finite(tensors: Mapping[str, Tensor]) -> str:
    """Names a tensor that holds NaN or infinity and counts all such; empty where there is none."""
    lost = [name for name, value in tensors.items() if value.is_floating_point()
            and not bool(torch.isfinite(value).all())]
    return f"{lost[0]}, {len(lost)} of {len(tensors)} tensors" if lost else ""


def load_tensors(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """The card and the weights as float32, after all digests were checked.

    Raises:
        ModelError: the file is no model, damaged or changed, or a weight is NaN or infinite.
    """
    read_card(path)  # a file without a card is told apart from a damaged one
    tensors, metadata = load_weights(path)
    card = card_from_json(metadata[CARD_KEY], path)
    if card.digest != metadata[DIGEST_KEY]:
        raise ModelError(
            path, f"its weights have SHA-256 {metadata[DIGEST_KEY][:16]}... but its card states "
            f"{card.digest[:16]}...",
            "Weights and card do not belong together; get the file again from its source.")
    words = card.digest_of_words()
    if card.card_digest != words:
        raise ModelError(path, f"its card has SHA-256 {words[:16]}... but states {card.card_digest[:16]}...",
                         "The card was changed after the model was written; get the file again from its source.")
    if lost := _not_finite(tensors):
        raise ModelError(path, f"holds weights that are NaN or infinite ({lost})",
                         "Such a model cannot segment anything: get the file again, or train the model again.")
    return card, {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def load_model(path: Path) -> tuple[nn.Module, Card]:
    """The network, ready for inference (eval, fp32, on the CPU), and its card."""
    card, tensors = load_tensors(path)
    try:
        settings = build(NetworkSettings, card.network)
        _check_shapes(settings, tensors)
        network = build_network(settings)
        own = network.state_dict()
        if any(value.dtype != own[name].dtype for name, value in tensors.items() if name in own):
            raise RuntimeError("numbers of another kind")
        counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
        network.load_state_dict({**counters, **tensors})
    except (SettingsError, RuntimeError, ValueError) as error:
        raise ModelError(path, f"its weights do not fit the network of its card ({_words(error)})",
                         "Get the file again, or update KAF.") from error
    return network.eval(), card


def _check_shapes(settings: NetworkSettings, tensors: dict[str, Tensor]) -> None:
    """RuntimeError where the weights are not those of the network, before memory is taken for a network of any size."""
    if settings.kind == "swinunetr":  # MONAI's computes with numbers while it is built, which takes real ones
        return
    with outline():
        network = build_network(settings)
        counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
        shapes = {name: torch.empty_like(value, device="meta") for name, value in tensors.items()}
        network.load_state_dict({**counters, **shapes})


def _words(error: Exception) -> str:
    return error.reason if isinstance(error, SettingsError) else " ".join(str(error).split())[:200]
