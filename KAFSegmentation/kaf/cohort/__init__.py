"""Many cases in a folder: what is done already, what is not, and what is somebody's own."""
