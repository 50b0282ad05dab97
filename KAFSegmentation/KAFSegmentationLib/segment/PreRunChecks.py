"""What is shown before a run: how long it will take, what prevents it, which scan the segmentation belongs to, and how
the scan differs from those that the model was trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from KAFSegmentationLib.backend.Devices import REMOTE
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.backend.Models import PretrainedOnlyError, listModels
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.segment.Forecast import Forecast, forecast
from KAFSegmentationLib.segment.ModelFit import bestFirst, doubtsOf
from KAFSegmentationLib.segment.ModelSelector import ModelSelector
from KAFSegmentationLib.segment.SegmentationLogic import SegmentationLogic
from KAFSegmentationLib.segment.SuitabilityCheck import SuitabilityCheck
from KAFSegmentationLib.segment.WriteConfirmation import WriteConfirmation
from KAFSegmentationLib.widgets.MessageLine import MessageLine, sentence
from KAFSegmentationLib.widgets.Parameters import Parameters
from KAFSegmentationLib.widgets.Questions import CANCEL, ask, mayAsk


class PreRunChecks:
    """The lines between the choices and the Apply button.

    Args:
        ui: the widgets of the .ui file.
        log: gets what is shown.
        models: the model that is chosen.
        logic: what runs it.
        writeConfirmation: knows which scan a segmentation belongs to.
        onModel: called with the model that a person prefers when asked.
    """

    def __init__(self, ui: Any, log: LogView, models: ModelSelector, logic: SegmentationLogic,
                 writeConfirmation: WriteConfirmation, onModel: Callable[[str], None]):
        self._label, self._models, self._logic = ui.forecastLabel, models, logic
        self._warningLine = MessageLine(ui.suitabilityFrame, ui.suitabilityIcon, ui.suitabilityLabel, log.add)
        self._writeConfirmation, self._onModel = writeConfirmation, onModel
        self._suitability = SuitabilityCheck()
        self._accepted: set = set()
        self.warnings: tuple[str, ...] = ()
        """How the scan differs from those that the model was trained on, in sentences."""
        self.isWarm = False
        """Whether the worker has loaded its libraries: the next run takes that much less."""
        self.forecast: Forecast | None = None
        """For what is chosen, or None where something prevents a run."""

    def update(self, parameters: Parameters) -> KafError | None:
        """Shows it for these choices; returns what prevents a run, or None."""
        problem = None
        try:
            self.forecast = self._forecast(parameters)
        except KafError as error:
            self.forecast, problem = None, error
        self._showWarnings(parameters)
        self._label.text = self._running(parameters) or self._text(parameters, problem)
        self._label.visible = bool(self._label.text)
        return problem

    def confirm(self, parent: qt.QWidget, parameters: Parameters) -> bool:
        """Whether to segment in spite of the warnings; asked once for a scan and a model."""
        about = parameters.inputVolume.GetID(), parameters.modelName, self.warnings
        if not self.warnings or about in self._accepted or not mayAsk():
            return True
        better, answers = self._better(parameters), {"anyway": _("Segment anyway")}
        advice = []
        if better is not None:
            structures = ", ".join(label.name for label in better.card.labels)
            advice = [_("{model} was made for scans of this kind and resolution. It segments: {structures}.").format(
                model=better.name, structures=structures)]
            answers = {"better": _("Choose {model}").format(model=better.name), **answers}
        text = "\n\n".join([*self.warnings, *advice, _("Segment the scan anyway?")])
        answer = ask(parent, _("Segment the scan"), text, answers, CANCEL)
        if answer == "better":
            self._onModel(better.name)
        if answer != "anyway":
            return False
        self._accepted.add(about)
        return True

    def forget(self) -> None:
        """The scene is closing."""
        self._accepted = set()
        self._suitability = SuitabilityCheck()

    def _better(self, parameters):
        """A model that suits this scan without a doubt, or None."""
        entries = listModels()
        doubts = doubtsOf(parameters.inputVolume, entries)
        return next((entry for entry in bestFirst(entries, doubts) if doubts.get(entry.name) == ()), None)

    def _showWarnings(self, parameters):
        card = self._models.card(parameters.modelName)
        self.warnings = () if self.forecast is None else \
            self._suitability.warnings(parameters.inputVolume, card, parameters.flips)
        if self.warnings:
            self._warningLine.show(" ".join(self.warnings), "warning")
        else:
            self._warningLine.clear()

    def _forecast(self, parameters):
        geometry = VolumeGeometry(parameters.inputVolume)
        geometry.check()
        name = parameters.modelName
        problem = self._models.problem(name)
        if problem is not None:
            raise problem
        settings = self._logic.settings(parameters)
        if self._logic.backend.remote() is not None:
            settings["device"] = REMOTE
        return forecast(geometry, name, self._models.card(name), settings, self.isWarm)

    def _text(self, parameters, problem):
        if parameters.inputVolume is None:
            return _("Choose a scan to begin.")
        if problem is not None:
            return sentence(problem) if isinstance(problem, PretrainedOnlyError) else ""
        owner = self._writeConfirmation.ownerText(parameters.outputSegmentation, parameters.inputVolume)
        texts = [self.forecast.text(), owner, _("Apply will ask before writing to it.")]
        return " ".join(texts if owner else texts[:1])

    def _running(self, parameters):
        """That a run continues for another scan than the one that is shown."""
        scan, result = self._logic.runningOn(), self._logic.runningInto()
        if scan is None or scan is parameters.inputVolume:
            return ""
        text = _("'{scan}' is still being segmented; the result will be a new segmentation.") if result is None else \
            _("'{scan}' is still being segmented; the result will be written to '{segmentation}'.")
        return text.format(scan=scan.GetName(), segmentation=result and result.GetName())
