"""The models that are there, for a panel that may run before anything was installed."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _

from kaf.modelfile import library
from kaf.modelfile.card import Card, read_card
from kaf.runtime.errors import ModelError


def listModels() -> list[library.Entry]:
    """All models whose card can be used."""
    return library.list_models()


def findCard(name: str) -> Card | None:
    """The card of a model of the library, or None."""
    return next((entry.card for entry in listModels() if entry.name == name), None)


def missingModel(name: str) -> ModelError:
    """The error for a model that cannot be used: scenes travel, and one that was saved elsewhere may name a model
    that this computer does not have, or has and refuses."""
    if not name:
        return ModelError(_("Model"), _("none was found on this computer"),
                          _("Press Add model and choose a model file (.safetensors)."))
    refused = library.refused_models().get(name)
    if refused is not None:
        return refused
    return ModelError(f"'{name}'", _("this model is not on this computer"),
                      _("Choose another one, or press Add model and choose its file."))


def isRefused(name: str) -> bool:
    """Whether there is a model file of that name which cannot be used; ``missingModel`` says why."""
    return name in library.refused_models()


class PretrainedOnlyError(ModelError):
    """These weights came out of pretraining: they know no structure and segment nothing yet."""

    def __init__(self, name: str):
        self.name = name
        super().__init__(f"'{name}'", _("these are pretrained weights, which cannot segment yet"),
                         _("Choose another model to segment, or teach them a new structure under Correct and adapt."))

    def __reduce__(self):
        return type(self), (self.name,)


def addModel(path: str | Path) -> library.Entry:
    """Copies a model file, which a person chose, into the user's library; returns its Entry. Needs no torch.

    Raises:
        KafError: it is no model of KAF (a pickle is never opened), is damaged, or the disk refuses.
    """
    return library.adopt_model(Path(path), accept=True)


def cardOf(name: str) -> Card:
    """The card of a model by its name in the library, or by its file.

    Raises:
        ModelError: it is not on this computer, or cannot be read.
    """
    card = findCard(name)
    if card is not None:
        return card
    if not name.endswith(library.SUFFIX):
        raise missingModel(name)
    return read_card(library.find_model(name))
