"""Volume files in and out, DICOM, the canonical grid, keypoints."""
