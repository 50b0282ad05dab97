"""The loop of drawing: a slice is accepted, the others follow at once, and the panel says which result it shows."""

from __future__ import annotations

from typing import Any, Protocol

from slicer.i18n import tr as _

from kaf.memory.model_choice import has_slice_features
from kaf.runtime.errors import InputError, KafError
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.ClickTool import Click, ClickTool
from KAFSegmentationLib.adapt.ExampleList import Finished
from KAFSegmentationLib.adapt.MemoryFiles import MemoryFiles
from KAFSegmentationLib.adapt.PropagationRun import NothingDrawnError, PropagationRun
from KAFSegmentationLib.adapt.ResultSentence import resultSentence
from KAFSegmentationLib.adapt.Section import Section
from KAFSegmentationLib.adapt.Structures import Structures
from KAFSegmentationLib.adapt.UpdateLoop import UpdateLoop
from KAFSegmentationLib.widgets.MessageLine import MessageLine


class LoopSection(Section, Protocol):
    """What the loop needs of its section."""

    clicks: ClickTool
    memoryFiles: MemoryFiles

    def updated(self, run: PropagationRun | None) -> None:
        """An update was written; None where it was taken back."""

    def updateControls(self) -> None:
        """An update has begun or ended."""


class PropagationPanel:
    """Accept, and what follows from it.

    Args:
        ui: the widgets of the .ui file.
        logic: has the worker, and writes.
        message: says what was accepted, and what went wrong.
        section: the choices, and what else goes by updates.
    """

    def __init__(self, ui: Any, logic: AdaptationLogic, message: MessageLine, section: LoopSection):
        self.ui, self._logic, self._message, self._section = ui, logic, message, section
        self.loop = UpdateLoop(logic, self._onWritten, self._onFailed, self._onChanged)
        self.shown: PropagationRun | None = None
        """The update that the segmentation shows, or None."""
        self._accepted = ""
        self._before: tuple[Finished, tuple[Click, ...]] = ({}, ())
        self._clicksShown: tuple[Click, ...] = ()
        ui.addExampleButton.connect("clicked()", self.accept)
        ui.findExamplesButton.connect("clicked()", self.find)

    def forget(self) -> None:
        """Another scan was chosen, another run begins, or the scene is closing."""
        self.loop.drop()
        self.shown = None
        self._showSentence()

    def press(self) -> None:
        """What a click on Accept does, for shortcuts."""
        if self.ui.addExampleButton.enabled:
            self.accept()

    def accept(self) -> None:
        """The slice that the view shows is finished: the others follow."""
        scan = self._section.examples.scan
        if not self._section.mayWrite(_("Update the other slices")):
            return
        try:
            index = scan.shown()
        except KafError as error:
            self._message.showError(error)
            return
        self._accept([index], _("{slice} was accepted.").format(slice=scan.text(index)))

    def find(self) -> None:
        """Accepts the slices that were corrected since the last result."""
        section = self._section
        if not section.mayWrite(_("Update the other slices")):
            return
        try:
            structures = self.structuresShown()
            found = structures.corrected(structures.masks(), self._logic.memoryOf(structures.node),
                                         section.examples.scan.axis)
        except KafError as error:
            self._message.showError(error)
            return
        if not found:
            self._message.show(_("No slice was drawn or corrected since the last result."))
            return
        new = [index for index in found if index not in section.examples.slices()]
        text = _("1 corrected slice was accepted.") if len(new) == 1 else _("{count} corrected slices were accepted.")
        if new:
            self._accept(new, text.format(count=len(new)))
        else:
            self._message.show(_("All corrected slices are finished already."))

    def update(self, before: Finished, text: str = "") -> None:
        """Labels the unfinished slices again.

        Args:
            before: the slices that were finished before; Undo goes back to them.
            text: a sentence about what was done, which is shown with the result.
        """
        section, self._accepted = self._section, text
        if not self.loop.isRunning:
            self._before = before, self._clicksShown
        if not (section.examples.finished() or section.clicks.placed or section.memoryFiles.path):
            self.forget()
            return
        try:
            run = self.run(section.examples.finished())
        except KafError as error:
            self.loop.drop()
            self._message.showError(error, text)
            return
        if section.makeReady():
            self._message.show(" ".join([text, _("Updating the other slices…")]).strip())
            self.loop.request(run)

    def structuresShown(self) -> Structures:
        """The structures that are finished and followed: those that are chosen, or where the model's are and the
        segmentation has none of them, all of it.

        Raises:
            InputError: there is none.
        """
        parameters, card = self._section.parameters, self._section.card
        volume, node, chosen = parameters.inputVolume, parameters.outputSegmentation, self._section.structures.chosen()
        if node is None or not node.GetSegmentation().GetNumberOfSegments():
            raise InputError(_("Structures"), _("there is none to draw yet"), _("Press Add structure and draw it."))
        if parameters.learnNew:
            return Structures.drawn(volume, node, chosen)
        try:
            if card is None:
                raise InputError(_("Model"), _("none is chosen"), "")
            return Structures.ofModel(volume, node, parameters.modelName, card)
        except InputError:
            return Structures.drawn(volume, node, list(node.GetSegmentation().GetSegmentIDs()))

    def run(self, finished: Finished) -> PropagationRun:
        """The update for finished slices; Undo goes back to what was finished and clicked when one was shown last.

        Raises:
            KafError: the scan or the slices cannot be used.
        """
        section, parameters = self._section, self._section.parameters
        settings = self._logic.adaptSettings(parameters)
        del settings["seconds"]
        if section.card is None or not has_slice_features(section.card) or section.card.channels:
            settings["model"] = ""  # the worker takes the one that suits the scan best
        structures = self.structuresShown()
        if parameters.learnNew and not self._isKnown(structures):
            settings["use"] = "memory"  # one drawn slice may look like something that a model knows
        if section.memoryFiles.path:
            settings.update(memory=section.memoryFiles.path, model="")  # that of the memory
            settings.pop("use", None)
        elif not finished and section.examples.scan is not None:
            settings["axis"] = section.examples.scan.plane
        examples, clicks, node, (before, clicksBefore) = section.examples, section.clicks, structures.node, self._before

        def undone():
            if examples.scan is not None and examples.scan.geometry.node is structures.volumeNode:
                examples.keep(before)
                clicks.keep(clicksBefore)
                self._clicksShown = clicksBefore
            self.forget()
            section.updated(None)

        return PropagationRun(structures, finished, settings, lambda: self._logic.memoryOf(node),
                              clicks.values(structures, finished), otherScan=section.isConfirmed(), onUndone=undone)

    def _accept(self, slices, text):
        examples = self._section.examples
        before = examples.finished()
        examples.add(slices)
        self.update(before, text)

    def _isKnown(self, structures):
        """Whether the model has a structure of the same name."""
        card = self._section.card
        known = {name.casefold() for name in card.label_names.values()} if card is not None else set()
        return any(structures.names[value].casefold() in known for value in structures.segmentIds)

    def _onWritten(self, run):
        self.shown, self._clicksShown = run, self._section.clicks.placed
        texts = [self._accepted, _("The other slices were updated."), self._keptText(run), *run.result.warnings]
        self._message.show(" ".join(text for text in texts if text), "warning" if run.result.warnings else "done")
        self._showSentence()
        self._section.updated(run)

    def _onFailed(self, error):
        if isinstance(error, NothingDrawnError):
            self.forget()
            text = _("No structure is drawn in a finished slice yet. {remedy}").format(remedy=error.remedy)
            self._message.show(f"{self._accepted} {text}".strip())
        else:
            self._message.showError(error, self._accepted)

    def _onChanged(self):
        self._showSentence()
        self._section.updateControls()

    def _keptText(self, run):
        scan, kept = self._section.examples.scan, run.result.kept
        if not kept or scan is None:
            return ""
        names = ", ".join(str(index + 1) for axis, index in sorted(kept) if axis == run.axis)
        if len(kept) == 1 and names:
            return _("Slice {slices} was drawn on but not accepted, and stays as drawn.").format(slices=names)
        return _("{count} slices were drawn on but not accepted, and stay as drawn.").format(count=len(kept))

    def _showSentence(self):
        """Which result is shown, if an update is."""
        text = ""
        if self.loop.isRunning and self.shown is None:
            text = _("Updating the other slices…")
        elif self.shown is not None:
            choice = self.shown.result.report["choice"]
            if self.shown.settings.get("use") == "memory":
                choice = {**choice, "reason": "new"}
            text = resultSentence(choice, self.shown.result.expected)
        self.ui.resultLabel.text = text
        self.ui.resultLabel.visible = bool(text)
