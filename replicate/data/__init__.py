"""Data sets in, mixes out: where images come from, in which order, and how they are verified."""

from replicate.data.catalogue import CATALOGUE
from replicate.data.dataset import DataCorrupt, DataError, Dataset, DataUnavailable, Split
from replicate.data.loading import load

__all__ = [
    "CATALOGUE",
    "DataCorrupt",
    "DataError",
    "DataUnavailable",
    "Dataset",
    "Split",
    "load",
]
