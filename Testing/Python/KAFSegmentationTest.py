"""For a real Slicer: the module loads, lists its models, and its logic brings labels back to the right voxels.

Run by ctest (slicer_add_python_unittest), or by hand:

    Slicer --testing --no-splash --python-code "import slicer.testing; slicer.testing.runUnitTest(
        ['Testing/Python', 'KAFSegmentation'], 'KAFSegmentationTest')"

Nothing is installed or downloaded and no model is run: a stand-in takes the worker's place.
"""

import logging
import unittest

import numpy as np
import slicer
import vtk

THRESHOLD = 50


class ThresholdBackend:
    """Answers ``segment`` with what is brighter than a threshold, in the words of kaf's worker."""

    def __init__(self):
        self.requests = []

    def run(self, verb, settings, volumes, onEvent=lambda event: None, options=None):
        arrays, _keys = volumes()
        voxels, affine = arrays["image"]
        self.requests.append((verb, settings, np.array(voxels), np.array(affine)))
        labels = (np.asarray(voxels) > THRESHOLD).astype(np.uint8)
        return {
            "arrays": {"labels": (labels, np.array(affine))},
            "labels": [{"value": 1, "name": "bright", "colour": [200, 80, 60], "terminology": ""}],
            "volumes_ml": {"1": 0.0}, "warnings": [], "seconds": {}, "place": "nowhere",
        }

    def close(self):
        pass


class KAFSegmentationTest(unittest.TestCase):
    """Each test starts with an empty scene."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def tearDown(self):
        slicer.mrmlScene.Clear(0)

    def test_theModuleIsLoadedAndSaysWhatItIs(self):
        module = slicer.modules.kafsegmentation
        self.assertEqual(module.title, "KAF Segmentation")
        self.assertIn("Segmentation", list(module.categories))
        self.assertFalse(module.icon.isNull())

    def test_torchStaysOutOfSlicer(self):
        import sys

        import KAFSegmentationLib  # noqa: F401 - importing it is what is tested
        from KAFSegmentationLib.setup.Setup import Setup

        before = "torch" in sys.modules  # another extension may have brought it
        Setup().isReady()
        self.assertEqual("torch" in sys.modules, before)

    def test_setUpAsksNobodyInATestAndSaysSo(self):
        from KAFSegmentationLib.setup.Setup import Setup

        setup = Setup()
        if setup.isReady():
            self.skipTest("everything is installed here, so there is nothing to refuse")
        if not slicer.app.testingEnabled():
            self.skipTest("Slicer was not started with --testing, so it would ask")
        self.assertFalse(setup.run())
        self.assertIn("Set up", setup.statusText())

    def test_everyModelThatComesWithItHasACard(self):
        from KAFSegmentationLib.backend.Models import listModels

        for entry in listModels():
            if entry.bundled:
                self.assertTrue(entry.card.weights_licence, entry.name)
                self.assertTrue(entry.card.labels, entry.name)
        logging.info("models: %s", [entry.name for entry in listModels()])

    def test_labelsComeBackToTheVoxelsOfAnObliqueVolumeUnderATransform(self):
        volume, block = self._obliqueBlock()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 12.5)
        transform.SetMatrixTransformToParent(matrix)
        volume.SetAndObserveTransformNodeID(transform.GetID())
        backend = ThresholdBackend()
        result = self._logic(backend).process(volume, {"model": "a stand-in"})
        node = result.segmentationNode
        self.assertEqual(node.GetTransformNodeID(), transform.GetID())
        segment = node.GetSegmentation().GetNthSegmentID(0)
        self.assertEqual(node.GetSegmentation().GetSegment(segment).GetName(), "bright")
        found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)
        self.assertTrue(np.array_equal(found > 0, block))
        verb, _settings, voxels, _affine = backend.requests[0]
        self.assertEqual(verb, "segment")
        self.assertEqual(voxels.shape, block.shape)

    def test_otherSegmentsStayAsTheyAre(self):
        volume, block = self._obliqueBlock()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        mine = node.GetSegmentation().AddEmptySegment("mine", "mine")
        drawn = np.zeros(block.shape, np.uint8)
        drawn[0, :3, :3] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, mine, volume)
        result = self._logic(ThresholdBackend()).process(volume, {"model": "a stand-in"}, node)
        self.assertIs(result.segmentationNode, node)
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 2)
        kept = slicer.util.arrayFromSegmentBinaryLabelmap(node, mine, volume)
        self.assertTrue(np.array_equal(kept > 0, drawn > 0))

    def test_aVolumeWithoutVoxelsIsRefusedInWords(self):
        from kaf.runtime.errors import InputError

        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        with self.assertRaises(InputError) as caught:
            self._logic(ThresholdBackend()).process(empty, {"model": "a stand-in"})
        self.assertIn("empty", str(caught.exception))

    def _logic(self, backend):
        from KAFSegmentationLib import SegmentationLogic

        logic = SegmentationLogic(backend=backend)
        self.addCleanup(logic.close)
        return logic

    def _obliqueBlock(self):
        """A volume that is turned, flipped and anisotropic, and which of its voxels are bright."""
        block = np.zeros((5, 20, 16), bool)
        block[1:4, 4:12, 6:13] = True
        matrix = vtk.vtkMatrix4x4()
        turn = np.array([[-0.8, 0.0, -0.6], [-0.6, 0.0, 0.8], [0.0, -1.0, 0.0]]) * [1.5, 0.7, 6.0]
        for row in range(3):
            for column in range(3):
                matrix.SetElement(row, column, turn[row, column])
            matrix.SetElement(row, 3, 10.0 * row - 7.0)
        return slicer.util.addVolumeFromArray(block.astype(np.int16) * 100, matrix, "oblique"), block
