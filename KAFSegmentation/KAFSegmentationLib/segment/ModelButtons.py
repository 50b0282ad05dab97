"""The two buttons beside the choice of a model: add a file, and remove what was added."""

import qt

from kaf.modelfile import library
from kaf.runtime.errors import KafError
from KAFSegmentationLib.backend.ModelAcceptance import confirmAcceptance
from KAFSegmentationLib.backend.Models import addModel
from KAFSegmentationLib.widgets.PlainText import confirm, tip
from KAFSegmentationLib.widgets.Questions import mayAsk


class ModelButtons:
    """Adds models to the library of this computer and removes them; both ask, so neither does anything in batch mode.

    Args:
        ui: the widgets of the .ui file.
        models: the ModelSelector.
        message: the MessageLine that tells how it went.
        onChanged: called with the name of the model to choose ("" for the first) when the library has changed.
    """

    def __init__(self, ui, models, message, onChanged):
        self.ui, self._models, self._message, self._onChanged = ui, models, message, onChanged
        self._name = ""
        ui.addModelButton.connect("clicked()", self.add)
        ui.removeModelButton.connect("clicked()", self.remove)

    def update(self, name, running):
        """What can be pressed, and why not.

        Args:
            name: of the chosen model.
            running: whether a model is at work.
        """
        self._name = name
        if self._models.card(name) is None:
            why = "There is no model to remove"
        elif self._models.isBundled(name):
            why = "This model comes with KAF and stays"
        else:
            why = "Wait until the model is done" if running else ""
        self.ui.removeModelButton.enabled = not why
        self.ui.removeModelButton.toolTip = tip(why) or "Removes the chosen model from this computer"

    def add(self):
        """Lets a person choose a file; the model in it is added and chosen."""
        if not mayAsk():
            return
        chosen = qt.QFileDialog.getOpenFileName(self.ui.addModelButton.window(), "Add a model", "",
                                                "Models of KAF (*.safetensors);;All files (*)")
        path = chosen[0] if isinstance(chosen, tuple) else chosen  # PythonQt gives the path alone
        if not path or not confirmAcceptance(path, self.ui.addModelButton.window()):
            return
        try:
            entry = addModel(path)
        except KafError as error:
            self._message.showError(error)
            return
        wasThere = self._models.card(entry.name) is not None
        self._onChanged(entry.name)
        self._message.show(f"This model is in the list already, as '{entry.name}'; it is chosen now." if wasThere else
                           f"'{entry.name}' was added to the models of this computer and is chosen now.", "done")

    def remove(self):
        """Removes the chosen model after a question."""
        name = self._name
        if not mayAsk() or not confirm(
                f"The model '{name}' will be deleted from this computer. What it has segmented stays.",
                "Remove the model", self.ui.removeModelButton.window()):
            return
        try:
            library.remove_model(name)
        except (KafError, OSError) as error:
            self._message.showError(error)
            return
        self._onChanged("")
        self._message.show(f"'{name}' was removed from this computer.", "done")
