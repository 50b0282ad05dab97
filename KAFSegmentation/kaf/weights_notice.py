"""The licence of a model's weights, said at first use and kept in mind."""

from __future__ import annotations

import contextlib

from kaf.card import Card
from kaf.events import Message, OnEvent


def notice(card: Card, on_event: OnEvent) -> None:
    """Say once per model and user under which licence its weights are."""
    from platformdirs import user_state_path

    mark = user_state_path("kaf") / "licences" / f"{card.digest[:32]}.txt"
    if mark.is_file():
        return
    on_event(Message(f"The weights of {card.name} are licensed under {card.weights_licence}. Trained on: "
                     f"{card.training_data or 'unspecified'}. (This is said once.)"))
    with contextlib.suppress(OSError):  # a home that cannot be written only means that it is said again
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(f"{card.name}: {card.weights_licence}\n", encoding="utf-8")
