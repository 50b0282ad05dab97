"""Set-up inside Slicer: what is missing, installing it, checking it."""
