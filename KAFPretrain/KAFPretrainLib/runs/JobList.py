"""The runs in the folder of runs: found, started, gone on with. They are processes of their own and outlive Slicer."""

from kaf.runs import start as jobs
from kaf.runtime.errors import InputError
from KAFPretrainLib.models.LibraryKeeper import isReady
from KAFPretrainLib.models.Weights import findWeights
from KAFPretrainLib.runs.Lineage import Lineage
from KAFPretrainLib.widgets.BackgroundTask import BackgroundTask
from KAFPretrainLib.widgets.Folders import newFolder, runsFolder
from KAFSegmentationLib.backend.Backend import environmentFor
from KAFSegmentationLib.backend.DeviceSelector import likelyDevice


class JobList:
    """Args:
        setup: says with ``python()`` which interpreter has the packages.
    """

    def __init__(self, setup):
        self._setup, self._found, self._background = setup, [], BackgroundTask()
        self.weights = []
        """Those that the runs have made, and those of the library, when somebody last looked."""
        self.lineage = Lineage()
        self.ready = []
        """The runs whose models may enter the library unasked."""

    @property
    def isLooking(self):
        """Whether runs are being looked for."""
        return self._background.isRunning

    def look(self, onFound):
        """Looks into the folder of runs again, beside the GUI thread; then calls ``onFound()``."""
        folder = runsFolder()

        def take(seen):
            self._found, self.weights, self.lineage, self.ready = seen
            onFound()

        self._background.start(lambda: _seen(folder), take)

    def close(self):
        """The panel is taken apart."""
        self._background.close()

    def all(self):
        """The runs that were found last, the newest first."""
        return list(self._found)

    def drop(self, folder):
        """This run is no more."""
        self._found = [job for job in self._found if job.folder != folder]

    def start(self, verb, values, name):
        """Starts a run in a new folder; those of one device run one after the other.

        Raises:
            KafError: in words for the user.
        """
        folder = newFolder(runsFolder(), name)
        python = self._setup.python()
        job = jobs.start(python, verb, values, folder, queueOf(values.get("device", "auto")),
                         environmentFor(python))
        self._found.insert(0, job)
        return job

    def resume(self, job, changes):
        """Goes on with a run, with these of its settings changed: the device, the learning rate.

        Raises:
            KafError: in words for the user.
        """
        python = self._setup.python()
        job.values.update(changes)
        again = job.resume(python, queueOf(str(job.values.get("device", "auto"))), environmentFor(python))
        self._found = [again if known.folder == again.folder else known for known in self._found]
        return again


def queueOf(device):
    """The queue of a device: two runs on one device would only slow each other down."""
    return likelyDevice("auto") if device == "auto" else {"cuda": "cuda:0"}.get(device, device)


def _seen(folder):
    """The runs right in a folder, all weights that there are, what these have learned from, and the runs whose models
    may enter the library unasked."""
    try:
        found = jobs.find(folder, depth=1)
    except InputError:  # no run was ever started there
        found = []
    return found, findWeights(found), Lineage(found), [job for job in found if isReady(job)]
