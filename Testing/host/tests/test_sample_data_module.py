"""Facts of Slicer's Sample Data module, read in its source."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import SampleData
import slicer

import host


@pytest.fixture(autouse=True)
def noSamples(empty):
    slicer.modules.sampleDataSources = {}
    yield
    slicer.modules.sampleDataSources = {}


def register(**more):
    words = {"category": "Own", "sampleName": "drawn", "uris": [], "fileNames": [], "nodeNames": [], "loadFiles": []}
    SampleData.SampleDataLogic.registerCustomSampleDataSource(**{**words, **more})


def test_the_button_calls_the_own_downloader_with_the_source():
    pressed = []
    register(customDownloader=pressed.append)
    host.press_sample("drawn")
    assert [source.sampleName for source in pressed] == ["drawn"]


def test_download_sample_does_not_know_of_an_own_downloader():
    register(customDownloader=lambda source: ["node"])
    assert SampleData.downloadSamples("drawn") == []
    with pytest.raises(IndexError):
        SampleData.downloadSample("drawn")
    with pytest.raises(IndexError):
        SampleData.downloadSample("of another name")


def test_every_list_has_an_entry_for_every_address():
    with pytest.raises(ValueError, match="same length"):
        register(uris=["https://a", "https://b"], fileNames=["a"])
    with pytest.raises(TypeError):
        register(uris=None)
    register(sampleName="one", uris="https://a", fileNames="a", nodeNames="a", loadFiles=None)
    assert SampleData.SampleDataLogic().sourceForSampleName("one").uris == ["https://a"]


def test_the_same_is_registered_once_where_all_other_modules_see_it():
    for _ in range(2):
        register()
    SampleData.SampleDataLogic.registerCustomSampleDataCategory("Own", title="My own")
    assert [source.sampleName for source in slicer.modules.sampleDataSources["Own"]] == ["drawn"]
    assert SampleData.SampleDataLogic.categoryTitle("Own") == "My own"
    assert SampleData.SampleDataLogic.categoryTitle("Other") == "Other"
