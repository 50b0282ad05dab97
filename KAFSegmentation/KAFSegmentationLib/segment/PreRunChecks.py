"""What can be told before a run: how long it will take, what is in the way, whose segmentation it would write into, and
what is doubtful about it."""

from kaf.runtime.errors import KafError
from KAFSegmentationLib.backend.Models import PretrainedOnlyError
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.Forecast import forecast
from KAFSegmentationLib.segment.SuitabilityCheck import SuitabilityCheck
from KAFSegmentationLib.widgets.MessageLine import sentence
from KAFSegmentationLib.widgets.Questions import CANCEL, ask, mayAsk


class PreRunChecks:
    """The lines between the choices and the Apply button.

    Args:
        label: for the words.
        doubtLine: the MessageLine for what is doubtful.
        models: the ModelSelector.
        logic: a SegmentationLogic.
        writeConfirmation: the WriteConfirmation.
    """

    def __init__(self, label, doubtLine, models, logic, writeConfirmation):
        self._label, self._doubtLine, self._models, self._logic = label, doubtLine, models, logic
        self._writeConfirmation = writeConfirmation
        self._scanDoubts = SuitabilityCheck()
        self._accepted = set()
        self.doubts = ()
        """What is doubtful about the scan and the model that are chosen, in sentences."""
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
        self._showDoubts(parameters)
        self._label.text = self._running(parameters) or self._words(parameters, problem)
        self._label.visible = bool(self._label.text)
        return problem

    def confirm(self, parent, parameters):
        """Whether to segment in spite of what is doubtful; asked once for a scan and a model."""
        about = parameters.inputVolume.GetID(), parameters.modelName, self.doubts
        if not self.doubts or about in self._accepted or not mayAsk():
            return True
        text = "\n\n".join([*self.doubts, "Segment the scan anyway?"])
        if ask(parent, "Segment the scan", text, {"anyway": "Segment anyway"}, CANCEL) == CANCEL:
            return False
        self._accepted.add(about)
        return True

    def forget(self):
        """The scene is closing."""
        self._accepted = set()
        self._scanDoubts = SuitabilityCheck()

    def _showDoubts(self, parameters):
        card = self._models.card(parameters.modelName)
        self.doubts = () if self.forecast is None else \
            self._scanDoubts.of(parameters.inputVolume, card, parameters.flips)
        if self.doubts:
            self._doubtLine.show(" ".join(self.doubts), "warning")
        else:
            self._doubtLine.clear()

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
            return sentence(problem) if isinstance(problem, PretrainedOnlyError) else ""
        owner = self._writeConfirmation.words(parameters.outputSegmentation, parameters.inputVolume)
        return f"{self.forecast.text()} {owner} Apply will ask before writing to it." if owner else self.forecast.text()

    def _running(self, parameters):
        """That a run goes on for another scan than the one that is shown."""
        scan, result = self._logic.runningOn(), self._logic.runningInto()
        if scan is None or scan is parameters.inputVolume:
            return ""
        where = f"'{result.GetName()}'" if result is not None else "a segmentation of its own"
        return f"'{scan.GetName()}' is still being segmented; its result goes to {where}."
