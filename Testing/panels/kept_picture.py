"""A picture of a panel for the documentation, in a small file."""

from pathlib import Path

from PIL import Image, ImageOps

import host


def keep_picture(shown, wanted: Path) -> None:
    host.pump(150)
    path = host.screenshot(shown, wanted)
    with Image.open(path) as picture:
        small = ImageOps.posterize(picture.convert("RGB"), 6)  # not seen, and a third smaller
    small.save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1000} kB", flush=True)
