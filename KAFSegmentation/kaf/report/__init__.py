"""The parts of a self-contained HTML report."""
