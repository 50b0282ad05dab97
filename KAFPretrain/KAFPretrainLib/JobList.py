"""The runs in the folder of runs: found, started, gone on with. They are processes of their own and outlive Slicer."""

from kaf import jobs
from kaf.errors import InputError
from KAFSegmentationLib.Backend import foreignEnvironment
from KAFSegmentationLib.DeviceSelector import likelyDevice

from .Folders import newFolder, runsFolder


class JobList:
    """Args:
        setup: says with ``python()`` which interpreter has the packages.
    """

    def __init__(self, setup):
        self._setup, self._found = setup, []

    def find(self):
        """Looks into the folder of runs again."""
        try:
            self._found = jobs.find(runsFolder())
        except InputError:  # no run was ever started there
            self._found = []

    def all(self):
        """The runs that were found last, the newest first."""
        return list(self._found)

    def start(self, verb, values, name):
        """Starts a run in a new folder; those of one device run one after the other.

        Raises:
            KafError: in words for the user.
        """
        folder = newFolder(runsFolder(), name)
        python = self._setup.python()
        job = jobs.start(python, verb, values, folder, queueOf(values.get("device", "auto")),
                         foreignEnvironment(python))
        self.find()
        return job

    def resume(self, job, changes):
        """Goes on with a run, with these of its settings changed: the device, the learning rate.

        Raises:
            KafError: in words for the user.
        """
        python = self._setup.python()
        job.values.update(changes)
        again = job.resume(python, queueOf(job.values["device"]), foreignEnvironment(python))
        self.find()
        return again


def queueOf(device):
    """The queue of a device: two runs on one device would only slow each other down."""
    return likelyDevice("auto") if device == "auto" else {"cuda": "cuda:0"}.get(device, device)
