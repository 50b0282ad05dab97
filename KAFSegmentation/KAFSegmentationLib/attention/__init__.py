"""Where the model looks: overlays, keypoints, clicks."""
