"""The compressed copy of MNIST inside this package.

The file is one xz stream of four `.npy` arrays in canonical order: training images and labels,
then test images and labels. MNIST is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np

from replicate.data.catalogue import Entry
from replicate.data.dataset import SPLITS, Arrays, DataCorrupt


def read_packaged(entry: Entry, path: Path) -> Arrays:
    """Read the packaged copy.

    Returns:
        Split name to `(images, labels)`.

    Raises:
        DataCorrupt: if the file does not decompress to the arrays.
    """
    arrays = {}
    try:
        with lzma.open(path) as file:
            for split in SPLITS:
                images = np.lib.format.read_array(file)
                arrays[split] = images, np.lib.format.read_array(file)
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise DataCorrupt(
            f"{entry.name}: {path} (route package) cannot be read: {error}. Install this package "
            "again."
        ) from error
    return arrays


def write_packaged(path: Path, arrays: Arrays) -> None:
    """Write a packaged copy from canonical arrays (how `mnist.npy.xz` was made; two minutes).

    Args:
        path: File to write.
        arrays: Split name to canonical `(images, labels)`, images uint8.
    """
    options = {"id": lzma.FILTER_LZMA2, "preset": 6 | lzma.PRESET_EXTREME, "pb": 0, "lc": 4}
    with lzma.open(path, "wb", filters=[options]) as file:
        for split in SPLITS:
            images, labels = arrays[split]
            np.lib.format.write_array(file, np.ascontiguousarray(images))
            np.lib.format.write_array(file, np.ascontiguousarray(labels.astype(np.uint8)))
