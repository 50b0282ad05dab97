"""The part of the panel where a person corrects or draws slices and the model learns from them."""

from dataclasses import replace

import slicer

from kaf.errors import Cancelled, InputError, KafError
from kaf.events import Progress

from .AdaptRun import reviewKey
from .EmbeddedEditor import EmbeddedEditor
from .ExampleList import ExampleList
from .MessageLine import MessageLine, sentence
from .RunControls import RunControls
from .ScanSlices import ScanSlices
from .StructureChoice import StructureChoice
from .VolumeGeometry import VolumeGeometry


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
        self.structures = StructureChoice(ui, self._onNewStructure, self._dress)
        self.examples = ExampleList(ui, self._showExample)
        self._parameters = self._card = self._review = self._asked = None
        self._checked = set()
        ui.addExampleButton.connect("clicked()", self.addShown)
        ui.findExamplesButton.connect("clicked()", self.find)
        ui.adaptUndoButton.connect("clicked()", self.undo)
        ui.nextSliceButton.connect("clicked()", self.goToNext)
        ui.saveModelButton.connect("clicked()", self.save)
        ui.modelNameEdit.connect("textChanged(QString)", lambda text: self._dress())
        ui.modelNameEdit.connect("returnPressed()", self._onReturn)
        ui.adaptSection.connect("contentsCollapsed(bool)", lambda collapsed: self._update())
        logic.beforeWrite.append(self.editor.saveState)

    @property
    def parameters(self):
        """The choices of the scene, or None while the panel is closed."""
        return self._parameters

    @parameters.setter
    def parameters(self, parameters):
        self._parameters = self.structures.parameters = self.examples.parameters = parameters
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
        self._review = self._asked = None
        self._checked = set()

    def update(self, card):
        """Brings the section in line with the choices of the panel.

        Args:
            card: of the chosen model, or None.
        """
        self._card = card
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
                                         self.structures.chosen())
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
        settings = {**self.logic.adaptSettings(parameters), "slices": self.examples.slices()}
        try:
            taken = self.logic.startAdapt(parameters.inputVolume, parameters.outputSegmentation, settings,
                                          self.structures.chosen(), self._onEvent, self._onDone)
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

    def goToNext(self):
        """Shows the slice that the model is least sure of, among those that are no examples and were not shown yet."""
        scan, review = self.examples.scan, self._currentReview()
        if review is None:
            self._askReview(scan)
            return
        index = review.next({*self.examples.slices(), *self._checked})
        if index is None:
            self._checked = set()
            self.message.show("Every slice was shown or is an example. Press again to begin anew.", "done")
            return
        self._checked.add(index)
        scan.show(index, review.spots[index])
        self.message.show(f"{scan.text(index)}: here the model is least sure. Correct it if need be and add it; a "
                          "slice that is right is a good example, too.")

    def save(self):
        """Puts the adapted model into the library."""
        try:
            entry = self.logic.saveModel(self.ui.modelNameEdit.text)
        except KafError as error:
            self.message.showError(error)
            return
        self._panel.refreshModels()
        self.message.show(f"Saved as '{entry.name}'. Choose it under Model to use it on other scans.", "done")

    def _update(self):
        if self.parameters is None:
            return
        scan = self._scan()
        self.examples.update(scan)
        self.structures.update()
        if self.ui.adaptSection.collapsed or scan is None:
            self.editor.close()
        else:
            self.editor.open(self.parameters.inputVolume, self.parameters.outputSegmentation, self.logic.isRunning())
        self.ui.editorFrame.visible = scan is not None and self.parameters.outputSegmentation is not None
        self._dress()

    def _dress(self):
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
        ui.nextSliceButton.enabled = idle and self._asked is None
        ui.adaptUndoButton.enabled = self.logic.canUndo() and not running
        ui.modelNameEdit.enabled = self.logic.adapted is not None and not running
        ui.saveModelButton.enabled = ui.modelNameEdit.enabled and bool(ui.modelNameEdit.text.strip())
        ui.adaptForecastLabel.text = problem or self._forecast()
        ui.adaptForecastLabel.visible = bool(ui.adaptForecastLabel.text)
        self.controls.allow(idle and not problem, problem or "Learn from the examples (Ctrl+Shift+Return)")

    def _problem(self):
        """What is missing, a sentence, or nothing."""
        parameters = self.parameters
        if self.logic.isRunning():
            return "" if self.controls.running else "Wait until the scan is segmented."
        if self.examples.scan is None:
            return "Choose a scan and a model first."
        if not (parameters.learnNew or self._card.labels):
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

    def _scan(self):
        """The ScanSlices of the chosen scan and model, or None: the panel says why."""
        volume = self.parameters.inputVolume
        try:
            VolumeGeometry(volume).check()
            return ScanSlices(volume, self._card) if self._card is not None else None
        except KafError:
            return None

    def _onEvent(self, event):
        if isinstance(event, Progress) and event.stage == "training":
            event = replace(event, stage="learning")
        self.controls.showProgress(event)

    def _onDone(self, result, error):
        self.controls.stop()
        if isinstance(error, Cancelled):
            self.message.show(sentence(error))
        elif error is not None:
            self.message.showError(error)
        else:
            self._checked = set()
            self._panel.message.clear()  # it told of the result before
            if not self.ui.modelNameEdit.text:
                self.ui.modelNameEdit.text = f"{self.logic.adapted.base}-adapted"
            found = ", ".join(f"{name} {volume:.1f} ml" for name, volume in result.volumes.items())
            text = f"Learned from {_slices(len(result.examples))}: {found}."
            self.message.show(" ".join([text, *result.warnings]), "warning" if result.warnings else "done")
        self._panel.update()

    def _currentReview(self):
        """The Review that is true of the scan as it is now, or None."""
        key = reviewKey(self.examples.scan.geometry, self.examples.scan.axis)
        if self.logic.review is not None and self.logic.review.key == key:
            return self.logic.review
        review, model = self._review or (None, "")
        return review if review is not None and review.key == key and model == self.parameters.modelName else None

    def _askReview(self, scan):
        """Lets the model say how sure it is; the answer leads on."""
        if self.parameters.learnNew or not self._card.labels:
            self.message.showError(InputError("The model", "does not know the new structure yet",
                                              "Draw it on about three slices and press Adapt."))
            return
        if not self._panel.makeReady():
            return
        model, volume = self.parameters.modelName, self.parameters.inputVolume
        settings = self.logic.adaptSettings(self.parameters)
        del settings["seconds"]
        self._asked = asked = object()

        def take(review, error):
            if asked is not self._asked:
                return  # the scene was closed meanwhile
            self._asked = None
            if error is not None:
                self.message.showError(error)
            elif self.parameters is not None and slicer.mrmlScene.IsNodePresent(volume):
                self._review, self._checked = (review, model), set()
                if self.examples.scan is not None and self._currentReview() is review:
                    self.goToNext()
            self._dress()

        self.message.show("Looking for the slice that the model is least sure of…")
        self.logic.startReview(volume, settings, take)
        self._dress()

    def _showExample(self, index):
        self.examples.scan.show(index)

    def _onNewStructure(self, segmentId):
        self._update()
        self.editor.select(segmentId)
        self.message.show("Draw it on about three slices, add each as an example, and press Adapt. A double click on "
                          "the name of the segment changes it.")

    def _onReturn(self):
        if self.ui.saveModelButton.enabled:
            self.save()


def _slices(count):
    return "1 slice" if count == 1 else f"{count} slices"
