"""The part of the panel where a person corrects or draws slices and the model learns from them."""

from dataclasses import replace

from kaf.runtime.errors import Cancelled, KafError
from kaf.runtime.events import Progress
from kaf.runtime.message_codes import TRAINING
from KAFSegmentationLib.adapt.EmbeddedEditor import EmbeddedEditor
from KAFSegmentationLib.adapt.ExampleList import ExampleList
from KAFSegmentationLib.adapt.NextSliceControls import NextSliceControls
from KAFSegmentationLib.adapt.SaveModelControls import SaveModelControls
from KAFSegmentationLib.adapt.StructureChoice import StructureChoice
from KAFSegmentationLib.scene.ScanSlices import ScanSlices
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.widgets.MessageLine import MessageLine, sentence
from KAFSegmentationLib.widgets.RunControls import RunControls


class AdaptPanel:
    """Examples, what to learn, Adapt, the next slice to check, and the adapted model.

    Args:
        ui: the widgets of the .ui file.
        logic: an AdaptationLogic.
        panel: the SegmentationWidget that it is a part of.
    """

    def __init__(self, ui, logic, panel):
        self.ui, self.logic, self._panel = ui, logic, panel
        self.message = MessageLine(ui.adaptMessageFrame, ui.adaptMessageIcon, ui.adaptMessageLabel, panel.log.add)
        self.controls = RunControls(ui.adaptButton, ui.adaptProgressBar, self.adapt, self.cancel, "Adapt")
        self.editor = EmbeddedEditor(ui.editorFrame)
        self.structures = StructureChoice(ui, self._onNewStructure, self.dress, panel.writeConfirmation)
        self.examples = ExampleList(ui, self._showExample)
        self.learned = SaveModelControls(ui, logic, self.message, self._onSaved)
        self.review = NextSliceControls(ui.nextSliceButton, logic, self.message, self)
        self._parameters = self.card = None
        ui.addExampleButton.connect("clicked()", self.addShown)
        ui.findExamplesButton.connect("clicked()", self.find)
        ui.adaptUndoButton.connect("clicked()", self.undo)
        ui.adaptSection.connect("contentsCollapsed(bool)", lambda collapsed: self._update())
        logic.beforeWrite.append(self.editor.saveState)

    @property
    def parameters(self):
        """The choices of the scene, or None while the panel is closed."""
        return self._parameters

    @parameters.setter
    def parameters(self, parameters):
        self._parameters = self.examples.parameters = parameters
        self.structures.bind(parameters)
        if parameters is None:
            self.editor.close()

    def close(self):
        """The panel is taken apart."""
        self.editor.close()
        self.structures.forget()
        if self.editor.saveState in self.logic.beforeWrite:
            self.logic.beforeWrite.remove(self.editor.saveState)

    def forget(self):
        """The scene is closing."""
        self.editor.forget()
        self.structures.forget()
        self.examples.forget()
        self.forgetScan()

    def forgetScan(self):
        """Another scan was chosen: what was told, asked and shown of the one before goes; that it was removed in the
        middle of learning stays."""
        isGone = self.parameters is not None and self.parameters.inputVolume is None
        if not self.controls.running and not (isGone and self.message.level == "error"):
            self.message.clear()
        self.review.forget()
        self.learned.forgetScan()

    def update(self, card):
        """Brings the section in line with the choices of the panel.

        Args:
            card: of the chosen model, or None.
        """
        self.card = card
        self._update()

    def addShown(self):
        """Marks the slice that the view shows."""
        scan = self.examples.scan
        try:
            index = scan.shown()
        except KafError as error:
            self.message.showError(error)
            return
        new = self.examples.add([index])
        self.message.show(f"{scan.text(index)} is {'an' if new else 'already an'} example.")

    def find(self):
        """Marks the slices that were corrected since the last result."""
        parameters = self.parameters
        try:
            found = self.logic.corrected(parameters.inputVolume, parameters.outputSegmentation, parameters.modelName,
                                         self.structures.chosen(), self._isAgreed())
        except KafError as error:
            self.message.showError(error)
            return
        new = self.examples.add(found)
        self.message.show(f"{_slices(len(new))} added: what differs from the last result." if new else
                          "The slices that you corrected are all marked already.")

    def adapt(self):
        """Learns, and segments again."""
        if not self._panel.makeReady():
            return
        parameters = self.parameters
        scan, result = parameters.inputVolume, parameters.outputSegmentation
        mayGoOn, _ = self._panel.writeConfirmation.enter(result, scan, "Learn from the examples", mayBeNew=False)
        if not mayGoOn:
            return
        settings = {**self.logic.adaptSettings(parameters), "slices": self.examples.slices()}
        try:
            taken = self.logic.startAdapt(scan, result, settings, self.structures.chosen(), self._onEvent,
                                          lambda *done: self._onDone(scan, *done), self._isAgreed())
        except KafError as error:
            self.message.showError(error)
            return
        self.examples.add(taken)
        self.controls.start()
        self.message.show(f"Learning from {_slices(len(taken))} for {parameters.adaptSeconds:.0f} s.")
        self._panel.update()

    def cancel(self):
        """Stops learning."""
        self.logic.cancel(Cancelled("Learning", "was stopped", "Nothing was changed."))

    def undo(self):
        """Puts the segmentation back to what it was before the last run."""
        if self._panel.takeBack():
            self.message.show("The last run is undone; everything else is as it was.", "done")

    def makeReady(self):
        """Sets up what is missing; whether all is there then."""
        return self._panel.makeReady()

    def _update(self):
        if self.parameters is None:
            return
        scan = self._scan()
        self.examples.update(scan)
        self.structures.update()
        volume, result = self.parameters.inputVolume, self.parameters.outputSegmentation
        isOpen = scan is not None and self._panel.writeConfirmation.isOpen(result, volume)
        if self.ui.adaptSection.collapsed or not isOpen:
            self.editor.close()
        else:
            self.editor.open(volume, result, self.logic.isRunning())
        self.ui.editorFrame.visible = isOpen and result is not None
        self.dress()

    def dress(self):
        """What can be pressed now, and why not."""
        if self.parameters is None:
            return
        ui, scan, running = self.ui, self.examples.scan, self.logic.isRunning()
        idle = scan is not None and not running
        problem = self._problem()
        for widget in (ui.learnComboBox, ui.structureList, ui.newStructureButton, ui.addExampleButton,
                       ui.adaptSecondsSlider):
            widget.enabled = idle
        self.examples.dress(not running)
        ui.findExamplesButton.enabled = idle and not problem
        ui.nextSliceButton.enabled = idle and not self.review.isAsking()
        ui.adaptUndoButton.enabled = self._panel.canUndo()
        self.learned.update(self.parameters.inputVolume, running)
        owner = self._panel.writeConfirmation.words(self.parameters.outputSegmentation, self.parameters.inputVolume)
        words = (problem or self._forecast(), owner and f"{owner} Adapt will ask before writing to it.",
                 self.learned.words(self.parameters.inputVolume))
        ui.adaptForecastLabel.text = " ".join(text for text in words if text)
        ui.adaptForecastLabel.visible = bool(ui.adaptForecastLabel.text)
        self.controls.allow(idle and not problem, problem or "Learn from the examples (Ctrl+Shift+Return)")

    def _problem(self):
        """What is missing, a sentence, or nothing."""
        parameters = self.parameters
        if self.logic.isRunning():
            return "" if self.controls.running else "Wait until the scan is segmented."
        if self.examples.scan is None:
            return "Choose a scan and a model first."
        if not (parameters.learnNew or self.card.labels):
            return "These weights know no structure yet: press New structure and draw one on about three slices."
        node = parameters.outputSegmentation
        if node is None or node.GetSegmentation().GetNumberOfSegments() == 0:
            return "Press Apply and correct the result, or press New structure and draw."
        if parameters.learnNew and not self.structures.chosen():
            return "Tick what to learn, or press New structure and draw."
        return ""

    def _forecast(self):
        marked, scan = len(self.examples.slices()), self.examples.scan
        if self.logic.isRunning() or scan is None:
            return ""
        if not marked:
            drawn = "drew" if self.parameters.learnNew else "corrected since the last result"
            return f"No slice is marked: Adapt will take those that you {drawn}."
        seconds = f"{self.parameters.adaptSeconds:.0f} s"
        return f"Will learn from {_slices(marked)} for {seconds}, then segment the other {scan.count - marked}."

    def _isAgreed(self):
        return self._panel.writeConfirmation.isAgreed(self.parameters.outputSegmentation, self.parameters.inputVolume)

    def _scan(self):
        """The ScanSlices of the chosen scan and model, or None: the panel says why."""
        volume = self.parameters.inputVolume
        try:
            VolumeGeometry(volume).check()
            return ScanSlices(volume, self.card) if self.card is not None else None
        except KafError:
            return None

    def _onEvent(self, event):
        if isinstance(event, Progress) and event.code == TRAINING:
            event = replace(event, stage="learning")
        self.controls.showProgress(event)

    def _onDone(self, scan, result, error):
        """Learning is over, well or badly; meanwhile another scan may have been chosen."""
        self.controls.stop()
        isShown = self.parameters is None or self.parameters.inputVolume in (scan, None)
        if isinstance(error, Cancelled):
            self.message.show(sentence(error))
        elif error is not None:
            self.message.showError(error, "" if isShown else f"Nothing was learned on '{scan.GetName()}'.")
        else:
            self._tell(scan, result, isShown)
        self._panel.update()

    def _tell(self, scan, result, isShown):
        found = ", ".join(f"{name} {volume:.1f} ml" for name, volume in result.volumes.items())
        slices, level = _slices(len(result.examples)), "warning" if result.warnings else "done"
        if isShown:
            self.review.restart()
            self._panel.message.clear()  # it told of the result before
            self.message.show(" ".join([f"Learned from {slices}: {found}.", *result.warnings]), level)
        else:
            self._panel.log.add(f"{scan.GetName()}: {found}.")
            text = f"Learned from {slices} of '{scan.GetName()}' and updated '{result.segmentationNode.GetName()}'."
            self.message.show(" ".join([text, *result.warnings]), level)

    def _showExample(self, index):
        self.examples.scan.show(index)

    def _onNewStructure(self, segmentId):
        self._update()
        self.editor.select(segmentId)
        self.message.show("Draw it on about three slices, add each as an example, and press Adapt. A double click on "
                          "the name of the segment changes it.")

    def _onSaved(self):
        self._panel.refreshModels()
        self.dress()


def _slices(count):
    return "1 slice" if count == 1 else f"{count} slices"
