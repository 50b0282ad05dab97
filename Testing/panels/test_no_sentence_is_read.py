"""Nothing in the panels or in ``kaf.runs`` looks into a sentence: what is acted upon has a code, data or a field."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("KAFSegmentation/KAFSegmentationLib", "KAFPretrain/KAFPretrainLib", "KAFSegmentation/kaf/runs")
SENTENCES = {"text", "reason", "message", "remedy", "subject", "stage", "errorText", "note"}
"""Attributes that hold what a person reads."""
NAMES = SENTENCES | {"alarm", "error", "failure", "problem", "warning", "words", "sentence"}
"""Names of what may hold a sentence: a word is not looked for in these."""
SEARCHES = {"startswith", "endswith", "split", "rsplit", "partition", "rpartition", "find", "rfind", "index", "count",
            "removeprefix", "removesuffix"}
PATTERNS = {"match", "search", "fullmatch", "findall", "finditer", "split"}  # of the module re


def looks_into_sentences(source):
    """The lines in which a sentence is searched, taken apart or compared."""
    tree = ast.parse(source)
    errors = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    errors |= {argument.arg for node in ast.walk(tree) if isinstance(node, ast.arguments)
               for argument in (*node.args, *node.kwonlyargs) if argument.arg in ("error", "problem", "failure")}
    return sorted({node.lineno for node in ast.walk(tree) if _looks(node, errors)})


def _looks(node, errors):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in SEARCHES and _is_sentence(node.func.value, errors):
            return True
        return (node.func.attr in PATTERNS and isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
                and any(_is_sentence(argument, errors) for argument in node.args[1:]))
    if isinstance(node, ast.Compare):
        read = [right for operator, right in zip(node.ops, node.comparators, strict=True)
                if isinstance(operator, (ast.In, ast.NotIn))]
        if any(_is_sentence(right, errors) or (_is_word(node.left) and _name(right) in NAMES) for right in read):
            return True
        sides = [node.left, *node.comparators]
        return (any(isinstance(side, ast.Constant) and isinstance(side.value, str) and side.value for side in sides)
                and any(_is_sentence(side, errors) for side in sides))
    return False


def _is_word(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and any(c.isalpha() for c in node.value)


def _name(node):
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_sentence(node, errors):
    if isinstance(node, ast.Attribute):
        return node.attr in SENTENCES
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == "str" and node.args:
            return isinstance(node.args[0], ast.Name) and node.args[0].id in errors
        return isinstance(node.func, ast.Attribute) and node.func.attr in ("lower", "upper", "casefold", "strip") \
            and _is_sentence(node.func.value, errors)
    return isinstance(node, ast.Subscript) and _is_sentence(node.value, errors)


FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_looks_into_a_sentence(path):
    assert looks_into_sentences(path.read_text(encoding="utf-8")) == []


def test_the_rooms_are_there():
    assert len(FILES) > 60


@pytest.mark.parametrize("line", [
    'event.text.startswith("Collapse")', '"cluster" in story.alarm.text', '" patients" not in m.text.lower()',
    'event.text.partition(": ")', 're.search("a", error.reason)', 'event.stage == "training"',
    '"cluster" in story.alarm', '"was not a number" in error', '"there already" not in failure', '"a" in text',
    'error.reason.split(" ", 1)[0] in known', 'error.text[0].split()',
    "def f(error):\n    return 'already' in str(error)", "try:\n    g()\nexcept E as e:\n    str(e).split('.')",
])
def test_what_looks_into_a_sentence_is_found(line):
    assert looks_into_sentences(line)


@pytest.mark.parametrize("line", [
    "event.code == COLLAPSE", "label.text = other.text", "label.text != shown", '"a" in names', "path.name.split('.')",
    "'<' in text", "not label.text", "label.text == ''", "str(error).splitlines()[0]",
    "if warning not in result.warnings: pass",
])
def test_what_does_not_is_passed(line):
    assert not looks_into_sentences(line)
