"""The folder of synthetic hearts in Sample Data: made once, opened, chosen in the panel."""

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import SampleData
import slicer
from segmentation_panel import ReadySetup

import host

PRESSED = SimpleNamespace(sampleName="KAFHeartFolder")


class Missing(ReadySetup):
    ready = False


def test_it_is_among_the_samples(pretrain, monkeypatch):
    seen = []
    monkeypatch.setattr(SampleData.SampleDataLogic, "registerCustomSampleDataSource",
                        staticmethod(lambda **arguments: seen.append(arguments)))
    pretrain.source.registerSampleData()
    asked, = seen
    assert asked["sampleName"] == "KAFHeartFolder"
    assert [asked[name] for name in ("uris", "fileNames", "nodeNames", "loadFiles")] == [[], [], [], []]
    assert Path(asked["thumbnailFileName"]).is_file()
    assert callable(asked["customDownloader"])


def test_its_button_makes_the_folder_once_and_the_panel_has_it(pretrain, makePretrain):
    from KAFPretrainLib.data.SampleFolder import SampleFolder

    slicer.modules.sampleDataSources = {}
    SampleFolder(ReadySetup).register()
    volume, = host.press_sample("KAFHeartFolder")
    assert volume.GetImageData().GetDimensions() == (96, 96, 8)
    folder = Path(pretrain.ui.dataPath.currentPath)  # it is open, and has it at once
    assert len(list((folder / "images").iterdir())) == 16
    assert len(list((folder / "labels").iterdir())) == 10
    pretrain.unload()
    again, = SampleFolder(Missing).onClicked(PRESSED)  # nothing is made, so nothing is needed for it
    assert again is not volume
    opened = makePretrain()
    assert opened.ui.dataPath.currentPath == str(folder)
    assert opened.ui.scanButton.isEnabled()


def test_before_the_set_up_it_says_what_to_do(pretrain, monkeypatch, tmp_path):
    from KAFPretrainLib.data.SampleFolder import SampleFolder

    cache = slicer.mrmlScene.GetCacheManager()
    before = cache.GetRemoteCacheDirectory()
    cache.SetRemoteCacheDirectory(str(tmp_path))
    try:
        assert SampleFolder(Missing).onClicked(PRESSED) == []
    finally:
        cache.SetRemoteCacheDirectory(before)
    assert "Open the module KAF Pretrain and press Set up" in host.dialogs().texts()[-1]
    assert pretrain.ui.dataPath.currentPath == ""
    host.take_errors()
