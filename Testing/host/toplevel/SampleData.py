"""Slicer's Sample Data module: data sets are registered and found as there; nothing is downloaded.

A data set's own downloader belongs to its button.  `downloadSample` and `downloadSamples` go by the addresses alone:
of a data set without any they bring nothing, and `downloadSample` ends with an IndexError.
"""

import logging

import slicer


class SampleDataSource:
    """A data set that a module offers; every list has an entry for every address."""

    def __init__(
        self,
        sampleName=None,
        sampleDescription=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        checksums=None,
        loadFiles=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFileProperties=None,
        loadFileType=None,
    ):
        if loadFileType is not None and loadFileTypes is not None:
            raise ValueError("loadFileType and loadFileTypes cannot be specified at the same time")
        kinds = loadFileType if loadFileTypes is None else loadFileTypes
        if isinstance(uris, str):
            uris, fileNames, nodeNames = [uris], [fileNames], [nodeNames]
            loadFiles, kinds, checksums = [loadFiles], [kinds], [checksums]
        elif isinstance(uris, list | tuple):
            kinds = [kinds] * len(uris) if kinds is None or isinstance(kinds, str) else kinds
            nodeNames, loadFiles, checksums = (
                [None] * len(uris) if one is None else one for one in (nodeNames, loadFiles, checksums)
            )
        self.sampleName, self.sampleDescription = sampleName, sampleDescription or sampleName
        self.uris, self.fileNames, self.nodeNames, self.checksums = uris, fileNames, nodeNames, checksums
        self.loadFiles, self.loadFileTypes = loadFiles, kinds
        self.loadFileProperties = loadFileProperties or {}
        self.customDownloader, self.thumbnailFileName = customDownloader, thumbnailFileName
        lengths = {len(one) for one in (uris, fileNames, nodeNames, loadFiles, kinds, checksums)}
        if len(lengths) > 1:
            raise ValueError("All fields of sample data source must have the same length")

    def __eq__(self, other):
        return str(self) == str(other)

    __hash__ = None

    def __str__(self):
        return "\n".join(f"{name}: {value}" for name, value in sorted(vars(self).items()))


class SampleDataLogic:
    """Finds what was registered."""

    def __init__(self, logMessage=None):
        if logMessage:
            self.logMessage = logMessage

    def logMessage(self, message, logLevel=logging.DEBUG):
        logging.log(logLevel, message)

    @staticmethod
    def registerCustomSampleDataCategory(category, title):
        titles = _kept("sampleDataSourceCategories")
        titles.setdefault(category, {})["title"] = title

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ):
        source = SampleDataSource(
            sampleName, None, uris, fileNames, nodeNames, checksums, loadFiles, customDownloader, thumbnailFileName,
            loadFileTypes, loadFileProperties, loadFileType,
        )  # fmt: skip
        if not SampleDataLogic.isSampleDataSourceRegistered(category, source):
            _kept("sampleDataSources").setdefault(category, []).append(source)

    @staticmethod
    def categoryTitle(category):
        return _kept("sampleDataSourceCategories").get(category, {}).get("title", category)

    @staticmethod
    def sampleDataSourcesByCategory(category=None):
        sources = _kept("sampleDataSources")
        return sources if category is None else sources.get(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category, sampleDataSource):
        if not isinstance(sampleDataSource, SampleDataSource):
            raise TypeError(f"unsupported sampleDataSource type '{type(sampleDataSource)}'")
        return sampleDataSource in _kept("sampleDataSources").get(category, [])

    def sourceForSampleName(self, sampleName):
        every = (source for sources in _kept("sampleDataSources").values() for source in sources)
        return next((source for source in every if source.sampleName == sampleName), None)

    def downloadFromSource(self, source, maximumAttemptsCount=3, forceDownload=False):
        if source.uris:
            raise RuntimeError(f"sample data '{source.sampleName}' cannot be downloaded on the test host")
        return []

    def downloadSamples(self, sampleName):
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source) if source else []

    def downloadSample(self, sampleName):
        return self.downloadSamples(sampleName)[0]


def downloadSamples(sampleName):
    """The loaded nodes of a data set."""
    return SampleDataLogic().downloadSamples(sampleName)


def downloadSample(sampleName):
    """The first loaded node of a data set."""
    return SampleDataLogic().downloadSamples(sampleName)[0]


def _kept(name: str) -> dict:
    """What Slicer keeps for all modules."""
    if not hasattr(slicer.modules, name):
        setattr(slicer.modules, name, {})
    return getattr(slicer.modules, name)
