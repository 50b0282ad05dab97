"""What a message or a stage is about, in a word that stays when its sentence is reworded or translated.

Whoever acts on a message asks for its code and takes what it needs from its data, never from its text.  A message
without a code is only shown.  No torch, no heavy import.
"""

from __future__ import annotations

READY = "ready"
"""The worker takes requests.  Data: pid, and versions of kaf, Python and the packages."""
DATASET = "dataset"
"""What a run is trained on.  Data: patients (for training), and scans, slices or validation where they are known."""
UNLABELLED = "unlabelled"
"""Some scans have no label map, which matters only to a training with labels.  Data: cases, their names."""
TEST_SCANS = "test scans"
"""Some scans lie in a folder for testing and are not used.  Data: cases, their names."""
STARTED_FROM = "started from"
"""Weights of another model were loaded.  Data: model, and coverage, the share of the weights, 0..1."""
FORECAST = "forecast"
"""What a run will take.  Data: the fields of :class:`kaf.training.forecast.Forecast`."""
RESUMED = "resumed"
"""A run continues.  Data: step, that of its checkpoint; 0 where there was none."""
COLLAPSE = "collapse"
"""The embeddings or the clusters collapsed.  Data: figure (name of the figure that shows it), value, clusters (whether
the clusters collapsed, not the embeddings)."""
NETWORK = "network"
"""A comparison trains its next network.  Data: arm, fold, and few_shot and draw unless it is being pretrained."""
CHOICE = "choice"
"""What labels the unfinished slices.  Data: the fields of :class:`kaf.memory.choice.Choice`, and its text."""
CONTRADICTION = "contradiction"
"""A finished slice disagrees with its neighbours, or a click with a finished slice.  Data: slices (stored numbers) and
dice (with the neighbour that it resembles more), or clicks (how many)."""
DOUBTFUL_STRUCTURES = "doubtful structures"
"""The model predicts a low Dice for some of its structures.  Data: structures, their names."""

TRAINING = "training"
"""Stage: the training itself, as against the preparation of the data."""
