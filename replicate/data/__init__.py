"""Data sets in, mixes out: where images come from, in which order, and how they are verified.

    from replicate import data
    mnist = data.load("mnist")
    mnist.train.images  # uint8 (60000, 28, 28, 1), canonical order
    own = data.from_arrays("own", (images, labels), (test_images, test_labels), ("cat", "dog"))

Importing this package loads neither NumPy nor TensorFlow; using them does.
"""

import importlib

from replicate.data.catalogue import CATALOGUE, ROUTES
from replicate.data.inventory import Found, inventory

_LAZY = {
    "DataCorrupt": "dataset",
    "DataError": "dataset",
    "DataUnavailable": "dataset",
    "Dataset": "dataset",
    "Split": "dataset",
    "from_arrays": "own",
    "from_folder": "own",
    "load": "loading",
}

__all__ = [  # noqa: F822 - the lazy names are given by __getattr__
    "CATALOGUE",
    "ROUTES",
    "DataCorrupt",
    "DataError",
    "DataUnavailable",
    "Dataset",
    "Found",
    "Split",
    "from_arrays",
    "from_folder",
    "inventory",
    "load",
]


def __getattr__(name):
    """Import the parts that need NumPy when they are first used."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
