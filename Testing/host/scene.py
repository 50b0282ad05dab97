"""The MRML scene and the logics of slicer-core, set up in the order in which they work.

A logic has to know the application logic before it gets the scene; the other way round some of them crash.
"""

from pathlib import Path

import slicer

from . import color_tables, subject_hierarchy

# Slicer's module name -> the logic class that slicer-core has for it.
LOGICS = {
    "Annotations": "vtkSlicerAnnotationModuleLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Colors": "vtkSlicerColorLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Units": "vtkSlicerUnitsLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Volumes": "vtkSlicerVolumesLogic",
}


class SceneSetup:
    """Holds the scene, the application logic and the module logics for the life of the process."""

    def __init__(self, homeFolder: Path, cacheFolder: Path):
        self.applicationLogic = slicer.vtkSlicerApplicationLogic()
        self.applicationLogic.SetHomeDirectory(str(homeFolder))
        self.applicationLogic.SetShareDirectory("share")
        self.scene = slicer.vtkMRMLScene()
        self.logics = {name: getattr(slicer, kind)() for name, kind in LOGICS.items()}
        slicer.mrmlScene = self.scene
        self._addReaders(cacheFolder)
        self.applicationLogic.SetMRMLScene(self.scene)
        self.applicationLogic.SetColorLogic(self.logics["Colors"])
        for name, logic in self.logics.items():
            logic.SetMRMLApplicationLogic(self.applicationLogic)
            self.applicationLogic.SetModuleLogic(name, logic)
        for logic in self.logics.values():
            logic.SetMRMLScene(self.scene)
        self._dress()
        # Not given the scene: it would then look for Slicer's own terminologies, which are in no wheel.
        self.logics["Terminologies"] = slicer.vtkSlicerTerminologiesModuleLogic()
        subject_hierarchy.follow(self.scene)
        self.scene.AddObserver(self.scene.EndCloseEvent, lambda *_: self._dress())

    def _addReaders(self, cacheFolder: Path) -> None:
        """What reading a scene bundle needs."""
        self._remoteIO = slicer.vtkMRMLRemoteIOLogic()
        self._remoteIO.GetCacheManager().SetRemoteCacheDirectory(str(cacheFolder))
        self._remoteIO.SetMRMLScene(self.scene)
        self._dataIO = slicer.vtkDataIOManagerLogic()
        self._dataIO.SetMRMLApplicationLogic(self.applicationLogic)
        self._dataIO.SetAndObserveDataIOManager(self._remoteIO.GetDataIOManager())
        self._remoteIO.AddDataIOToScene()

    def _dress(self) -> None:
        """The nodes that Slicer always has, also after a scene was closed."""
        color_tables.addTables(self.scene)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        if self.scene.GetSingletonNode("default", "vtkMRMLCrosshairNode") is None:
            crosshair = slicer.vtkMRMLCrosshairNode()
            crosshair.SetSingletonTag("default")
            self.scene.AddNode(crosshair)
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        self.applicationLogic.GetInteractionNode()
        self.applicationLogic.GetSelectionNode()
