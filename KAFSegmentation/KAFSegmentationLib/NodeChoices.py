"""What a person chose among nodes, where Slicer's selectors tell of it too seldom or choose by themselves."""

import slicer
import vtk
from slicer.util import VTKObservationMixin


class NodeChoices(VTKObservationMixin):
    """Two habits of qMRMLNodeComboBox are made up for here. It tells of a choice when its text changes, so not of
    another node of the same name. And where its node is removed it takes the next one in the list, with an entry for
    none or without: a segmentation that somebody drew, a scan of another patient.

    Args:
        selectors: selector -> the name of its choice among the parameters.
        parameters: a function that gives the parameters; None while there are none.
    """

    def __init__(self, selectors, parameters):
        VTKObservationMixin.__init__(self)
        self._names, self._parameters = list(selectors.values()), parameters
        for selector, name in selectors.items():
            selector.connect("nodeActivated(vtkMRMLNode*)", lambda node, name=name: self._take(name, node))
        scene = slicer.mrmlScene
        # Before the selectors hear of it, whose priority is lower.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)

    def close(self):
        """The panel is taken apart."""
        self.removeObservers()

    def _take(self, name, node):
        parameters = self._parameters()
        if parameters is not None and getattr(parameters, name) is not node:
            setattr(parameters, name, node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, caller, event, node):
        parameters = self._parameters()
        if parameters is None or caller.IsClosing():
            return
        for name in self._names:
            if getattr(parameters, name) is node:
                setattr(parameters, name, None)
