"""The panel of KAFSegmentation on the test host, with a real worker and a tiny model in a private library."""

import shutil
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TESTING = HERE.parent
for folder in (TESTING, TESTING / "helpers", TESTING.parent / "KAFSegmentation"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

if find_spec("slicer") and find_spec("PySide6"):  # without them every test file here skips itself
    import host

    host.start()
    from adapt_panel import unfold
    from segmentation_panel import MODULE, WORKER_PATIENCE, ReadySetup, add_scan


def pytest_addoption(parser):
    parser.addoption("--screenshots", default="", help="run only the tests that draw, and keep their pictures in this "
                                                       "folder")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--screenshots", default=""):
        others = [item for item in items if "pictures" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture
def pictures(request):
    """Writes a picture of a panel, view or window under a name, if the option asks for pictures."""
    folder = request.config.getoption("--screenshots", default="")

    def take(shown, name):
        if folder:
            for _ in range(20):  # rounds, because on a busy computer drawing takes up any time
                host.pump(20)
            host.screenshot(shown, Path(folder) / f"{name}.png")

    return take


@pytest.fixture
def quietHost():
    """No dialog and no error is left over from another test, and no extension to the next."""
    host.dialogs().clear()
    host.take_errors()
    yield
    host.take_errors()
    host.remove_extension("PyTorch")


class OwnLibrary:
    """A user's data folder for the tests of this folder; those of other folders in the same process do not see it."""

    def __init__(self):
        self.home, self._changes = None, None

    def __enter__(self):
        self._changes = pytest.MonkeyPatch()
        if self.home is not None:
            self.use(self.home)

    def __exit__(self, *error):
        self._changes.undo()

    def use(self, home):
        self.home = home
        self._changes.setenv("XDG_DATA_HOME", str(home))
        # Whatever comes with KAF stays out of sight, so that the tests do not depend on it.
        self._changes.setattr("kaf.modelfile.library.bundled_folder", lambda: home / "nothing bundled")


OWN_LIBRARY = OwnLibrary()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with OWN_LIBRARY if HERE in item.path.parents else nullcontext():
        return (yield)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A user's data folder with the model ``tiny`` in its library, known to this process and to the worker."""
    from made_models import tiny_model

    home = tmp_path_factory.mktemp("home")
    (home / "kaf" / "models").mkdir(parents=True)
    tiny_model(home / "kaf" / "models" / "tiny.safetensors", description="Random weights, for tests.",
               metrics={"cross-validation": {"Dice": 0.8662, "cases": 32}})
    OWN_LIBRARY.use(home)
    return home / "kaf" / "models"


@pytest.fixture(scope="session")
def worker(library):
    """One client for all tests: closing a panel leaves its worker warm for the next one."""
    from kaf.worker.client import Client

    class Shared(Client):
        def close(self):
            if self._job is not None:
                self._job.cancel()

        def verb_on_its_way(self):
            return self._job.verb if self._job is not None and not self._job.finished else ""

    client = Shared(python=sys.executable, start_timeout=WORKER_PATIENCE)
    yield client
    Client.close(client)


@pytest.fixture
def make_panel(library, worker):
    """Loads the module, as often as it is called, with a set-up of one's own.

    With ``own`` it gets a worker of its own, which it also ends; with ``client`` that stands in for the worker.
    """
    yield from panels(worker)


@pytest.fixture(scope="module")
def make_shared_panel(library, worker):
    """The same for one panel that all tests of a file use, each on a new scene."""
    yield from panels(worker)


def panels(worker):
    """Yields the function that loads the module, and in the end puts everything away."""
    import qt

    host.close_scene()
    host.dialogs().clear()
    host.take_errors()
    qt.QSettings().clear()
    # The host forgets a module's folder when it unloads the module; kaf, which lies in it, is everybody's.
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "kaf"}
    loaded = []

    def make(setup=None, own=False, client=worker):
        module = host.load_module(MODULE / "KAFSegmentation.py")
        module.source.KAFSegmentationWidget.makeSetup = setup or ReadySetup
        if not own:
            module.widget.logic.backend._makeClient = lambda **_: client
            module.widget.logic.backend.silence = WORKER_PATIENCE
        loaded.append(module)
        module.widget.logic.getParameterNode().modelName = "tiny"  # models may ship with this copy, too
        module.show()
        return module

    yield make
    for module in loaded:
        module.unload()
    busy = worker.verb_on_its_way()
    worker.close()
    sys.modules.update(kept)
    if str(MODULE) not in sys.path:
        sys.path.insert(0, str(MODULE))
    host.check_errors()
    host.close_scene()
    assert not busy, f"the panel is gone and the worker still does '{busy}', which the next test would be refused for"


@pytest.fixture
def panel(make_panel):
    """The panel, open, with everything ready."""
    return make_panel()


@pytest.fixture(scope="session")
def heart():
    from kaf.phantom.heart import cardiac_phantom

    return cardiac_phantom(3, slices=4, size=64, spacing=3.0)[0]


@pytest.fixture
def scan(panel, heart):
    """A scan in the scene, shown in the views, and chosen in the panel."""
    node = add_scan(heart)
    host.choose(panel.ui.inputSelector, "Heart")
    return node


@pytest.fixture
def adapting(panel, scan):
    """The panel with a scan, the section unfolded, and a second to learn."""
    return unfold(panel)


@pytest.fixture(scope="session")
def hearts(tmp_path_factory):
    """A folder of six synthetic hearts, four of them with labels."""
    from pretrain_panel import write_hearts

    return write_hearts(tmp_path_factory.mktemp("hearts"))


@pytest.fixture(scope="session")
def made(tmp_path_factory, hearts):
    """Runs that are finished: pretrained weights, and a model that was fine-tuned from them."""
    from pretrain_panel import make_runs

    return make_runs(tmp_path_factory.mktemp("made"), hearts)


@pytest.fixture
def runs(made, tmp_path):
    """A copy of these runs for one test."""
    return Path(shutil.copytree(made, tmp_path / "runs"))


@pytest.fixture
def makePretrain(library, tmp_path, monkeypatch):
    """Opens the panel of KAFPretrain, as often as it is called, over the folder of runs of this test; its runs stand in
    a line of their own, and models that it adds to the library go in the end."""
    import pretrain_panel
    import qt

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    host.close_scene()
    host.dialogs().clear()
    host.take_errors()
    qt.QSettings().clear()
    shared = ("kaf", "KAFSegmentationLib")
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in shared}
    loaded = []

    def make(setup=ReadySetup, runs=tmp_path / "runs", devices=False):
        loaded.append(pretrain_panel.open_panel(runs, setup, devices))
        return loaded[-1]

    yield make
    for module in loaded:
        if module.widget.pretraining is not None:
            module.unload()
    for job in _jobsBelow(tmp_path):
        job.kill()
    for path in library.glob("*.safetensors"):
        if path.name != "tiny.safetensors":
            path.unlink()
    sys.modules.update(kept)
    sys.path[:0] = [folder for folder in (str(MODULE), str(pretrain_panel.MODULE)) if folder not in sys.path]
    host.check_errors()
    host.close_scene()


def _jobsBelow(folder):
    from kaf.runs import start as jobs

    return jobs.find(folder)


@pytest.fixture
def pretrain(makePretrain):
    """The panel of KAFPretrain, open, with everything ready."""
    return makePretrain()
