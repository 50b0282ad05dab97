"""What PythonQt shows of Slicer's C++ widgets, and whether the stand-ins keep to it.

public_names.json holds, for each class, its base class and its Q_PROPERTYs, Q_INVOKABLE methods, public
slots, signals and enumeration values, with what PythonQt's decorators add.  It was read from the headers of
Slicer and CTK (main, August 2026) by

    python -m host.lint.public_names FOLDER_WITH_HEADERS ...

run in the Testing folder.  Everything else of a C++ class is invisible in Python.
"""

import json
import re
import sys
from pathlib import Path

TABLE = Path(__file__).with_name("public_names.json")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_CLASS = re.compile(r"\nclass\s+(?:\w+_EXPORT\s+)?(\w+)\s*:\s*public\s+(\w+)[^{;]*\{(.*?)\n\};", re.S)
_SECTION = re.compile(r"\b((?:public|protected|private)(?:\s+(?:slots|Q_SLOTS))?|Q_SIGNALS|signals)\s*:(?!:)")
_ENUM = re.compile(r"\benum\s+\w+\s*\{([^}]*)\}", re.S)
_BODY = re.compile(r"\{[^{}]*\}")
_NAME = re.compile(r"~?(\w+)\s*\(")
# Of QObject and QWidget subclasses in Python, Qt itself calls these.
_QT_VIRTUALS = re.compile(r"^(\w*Event|event|eventFilter|sizeHint|minimumSizeHint|hitButton|staticMetaObject)$")


def fromHeader(text: str) -> dict[str, dict]:
    """{class: {"base": ..., "names": [...]}} of one header."""
    text = _COMMENT.sub("", text)
    found = {}
    for name, base, body in _CLASS.findall(text):
        names = set(re.findall(r"Q_PROPERTY\(\s*[\w:<>, ]+?[\s*&]+(\w+)\s+READ", body))
        for values in _ENUM.findall(body):
            names |= {value.split("=")[0].strip() for value in values.split(",") if value.strip()}
        names |= _methods(body)
        found[name] = {"base": base, "names": sorted(names)}
    return found


def fromDecorators(text: str) -> dict[str, set[str]]:
    """{class: names} that a ...PythonQtDecorators.h header adds to C++ classes."""
    text = _COMMENT.sub("", text)
    found: dict[str, set[str]] = {}
    for owner, name in re.findall(r"\bstatic_([A-Za-z]+)_(\w+)\s*\(", text):
        found.setdefault(owner, set()).add(name)
    for name, owner in re.findall(r"\b(\w+)\s*\(\s*(\w+)\s*\*\s*\w+\s*[,)]", text):
        found.setdefault(owner, set()).add(name)
    return found


def _methods(body: str) -> set[str]:
    """The names of slots, signals and invokable methods."""
    while _BODY.search(body):
        body = _BODY.sub(";", body)
    names: set[str] = set()
    sections = _SECTION.split(body)
    for title, text in zip(["", *sections[1::2]], sections[::2], strict=True):
        shown = bool(re.match(r"public\s+(slots|Q_SLOTS)|Q_SIGNALS|signals", title))
        for statement in text.split(";"):
            if shown or "Q_INVOKABLE" in statement:
                names |= set(_NAME.findall(re.sub(r"^.*Q_INVOKABLE", "", statement, flags=re.S))[:1])
    return {name for name in names if not name.startswith("Q_")}


def unknownNames() -> list[str]:
    """Public names of stand-ins that the real class does not show, as "class.name"."""
    from ..widgets.declare import standIns

    table = json.loads(TABLE.read_text(encoding="utf-8"))
    problems = []
    for name, cls in standIns().items():
        if name.startswith("_"):
            continue
        own = {member for c in _standInBases(cls) for member in vars(c) if not member.startswith("_")}
        allowed = _allowed(name, table)
        extra = {m for m in own if m not in allowed and not _QT_VIRTUALS.match(m)}
        problems += [f"{name}.{member}" for member in sorted(extra)]
    return problems


def _standInBases(cls: type) -> list[type]:
    return [c for c in cls.__mro__ if c.__module__.startswith(__package__.split(".")[0] + ".")]


def _allowed(name: str, table: dict) -> set[str]:
    from ..pythonqt.names import qtNames

    allowed: set[str] = set()
    while name in table:
        allowed |= set(table[name]["names"])
        name = table[name]["base"]
    return allowed | set(dir(qtNames().get(name, object)))


def main(folders: list[str]) -> None:
    """Write the table for all stand-ins and their bases from the headers in the folders."""
    from ..startup import start
    from ..widgets.declare import standIns

    start()
    every: dict[str, dict] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.h")):
            if path.name.startswith(("ctk", "qMRML", "qSlicer")):
                every |= fromHeader(path.read_text(encoding="utf-8", errors="replace"))
        for path in sorted(Path(folder).rglob("*PythonQtDecorators.h")):
            for name, names in fromDecorators(path.read_text(encoding="utf-8")).items():
                entry = every.get(name, {"names": []})
                entry["names"] = sorted(names.union(entry["names"]))
    kept = {}
    for name in sorted(standIns()):
        while name in every:
            kept[name] = every[name]
            name = every[name]["base"]
    lines = [f" {json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept)]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
