"""Colour tables that Slicer reads from files which slicer-core does not carry."""

import slicer

# Slicer's first generic colours by eye; a table of our own under the name that the logics ask for.
_GENERIC = (
    (128, 174, 128), (241, 214, 145), (177, 122, 101), (111, 184, 210), (216, 101, 79), (221, 130, 101),
    (144, 238, 144), (192, 104, 88), (220, 245, 20), (78, 63, 0), (255, 250, 220), (230, 220, 70),
    (200, 200, 235), (250, 250, 210), (244, 214, 49), (0, 151, 206), (216, 101, 79), (183, 156, 220),
)  # fmt: skip
_VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129),
    (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip


def addTables(scene) -> None:
    """GenericColors (for segments) and Viridis (for maps), if the scene has none."""
    _add(scene, "FileGenericColors.txt", "GenericColors", _GENERIC, background=True)
    _add(scene, "FileViridis.txt", "Viridis", _ramp(_VIRIDIS, 256))


def _add(scene, tag: str, name: str, colors, background: bool = False) -> None:
    if scene.GetSingletonNode(tag, "vtkMRMLColorTableNode") is not None:
        return
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(name)
    node.SetSingletonTag(tag)
    node.SetNumberOfColors(len(colors) + background)
    if background:
        node.SetColor(0, "Background", 0, 0, 0, 0)
    for index, (red, green, blue) in enumerate(colors, start=background):
        node.SetColor(index, f"{name}_{index}", red / 255, green / 255, blue / 255, 1)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    scene.AddNode(node)


def _ramp(stops, count: int) -> list[tuple[float, ...]]:
    """`count` colours, linear between the stops."""
    ramp = []
    for index in range(count):
        place = index * (len(stops) - 1) / (count - 1)
        low = min(int(place), len(stops) - 2)
        ramp.append(tuple(a + (b - a) * (place - low) for a, b in zip(stops[low], stops[low + 1], strict=True)))
    return ramp
