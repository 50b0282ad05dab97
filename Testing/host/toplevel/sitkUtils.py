"""Volumes between the MRML scene (RAS) and SimpleITK (LPS)."""

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def PullVolumeFromSlicer(nodeObjectOrName):
    """A SimpleITK image with the voxels and the geometry of a volume node."""
    node = slicer.util.getNode(nodeObjectOrName) if isinstance(nodeObjectOrName, str) else nodeObjectOrName
    voxels = slicer.util.arrayFromVolume(node)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijkToLPS = _FLIP @ slicer.util.arrayFromVTKMatrix(matrix)
    spacing = np.linalg.norm(ijkToLPS[:3, :3], axis=0)
    image = sitk.GetImageFromArray(voxels.copy(), isVector=voxels.ndim == 4)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((ijkToLPS[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(ijkToLPS[:3, 3].tolist())
    return image


def PushVolumeToSlicer(sitkimage, targetNode=None, name=None, className="vtkMRMLScalarVolumeNode"):
    """Put a SimpleITK image into a volume node, a new one unless one is given."""
    if targetNode is None:
        targetNode = slicer.mrmlScene.AddNewNodeByClass(
            className, slicer.mrmlScene.GenerateUniqueName(name or "Volume")
        )
        targetNode.CreateDefaultDisplayNodes()
    ijkToLPS = np.eye(4)
    ijkToLPS[:3, :3] = np.reshape(sitkimage.GetDirection(), (3, 3)) * sitkimage.GetSpacing()
    ijkToLPS[:3, 3] = sitkimage.GetOrigin()
    slicer.util.updateVolumeFromArray(targetNode, sitk.GetArrayFromImage(sitkimage))
    targetNode.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_FLIP @ ijkToLPS))
    return targetNode
