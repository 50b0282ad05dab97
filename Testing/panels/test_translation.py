"""Every text of the panels goes through Slicer's translation: counted in the source, and seen in the open panel."""

import ast
from xml.etree import ElementTree

import pytest
from panel_sources import MODULES, label, parsed, sources
from translation_lint import shadows, untranslated

NAMES = frozenset({
    "The KAF developers", "KAF Segmentation",
    # representations of segments and effects of the Segment Editor, as Slicer calls them
    "Binary labelmap", "Closed surface", "Planar contour", "Ribbon model", "Fractional labelmap", "Level tracing",
    "Grow from seeds", "Fill between slices",
    # nodes
    "KAF attention", "KAF keypoints", "KAF clicks", "KAF attention colors", "KAF cluster colors", "KAF labels",
    # structures, as the cards of models name them, in English
    "right ventricular cavity", "left ventricular myocardium", "left ventricular cavity",
    "-adapted", ", revision ", "Test passed", "KAF ",
    # folders and files
    "KAF example", "KAF runs", "drawn by patient",
    # commands
    '" -m pip install ', "kaf ",
    # figures of a run, by the names that the backend gives them
    "validation ", "probe Dice", "untrained Dice", "effective rank", "validation probe Dice",
    "validation untrained Dice", "validation Dice", "share waiting for data", "seconds per step",
    "inliers by chance", "matches above chance", "matched keypoints",
    "run ",  # what a run's weights are remembered by; what is shown is their title
})
ENGLISH = {
    "Diagnosis.py": "a report that maintainers read",
    "InterpreterProbe.py": "runs in another Python, without Slicer",
}
CODE = ("\nimport ", "import ", "# ")
"""How programs that another Python or a shell runs begin, and the comments in them."""


@pytest.mark.parametrize("path", [path for path in sources() if path.name not in ENGLISH], ids=label)
def test_every_text_goes_through_translation(path):
    tree = parsed(path)
    assert [fault for fault in untranslated(tree, NAMES) if not fault.partition(": ")[2].startswith(CODE)] == []
    assert shadows(tree) == []


@pytest.mark.parametrize("source", [
    'message.show("The model was saved.")', "label.text = 'Apply'", "button.setText('Apply')", "box.addItem('Off')",
    'label.text = f"{count} slices"', 'raise InputError(name, "has no voxels", REMEDY)', '_(f"{count} slices")',
    "_(text)", "NAMES = {'off': 'Choose a scan'}", "return ' and '.join(names)", "ask(parent, title, {'a': 'Go on'})",
    "text = 'Saved.' if isSaved else ''", "label.text = '<b>Apply</b>'", "label.toolTip = why or 'Stop'"])
def test_the_count_finds_what_it_looks_for(source):
    assert untranslated(ast.parse(source))


@pytest.mark.parametrize("source", [
    'message.show(_("The model was saved."))', 'label.text = _("{count} slices").format(count=count)', "x = {'a': 'b'}",
    '"""A docstring of a file."""', "def f():\n    '''A docstring.'''", 'logging.warning("It is not there.")',
    "node.SetSingletonTag('KAFSegmentation')", 'label.text = ""', "label.text = '<br>'.join(lines)",
    "widget.connect('clicked()', f)", "label.text = f'{name}'", "label.text = {'off': name}[key]"])
def test_the_count_leaves_alone_what_nobody_reads(source):
    assert untranslated(ast.parse(source)) == []


def test_the_translator_is_no_variable():
    tree = ast.parse("from slicer.i18n import tr as _\ndef f():\n    a, _ = g()")
    assert shadows(tree) == ["3: _ is a variable here"]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_what_is_code_in_the_ui_file_is_not_offered_to_translators(module):
    """A name of a parameter that is translated is not found, and the panel does not open."""
    tree = ElementTree.parse(module / "Resources" / "UI" / f"{module.name}.ui")
    names = [item for item in tree.iter("property") if item.get("name") == "SlicerParameterName"]
    assert [item.findtext("string") for item in names if item.find("string").get("notr") != "true"] == []
    lists = [item for item in tree.iter("stringlist") if any(text.text.startswith("vtk") for text in item)]
    assert [item[0].text for item in lists if item.get("notr") != "true"] == []
