"""The licence of a model's weights: said at first use, and passed on to the models made from it."""

from __future__ import annotations

import contextlib

from kaf.modelfile.card import Card
from kaf.modelfile.card_kinds import is_digest
from kaf.runtime import user_folders
from kaf.runtime.events import Message, OnEvent

_UNSTATED = ("", "unspecified")


def notice(card: Card, on_event: OnEvent) -> None:
    """Say once per model and user under which licence its weights are."""
    mark = user_folders.state_folder() / "licences" / f"{_key(card)}.txt"
    if mark.is_file():
        return
    on_event(Message(f"{_licence(card)} {_data(card)} (This is said once.)"))
    with contextlib.suppress(OSError):  # a home that cannot be written only means that it is said again
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(f"{card.name}: {card.weights_licence}\n", encoding="utf-8")


def _key(card: Card) -> str:
    """A file name that stands for these weights, whatever the card says: half of a SHA-256."""
    return (card.digest if is_digest(card.digest) else card.digest_of_words())[:32]


def _licence(card: Card) -> str:
    if card.weights_licence in _UNSTATED:
        return (f"No licence is stated for the weights of {card.name}: ask who made them before you pass them on, or "
                "anything made from them.")
    return f"The weights of {card.name} are licensed under {card.weights_licence}."


def _data(card: Card) -> str:
    return f"Trained on: {card.training_data}." if card.training_data not in _UNSTATED else \
        "It is not stated what they were trained on."


def inherited(licence: str, training_data: str, base: Card | None) -> tuple[str, str]:
    """Licence of the weights and training data for the card of a model that started from ``base`` (None: from none).

    What was stated for the new model comes first; the words of the base model stay with whatever is made from it,
    so that weights which may not be sold do not lose that on the way.
    """
    if base is None:
        return licence, training_data
    data = (f"{training_data or 'unspecified'}. The weights it started from ({base.name}): "
            f"{base.training_data or 'unspecified'}")
    if licence in (*_UNSTATED, base.weights_licence) or base.weights_licence.startswith(f"{licence}, and "):
        return base.weights_licence, data
    if base.weights_licence in _UNSTATED:
        return f"{licence}, and no stated licence for the weights it started from ({base.name})", data
    return f"{licence}, and {base.weights_licence} as the weights it started from ({base.name})", data
