"""A stand-in for the worker that answers as keypoint memory does, at once and in this process: each unfinished slice
gets the labels of the nearest finished one. It can be held, and can die."""

import tempfile
from pathlib import Path

import numpy as np

from kaf.imaging.grid import canonical_grid
from kaf.runtime.errors import WorkerError


class MemoryClient:
    """``requests``: (verb, settings, arrays, options) of all that was asked; ``isHeld``: nothing is answered until it
    is False again; ``deaths``: how many of the next requests end with the death of the worker."""

    def __init__(self):
        self.requests, self.isHeld, self.deaths = [], False, 0
        self.warnings = []
        self.learned = np.zeros_like
        """What an adapted model says, from what is drawn."""

    def start(self):
        pass

    def close(self):
        pass

    def request(self, verb, settings, arrays, onEvent, silence, keys, options):
        return self.submit(verb, settings, arrays, onEvent, silence, keys, options).result()

    def submit(self, verb, settings, arrays, onEvent, silence, keys, options):
        copies = {name: (np.array(voxels), affine) for name, (voxels, affine) in arrays.items()}
        self.requests.append((verb, dict(settings), copies, dict(options or {})))
        return MemoryJob(self, *self.requests[-1])


class MemoryJob:
    detail = ""

    def __init__(self, client, verb, settings, arrays, options):
        self._client, self._verb, self._settings, self._arrays, self._options = client, verb, settings, arrays, options
        self._isDead = client.deaths > 0
        client.deaths = max(0, client.deaths - 1)

    def poll(self):
        return not self._client.isHeld

    def result(self):
        if self._isDead:
            raise WorkerError(self._verb, "the worker was killed", "Start it again.")
        return getattr(self, self._verb)()

    def cancel(self):
        pass

    def propose(self):
        return {"slices": [1, 2]}

    def adapt(self):
        drawn, affine = self._arrays["drawn"]
        labels = self._client.learned(drawn)
        model = Path(tempfile.mkdtemp()) / "adapted.safetensors"  # the panel takes it over, folder and all
        model.write_bytes(b"")
        return {"arrays": {"labels": (labels, affine), "uncertainty": (labels.astype(np.float32), affine)},
                "labels": [{"value": 1, "name": "New structure"}], "volumes_ml": {"1": 1.0}, "warnings": [],
                "seconds": {"network": 1.0}, "place": "CPU", "model": str(model)}

    def provenance(self):
        i, j, k = self._options["voxel"]
        settings, arrays = next(one[1:3] for one in reversed(self._client.requests) if one[0] == "propagate")
        drawn, (first, *_more) = arrays["drawn"][0], settings["slices"]
        axis = _axis(arrays["drawn"], settings)
        voxel = [i, j, k]
        voxel[2 - axis] = first
        return {"origins": [{"slice": first, "voxel": voxel, "weight": 0.6, "label": int(drawn[tuple(voxel[::-1])])},
                            {"slice": first, "voxel": [i, j + 1, k][:2 - axis] + voxel[2 - axis:], "weight": 0.2,
                             "label": 0}]}

    def remembered(self):
        if "remember" not in self._options:
            return {}
        memory = Path(tempfile.mkdtemp()) / "memory.safetensors"  # the panel takes it over
        memory.write_bytes(b"finished slices")
        return {"memory": str(memory)}

    def propagate(self):
        drawn = self._arrays["drawn"][0]
        axis = _axis(self._arrays["drawn"], self._settings)
        finished = list(self._settings.get("slices", ())) or [0]
        labels = np.moveaxis(drawn.copy(), axis, 0)
        others = [index for index in range(len(labels)) if index not in finished]
        for index in others:
            nearest = min(finished, key=lambda one: (abs(one - index), one))
            labels[index] = labels[nearest]
        far = sorted(others, key=lambda index: -min(abs(index - one) for one in finished))
        values = sorted(self._settings["labels"])
        return {
            "arrays": {"labels": (np.moveaxis(labels, 0, axis).copy(), self._arrays["drawn"][1])},
            "labels": [{"value": value, "name": self._settings["labels"][value]} for value in values],
            "volumes_ml": {str(value): float((drawn == value).sum()) for value in values},
            "warnings": list(self._client.warnings), "seconds": {"update": 0.1}, "place": "CPU",
            **self.remembered(),
            "report": {
                "plane": "axial", "review": far,
                "choice": {"source": "memory", "reason": "unknown", "dice": {"memory": 0.9}, "slices": len(finished)},
                "slices": {str(index): {"confidence": 0.5, "distance_mm": 8.0, "source": "memory",
                                        "finished": finished, "place":
                                        "between" if min(finished) < index < max(finished) else "beyond"}
                           for index in others},
            },
        }


def _axis(given, settings):
    voxels, affine = given
    return canonical_grid(voxels.shape, affine, None, settings.get("axis", "axial")).order[0]
