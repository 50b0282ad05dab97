"""A model that has learned from a person's slices and lives until Slicer ends, unless it is saved."""

import shutil
from contextlib import suppress
from pathlib import Path

from slicer.i18n import tr as _

from kaf.modelfile import library
from kaf.runtime.errors import OutputError
from kaf.runtime.files import move
from kaf.runtime.temporary import Scratch


class AdaptedModel:
    """Takes the file over from the worker, whose folder goes with it.

    Args:
        path: the worker's file.
        base: the name of the model that it was learned from.
    """

    def __init__(self, path: str | Path, base: str):
        self.base = base
        path = Path(path)
        try:
            self._scratch = Scratch()
            self.path = self._scratch.path / path.name
            try:
                move(path, self.path)
            except OSError:  # another disk, or somebody has it open: the worker's own goes with its folder
                shutil.copyfile(path, self.path)
        except OSError as error:
            raise OutputError(_("Adapted model"), _("it cannot be kept ({error})").format(error=error),
                              _("Free space in the temporary folder and press Train again.")) from error
        with suppress(OSError):
            path.parent.rmdir()

    def save(self, name: str) -> library.Entry:
        """Puts it into the user's library under a name, as a model like any other; returns its Entry.

        Raises:
            ModelError: the name cannot be used.
            OutputError: the disk refuses.
        """
        return library.keep_model(self.path, name.strip())
