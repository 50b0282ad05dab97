#!/usr/bin/env python3
"""Checks what Slicer's ExtensionsIndex will check, as far as that can be done without a network.

    Resources/scripts/check_extension.py [folder]

Prints one line per rule and ends with 1 if one is broken. The rules are those of the Index's own checker
(scripts/check_description_files.py), the catalog schema v1.0.1, and what its reviewers ask for again and again.
Standard library only.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_imports import code_problems

SCHEMA = "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
FIELDS = {"$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str,
          "build_dependencies": list, "build_subdirectory": str, "enabled": bool, "tier": int}
REQUIRED = ("$schema", "category", "scm_url")
CATEGORIES = (  # of the Index's list, those that an extension for segmentation could choose
    "Active Learning", "Analysis", "Cardiac", "Neuroimaging", "Quantification", "Radiotherapy", "Segmentation",
    "Training", "Utilities")
REPOSITORY_PREFIXES = ("Slicer",)  # with or without "-" or "_" behind it
LICENCES = ("LICENSE", "LICENCE", "License.txt", "license.txt", "LICENSE.txt", "COPYING", "COPYING.txt")
LIMIT_MEGABYTES = 100
METADATA = ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS")
PLACEHOLDERS = ("example.com", "John Doe", "Jane Doe", "AnyWare", "This is an example", "TODO", "FIXME")
TEXT_SUFFIXES = {".py", ".md", ".txt", ".json", ".ui", ".svg", ".toml", ".cff", ".sh"}
NOT_OURS = {".git", ".venv", "build", "dist", "runs", "__pycache__"}
# What reviewers look for in a README: the words of which one must be there.
README_TOPICS = {
    "a picture": (r"!\[[^\]]*\]\(", r"<img "),
    "a tutorial, step by step": (r"^#+ .*tutorial", r"^#+ .*step by step"),
    "where sample data comes from": (r"sample data",),
    "how to cite": (r"^#+ .*(cit|publication)", r"\bcite\b", r"doi\.org", r"arxiv\.org"),
    "a section on privacy": (r"^#+ .*privacy",),
    "the licence": (r"^#+ .*licen[cs]e", r"licen[cs]e: "),
    "the licence of the models": (r"licen[cs]e of the (weights|models)", r"weights are under"),
}


class Extension:
    """The folder of an extension, and what its main files say."""

    def __init__(self, root: Path):
        self.root = root
        self.cmake = self._text("CMakeLists.txt")
        self.readme = self._text("README.md")
        found = re.findall(r"project\s*\(\s*([^\s\)\n\r]+)", self.cmake, re.IGNORECASE)
        self.name = found[0].strip("\"'") if found else ""
        self.entry_path = root / "Resources" / f"{self.name}.json"
        try:
            entry = json.loads(self.entry_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            entry = {}
        self.entry: dict = entry if isinstance(entry, dict) else {}

    def _text(self, name: str) -> str:
        path = self.root / name
        return path.read_text(encoding="utf-8", errors="ignore") if path.is_file() else ""

    def metadata(self, key: str) -> str:
        """A value as the Index's checker reads it: quoted, on one line, nothing else in the brackets."""
        found = re.findall(rf'set\s*\(EXTENSION_{key}\s*"([^"]+)"[ ]*\)', self.cmake, re.IGNORECASE)
        return found[0].strip() if found else ""

    def modules(self) -> list[str]:
        """The scripted modules: the folders that the top CMakeLists.txt adds and that hold a file of that name."""
        added = re.findall(r"add_subdirectory\((\w+)\)", self.cmake)
        return [name for name in added if "slicerMacroBuildScriptedModule" in self._text(f"{name}/CMakeLists.txt")]


