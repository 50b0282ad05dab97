"""From a folder of scans to batches: discovery, splits, cache, patches and their random changes."""
