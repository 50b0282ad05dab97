"""What can be told before a run: how long it will take, what is in the way, and whose segmentation it would write into.
"""

from kaf.errors import KafError

from .Forecast import forecast
from .MessageLine import sentence
from .Models import Untaught
from .VolumeGeometry import VolumeGeometry


class Outlook:
    """The lines between the choices and the Apply button.

    Args:
        label: for the words.
        models: the ModelSelector.
        logic: a SegmentationLogic.
        gate: the WriteGate.
    """

    def __init__(self, label, models, logic, gate):
        self._label, self._models, self._logic, self._gate = label, models, logic, gate
        self.isWarm = False
        """Whether the worker has loaded its libraries: the next run takes that much less."""
        self.forecast = None
        """The Forecast for what is chosen, or None where something is in the way."""

    def update(self, parameters):
        """Tells it for these choices; returns the KafError that is in the way of a run, or None."""
        problem = None
        try:
            self.forecast = self._forecast(parameters)
        except KafError as error:
            self.forecast, problem = None, error
        self._label.text = self._running(parameters) or self._words(parameters, problem)
        self._label.visible = bool(self._label.text)
        return problem

    def _forecast(self, parameters):
        geometry = VolumeGeometry(parameters.inputVolume)
        geometry.check()
        name = parameters.modelName
        problem = self._models.problem(name)
        if problem is not None:
            raise problem
        return forecast(geometry, name, self._models.card(name), self._logic.settings(parameters), self.isWarm)

    def _words(self, parameters, problem):
        if parameters.inputVolume is None:
            return "Choose a scan to begin."
        if problem is not None:
            return sentence(problem) if isinstance(problem, Untaught) else ""
        owner = self._gate.words(parameters.outputSegmentation, parameters.inputVolume)
        return f"{self.forecast.text()} {owner} Apply will ask before writing to it." if owner else self.forecast.text()

    def _running(self, parameters):
        """That a run goes on for another scan than the one that is shown."""
        scan, result = self._logic.runningOn(), self._logic.runningInto()
        if scan is None or scan is parameters.inputVolume:
            return ""
        where = f"'{result.GetName()}'" if result is not None else "a segmentation of its own"
        return f"'{scan.GetName()}' is still being segmented; its result goes to {where}."