def check_names(extension: Extension) -> Iterator[str]:
    if not extension.name:
        yield "CMakeLists.txt has no project()"
        return
    if extension.name.lower().startswith("slicer"):
        yield f"the name {extension.name} must not start with Slicer (the repository's must)"
    if not extension.entry_path.is_file():
        yield f"Resources/{extension.name}.json is missing; project() and that file must have one name"
    url = urlsplit(str(extension.entry.get("scm_url", "")))
    repository = url.path.strip("/").split("/")[-1].removesuffix(".git")
    if url.scheme not in ("https", "git") or not url.netloc:
        yield "scm_url must be https://host/owner/repository"
    elif not repository.startswith(REPOSITORY_PREFIXES):
        yield f"the repository's name, {repository}, must start with Slicer"
    if extension.name not in extension.modules():
        yield f"there is no module {extension.name}; its icon and its help would be looked for"


def check_entry(extension: Extension) -> Iterator[str]:
    entry = extension.entry
    if not entry:
        yield "the catalog entry is not a JSON object"
        return
    yield from (f"{key} is missing" for key in REQUIRED if not entry.get(key))
    yield from (f"{key} is no field of the schema" for key in entry if key not in FIELDS)
    yield from (f"{key} must be {kind.__name__}" for key, kind in FIELDS.items()
                if key in entry and (not isinstance(entry[key], kind) or (kind is int and entry[key] is True)))
    if entry.get("$schema") != SCHEMA:
        yield f"$schema must be {SCHEMA}"
    if entry.get("category") not in CATEGORIES:
        yield f"category {entry.get('category')!r} is none of the Index's: {', '.join(CATEGORIES)}"
    if isinstance(entry.get("tier"), int) and not 1 <= entry["tier"] <= 5:
        yield "tier must be 1 to 5"
    if re.fullmatch(r"[0-9a-f]{7,40}", str(entry.get("scm_revision", ""))):
        yield "scm_revision should be a branch, or users will not get updates"
    if b"\r" in extension.entry_path.read_bytes():
        yield "it must have LF line endings"


def check_metadata(extension: Extension) -> Iterator[str]:
    for key in METADATA:
        value = extension.metadata(key)
        if not value:
            yield f'set(EXTENSION_{key} "...") is missing, or not one quoted text on one line'
        yield from (f"EXTENSION_{key} still says {word}" for word in PLACEHOLDERS if word in value)
    if ";" in extension.metadata("DESCRIPTION"):
        yield "a semicolon in EXTENSION_DESCRIPTION would cut it off"
    if "EXTENSION_CATEGORY" in extension.cmake:
        yield "EXTENSION_CATEGORY belongs to the catalog entry"
    depends = extension.metadata("DEPENDS").replace(";", " ").split()
    if sorted(set(depends) - {"NA"}) != sorted(extension.entry.get("build_dependencies", [])):
        yield "EXTENSION_DEPENDS and build_dependencies differ: one of them alone gives errors only in the console"
    position = -1
    for wanted in ("find_package(Slicer", "include(${Slicer_USE_FILE})", "include(${Slicer_EXTENSION_GENERATE_CONFIG})",
                   "include(${Slicer_EXTENSION_CPACK})"):
        found = extension.cmake.find(wanted)
        if found < position or found < 0:
            yield f"{wanted} is missing or out of order"
        position = max(position, found)


def check_pictures(extension: Extension) -> Iterator[str]:
    owner = urlsplit(str(extension.entry.get("scm_url", ""))).path.strip("/").removesuffix(".git")
    for key in ("ICONURL", "SCREENSHOTURLS"):
        for address in extension.metadata(key).split():
            url = urlsplit(address)
            if not address.startswith("http") or not address.lower().endswith((".png", ".jpg", ".jpeg", ".gif")):
                yield f"{address} is not the address of a picture"
            elif url.netloc == "raw.githubusercontent.com":
                parts = url.path.strip("/").split("/")
                if "/".join(parts[:2]) != owner:
                    yield f"{address} points to another repository than scm_url"
                if not extension.root.joinpath(*parts[3:]).is_file():
                    yield f"{'/'.join(parts[3:])}, which EXTENSION_{key} points to, is not here"
    wanted = [(f"Resources/{extension.name}.png", (128, 128))]
    for module in extension.modules():
        icons = f"{module}/Resources/Icons/{module}"
        wanted.append((f"{icons}.png", (64, 64)))
        if not (extension.root / f"{icons}.svg").is_file():
            yield f"{icons}.svg is missing"
    for name, size in wanted:
        found = png_size(extension.root / name)
        if found != size:
            instead = f", not {found[0]} x {found[1]}" if found else ""
            yield f"{name} must be a PNG of {size[0]} x {size[1]} pixels{instead}"


