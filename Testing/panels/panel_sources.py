"""The sources of the panels, for the tests that read them."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = [ROOT / "KAFSegmentation", ROOT / "KAFPretrain"]
"""The folders of the modules whose sources are read: each holds NAME.py and NAMELib."""


def sources() -> list[Path]:
    """Every Python file of the panels."""
    return [path for module in MODULES for path in
            [module / f"{module.name}.py", *sorted((module / f"{module.name}Lib").rglob("*.py"))]]


def label(path: Path) -> str:
    """How a file is called in the name of a test."""
    return "/".join(path.parts[-2:])


def parsed(path: Path) -> ast.Module:
    """Its syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))
