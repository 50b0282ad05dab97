"""slicer.app.coreIOManager(): reading and writing nodes and scenes with slicer-core's own storage nodes."""

import os

import slicer
import vtk
from PySide6.QtCore import QObject, Signal

from .widgets.declare import standIn

# What Slicer calls a kind of file -> extensions, longest first so that .seg.nrrd is found before .nrrd.
FILE_TYPES = {
    "SceneFile": (".mrml", ".mrb"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr", ".seg.vtm"),
    "SequenceFile": (".seq.nrrd", ".seq.mrb", ".seq.mha"),
    "MarkupsFile": (".mrk.json", ".fcsv"),
    "TransformFile": (".h5", ".tfm", ".txt.tfm"),
    "ModelFile": (".vtk", ".vtp", ".stl", ".ply", ".obj"),
    "TableFile": (".csv", ".tsv", ".schema.csv"),
    "ColorTableFile": (".ctbl",),
    "TextFile": (".txt", ".json", ".xml"),
    "VolumeFile": (".nii.gz", ".nrrd", ".nhdr", ".nii", ".mha", ".mhd", ".tif", ".png", ".dcm"),
}
_NODE_CLASSES = {
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "SequenceFile": "vtkMRMLSequenceNode",
    "ModelFile": "vtkMRMLModelNode",
    "TableFile": "vtkMRMLTableNode",
    "ColorTableFile": "vtkMRMLColorTableNode",
    "TextFile": "vtkMRMLTextNode",
}


@standIn
class qSlicerCoreIOManager(QObject):
    """Loads and saves by file type."""

    newFileLoaded = Signal(object)
    fileSaved = Signal(object)

    def __init__(self, setup):
        super().__init__()
        self._setup = setup

    def fileType(self, path):
        name = str(path).lower()
        for kind, extensions in FILE_TYPES.items():
            if name.endswith(extensions):
                return kind
        return "NoFile"

    def fileWriterFileType(self, node, extension=""):
        for kind, className in _NODE_CLASSES.items():
            if node.IsA(className):
                return kind
        for part, kind in (
            ("Markups", "MarkupsFile"),
            ("Volume", "VolumeFile"),
            ("Transform", "TransformFile"),
        ):
            if part in node.GetClassName():
                return kind
        return "NodeFile"

    def fileWriterExtensions(self, node):
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        known = storage.GetSupportedWriteFileTypes()
        return [known.GetValue(i) for i in range(known.GetNumberOfValues())]

    def extractKnownExtension(self, fileName, node):
        helper = slicer.vtkDataFileFormatHelper
        extensions = [helper.GetFileExtensionFromFormatString(f) for f in self.fileWriterExtensions(node)]
        matching = [e for e in extensions if fileName.lower().endswith(e.lower())]
        return max(matching, key=len, default="")

    def registeredFileReaderCount(self, fileType):
        return int(fileType in FILE_TYPES)

    def addDefaultStorageNodes(self):
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
            if node.GetSaveWithScene() and node.GetModifiedSinceRead():
                node.AddDefaultStorageNode()

    def loadNodes(self, fileType, properties, loadedNodes=None, userMessages=None):
        path = properties["fileName"]
        if not os.path.exists(path):
            return self._failed(userMessages, f"File not found: {path}")
        if fileType == "SceneFile":
            return self.loadScene(path, properties.get("clear", True), userMessages)
        node = self._read(fileType, path, properties, userMessages)
        if node is None:
            return False
        if loadedNodes is not None:
            loadedNodes.AddItem(node)
        self.newFileLoaded.emit({**properties, "nodeIDs": [node.GetID()]})
        return True

    def loadScene(self, path, clear=True, userMessages=None):
        scene = slicer.mrmlScene
        if str(path).lower().endswith(".mrb"):
            folder = slicer.util.tempDirectory()
            done = self._setup.applicationLogic.OpenSlicerDataBundle(str(path), folder)
        else:
            scene.SetURL(str(path))
            done = scene.Connect() if clear else scene.Import()
        return bool(done) or self._failed(userMessages, f"The scene could not be read: {path}")

    def saveNodes(self, fileType, properties, userMessages=None, scene=None):
        if fileType == "SceneFile":
            return self.saveScene(properties["fileName"], None, userMessages)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None and not node.AddDefaultStorageNode():
            return self._failed(userMessages, f"{node.GetName()} cannot be stored")
        storage = node.GetStorageNode()
        storage.SetFileName(str(properties["fileName"]))
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        return self._write(storage, node, properties, userMessages)

    def exportNodes(self, nodeIDs, fileNames, properties, hardenTransforms, userMessages=None):
        return all(
            self._export(slicer.mrmlScene.GetNodeByID(nodeID), path, properties, hardenTransforms, userMessages)
            for nodeID, path in zip(nodeIDs, fileNames, strict=True)
        )

    def saveScene(self, path, screenShot=None, userMessages=None):
        path = str(path)
        scene = slicer.mrmlScene
        if path.lower().endswith(".mrb"):
            done = scene.WriteToMRB(path, None, userMessages)
        elif path.lower().endswith(".mrml"):
            scene.SetURL(path)
            done = scene.Commit(path)
        else:
            done = self._setup.applicationLogic.SaveSceneToSlicerDataBundleDirectory(path, None)
        return bool(done) or self._failed(userMessages, f"The scene could not be written: {path}")

    def _read(self, fileType, path, properties, userMessages):
        name = properties.get("name") or os.path.basename(path).split(".")[0]
        logics = self._setup.logics
        if fileType == "VolumeFile":
            options = 1 * bool(properties.get("labelmap")) + 2 * bool(properties.get("center"))
            options += 4 * bool(properties.get("singleFile"))
            node = logics["Volumes"].AddArchetypeVolume(path, name, options)
            if node is not None and properties.get("show", True):
                self._setup.applicationLogic.GetSelectionNode().SetActiveVolumeID(node.GetID())
                self._setup.applicationLogic.PropagateVolumeSelection(1)
        elif fileType == "MarkupsFile":
            nodeID = logics["Markups"].LoadMarkups(path, name, userMessages)
            node = slicer.mrmlScene.GetNodeByID(nodeID) if nodeID else None
        elif fileType == "TransformFile":
            node = logics["Transforms"].AddTransform(path, slicer.mrmlScene)
        elif fileType == "SegmentationFile" and not path.lower().endswith(FILE_TYPES["SegmentationFile"]):
            node = self._segmentationFromLabels(path, name)
        elif fileType in _NODE_CLASSES:
            node = self._throughStorage(_NODE_CLASSES[fileType], path, name)
        else:
            node = None
        if node is None:
            self._failed(userMessages, f"The file could not be read as {fileType}: {path}")
        return node

    def _throughStorage(self, className, path, name):
        node = slicer.mrmlScene.AddNewNodeByClass(className, slicer.mrmlScene.GenerateUniqueName(name))
        node.AddDefaultStorageNode(path)
        if not node.GetStorageNode().ReadData(node):
            slicer.mrmlScene.RemoveNode(node)
            return None
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        return node

    def _segmentationFromLabels(self, path, name):
        labels = self._setup.logics["Volumes"].AddArchetypeVolume(path, name, 1)
        if labels is None:
            return None
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        self._setup.logics["Segmentations"].ImportLabelmapToSegmentationNode(labels, node)
        slicer.mrmlScene.RemoveNode(labels)
        return node

    def _export(self, node, path, properties, hardenTransforms, userMessages) -> bool:
        """Write without touching the node's own storage node."""
        scratch = slicer.mrmlScene.CreateNodeByClass(node.GetClassName())
        scratch.UnRegister(None)
        scratch.CopyContent(node)
        if hardenTransforms and node.GetParentTransformNode() is not None:
            world = slicer.vtkMRMLTransformNode
            general = vtk.vtkGeneralTransform()
            world.GetTransformBetweenNodes(node.GetParentTransformNode(), None, general)
            scratch.ApplyTransform(general)
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetFileName(str(path))
        return self._write(storage, scratch, {**properties, "fileName": path}, userMessages)

    def _write(self, storage, node, properties, userMessages) -> bool:
        if not storage.WriteData(node):
            return self._failed(userMessages, f"The file could not be written: {properties['fileName']}")
        self.fileSaved.emit(dict(properties))
        return True

    @staticmethod
    def _failed(userMessages, reason: str) -> bool:
        if userMessages is not None:
            userMessages.AddMessage(vtk.vtkCommand.ErrorEvent, reason)
        return False