def check_repository(extension: Extension) -> Iterator[str]:
    if not any((extension.root / name).is_file() and (extension.root / name).stat().st_size for name in LICENCES):
        yield "there is no LICENSE in the top folder"
    size = sum(path.stat().st_size for path in files(extension.root, skip=NOT_OURS - {".git"})) / 2**20
    if size > LIMIT_MEGABYTES:
        yield f"the repository has {size:.0f} MB with its history; the limit is {LIMIT_MEGABYTES}"
    for path in files(extension.root):
        if (path.suffix in TEXT_SUFFIXES or path.name == "CMakeLists.txt") and b"\r" in path.read_bytes():
            yield f"{path.relative_to(extension.root)} has CR in its line endings"


def check_readme(extension: Extension) -> Iterator[str]:
    if not extension.readme:
        yield "README.md is missing"
        return
    text = extension.readme
    yield from (f"README.md lacks {topic}" for topic, patterns in README_TOPICS.items()
                if not any(re.search(pattern, text, re.IGNORECASE | re.MULTILINE) for pattern in patterns))
    for module in extension.modules():
        # A list item, table row or heading (not the title) that starts with the name, and some words after it.
        if not re.search(rf"^(?!# )[-*|# \t]*[*`\[]*{module}\b[^\n]*(\n+[^#\n][^\n]*)?\w+ \w+ \w+", text, re.MULTILINE):
            yield f"README.md lacks a sentence on the module {module} (a line that starts with its name)"
    paragraphs = [part for part in re.split(r"\n\s*\n", text) if not part.lstrip().startswith(("#", "!", "<", "["))]
    if not paragraphs or len(re.findall(r"[.!?](\s|$)", paragraphs[0])) > 4:
        yield "README.md should begin with what the extension is for, in a sentence or two"


def check_code(extension: Extension) -> Iterator[str]:
    for module in extension.modules():
        yield from code_problems(extension.root / module / f"{module}.py")


RULES: dict[str, Callable[[Extension], Iterator[str]]] = {
    "names agree": check_names,
    "the catalog entry follows the schema": check_entry,
    "CMakeLists.txt has the metadata": check_metadata,
    "icons and screenshots are there": check_pictures,
    "licence, size and line endings": check_repository,
    "README.md has what reviewers look for": check_readme,
    "loading a module imports and runs nothing that it should not": check_code,
}


def files(root: Path, skip: set[str] = NOT_OURS) -> Iterator[Path]:
    """All files but those in caches and build folders."""
    for path in sorted(root.iterdir()):
        if path.name in skip or path.is_symlink() or path.name.endswith((".egg-info", "_cache")):
            continue
        if path.is_dir():
            yield from files(path, skip - {".git"} if path.name == ".git" else skip)
        elif path.is_file():
            yield path


def png_size(path: Path) -> tuple[int, int] | None:
    """Width and height, or None for what is no PNG."""
    try:
        with path.open("rb") as file:
            start = file.read(24)
    except OSError:
        return None
    if start[:8] != b"\x89PNG\r\n\x1a\n" or len(start) < 24:
        return None
    width, height = struct.unpack(">II", start[16:24])
    return width, height


def check(root: Path) -> dict[str, list[str]]:
    """Rule -> what is wrong; an empty list where nothing is."""
    extension = Extension(root)
    return {rule: list(function(extension)) for rule, function in RULES.items()}


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    broken = 0
    for rule, problems in check(root).items():
        print(f"{'ok  ' if not problems else 'FAIL'}  {rule}")
        for problem in problems:
            print(f"      {problem}")
        broken += bool(problems)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
