"""Slice and 3D views: real slice logics and displayable managers, drawn off screen by VTK."""
