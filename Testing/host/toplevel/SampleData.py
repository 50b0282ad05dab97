"""The registration side of Slicer's Sample Data module; nothing is downloaded."""

from dataclasses import dataclass, field


@dataclass
class SampleDataSource:
    """A data set that a module offers."""

    sampleName: str = None
    sampleDescription: str = None
    uris: list = field(default_factory=list)
    fileNames: list = field(default_factory=list)
    nodeNames: list = field(default_factory=list)
    checksums: list = field(default_factory=list)
    loadFiles: list = field(default_factory=list)
    customDownloader: object = None
    thumbnailFileName: str = None
    loadFileType: object = None
    loadFileProperties: dict = None


categories: dict[str, list[SampleDataSource]] = {}
titles: dict[str, str] = {}


class SampleDataLogic:
    """Remembers the registered data sets."""

    def __init__(self, logMessage=None):
        self.logMessage = logMessage or print

    @staticmethod
    def registerCustomSampleDataCategory(category, title):
        titles[category] = title

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
    ):
        if loadFileProperties is not None and not isinstance(loadFileProperties, dict):
            raise TypeError("loadFileProperties must be a dictionary")
        lists = [
            [] if v is None else v if isinstance(v, list) else [v] for v in (uris, fileNames, nodeNames, checksums)
        ]
        source = SampleDataSource(
            sampleName, None, *lists, loadFiles=loadFiles or [], customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName, loadFileType=loadFileType,
            loadFileProperties=loadFileProperties,
        )  # fmt: skip
        categories.setdefault(category, []).append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category=None):
        return categories.get(category, []) if category else categories

    @staticmethod
    def isSampleDataSourceRegistered(category, sampleDataSource):
        return sampleDataSource in categories.get(category, [])


def downloadSample(sampleName):
    """A test must not reach for the network."""
    raise RuntimeError(f"sample data '{sampleName}' cannot be downloaded on the test host")
