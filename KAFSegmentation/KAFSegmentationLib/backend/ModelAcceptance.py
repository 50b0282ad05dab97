"""The question before a model enters the library that did not beat doing nothing."""

from kaf.modelfile import library
from kaf.modelfile.card import read_card
from kaf.runtime.errors import ModelError, UnprovenModelError
from KAFSegmentationLib.widgets.PlainText import confirm


def confirmAcceptance(path, parent):
    """Whether this model file may enter the library: a person is asked where its own card says that it was not shown
    to be worth anything. What else is wrong with the file is said by whoever adds it."""
    try:
        library.check_proven(read_card(path))
    except UnprovenModelError as error:
        return confirm(f"The {error.subject} {error.reason}.\n\nAdd it to the library all the same?", "Add the model",
                       parent)
    except ModelError:
        return True
    return True
