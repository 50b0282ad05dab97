"""PySide6 made to speak PythonQt's dialect of Qt, the one that scripts inside Slicer speak."""
