"""The models that are there, for a panel that may run before anything was installed."""

from pathlib import Path

from kaf.modelfile import library
from kaf.modelfile.card import read_card
from kaf.runtime.errors import ModelError


def listModels():
    """All models whose card can be used."""
    return library.list_models()


def findCard(name):
    """The card of a model of the library, or None."""
    return next((entry.card for entry in listModels() if entry.name == name), None)


def missingModel(name):
    """The error for a model that cannot be used: scenes travel, and one that was saved elsewhere may name a model
    that this computer does not have, or has and refuses."""
    if not name:
        return ModelError("No model", "was found on this computer", "Press Add model and choose its file.")
    refused = library.refused_models().get(name)
    if refused is not None:
        return refused
    return ModelError(f"The model '{name}'", "is not on this computer",
                      "Choose another one, or press Add model and choose its file.")


def isRefused(name):
    """Whether there is a model file of that name which cannot be used; ``missingModel`` says why."""
    return name in library.refused_models()


class PretrainedOnlyError(ModelError):
    """These weights came out of pretraining: they know no structure and segment nothing yet."""

    def __init__(self, name):
        super().__init__(f"'{name}'", "holds pretrained weights, which segment nothing yet",
                         "Choose another model to segment, or draw a new structure under Correct and adapt: these "
                         "weights learn it.")

    def __reduce__(self):
        return type(self), (self.subject.strip("'"),)


def addModel(path):
    """Copies a model file, which a person chose, into the user's library; returns its Entry. Needs no torch.

    Raises:
        KafError: it is no model of KAF (a pickle is never opened), is damaged, or the disk refuses.
    """
    return library.adopt_model(Path(path), accept=True)


def cardOf(name):
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
