"""Routes through TensorFlow Datasets: a prepared folder, and its own download."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from replicate.data import download, places
from replicate.data.catalogue import Entry
from replicate.data.dataset import SPLITS, Arrays, DataCorrupt, DataUnavailable

_BATCH = 1000
_PREPARE = (
    "import importlib, sys, tensorflow_datasets as tfds; "
    "[importlib.import_module(name) for name in sys.argv[3:]]; "
    "tfds.builder(sys.argv[1], data_dir=sys.argv[2]).download_and_prepare()"
)


def read_prepared(entry: Entry, folder: Path) -> Arrays:
    """Read every split of a prepared folder, in the folder's order.

    Args:
        entry: The data set.
        folder: `<data_dir>/<name>/<version>`.

    Returns:
        Split name to `(images, labels)`.

    Raises:
        DataCorrupt: if the folder cannot be read; the message names the damaged file.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(str(folder))
        present = set(builder.info.splits)
    except Exception as error:  # noqa: BLE001 - TFDS raises many kinds on a damaged description
        raise _damaged(entry, folder / places.INFO_FILE, error) from error
    missing = [split for split in SPLITS if split not in present]
    if missing:
        raise DataCorrupt(
            f"{entry.name}: {folder} (route tfds_folder): expected splits {', '.join(SPLITS)}. "
            f"Received: {', '.join(sorted(present)) or 'none'}"
        )
    return {split: _read_split(entry, builder, split) for split in SPLITS}


def _read_split(entry: Entry, builder, split: str) -> tuple[np.ndarray, np.ndarray]:
    import tensorflow_datasets as tfds
    from tqdm import tqdm

    # Autocaching would keep a second copy; the order does not matter, as the result is sorted.
    config = tfds.ReadConfig(try_autocache=False)
    title, total = f"{entry.name} {split}", entry.counts[split]
    bar = tqdm(desc=title, total=total, unit="img", leave=False, disable=None, delay=2)
    images, labels = [], []
    try:
        dataset = builder.as_dataset(split=split, batch_size=_BATCH, read_config=config)
        with bar:
            for batch in dataset.as_numpy_iterator():
                images.append(batch["image"])
                labels.append(batch["label"])
                bar.update(len(batch["label"]))
        return np.concatenate(images), np.concatenate(labels)
    except Exception as error:  # noqa: BLE001 - TensorFlow and TFDS raise many kinds
        files = [Path(name) for name in builder.info.splits[split].filepaths]
        raise _damaged(entry, _damaged_file(files), error) from error


def _damaged_file(files: list[Path]) -> Path:
    """The first file that is missing or does not read to its end, else their folder."""
    import tensorflow as tf

    for file in files:
        try:
            for _ in tf.data.TFRecordDataset(str(file)):
                pass
        except tf.errors.OpError:
            return file
    return files[0] if len(files) == 1 else files[0].parent


def _damaged(entry: Entry, path: Path, error: Exception) -> DataCorrupt:
    reason = " ".join(str(error).split())[:200]
    return DataCorrupt(
        f"{entry.name}: {path} (route tfds_folder) cannot be read: {type(error).__name__}: {reason}"
    )


def download_prepared(entry: Entry, workspace: Path) -> Arrays:
    """Let TensorFlow Datasets download and prepare the data set in a folder, and read it.

    It runs in a process of its own, which is ended when nothing arrives any more.

    Args:
        entry: The data set.
        workspace: Folder for the download.

    Returns:
        Split name to `(images, labels)`.

    Raises:
        DataUnavailable: if a host does not answer, or the download fails or takes too long.
    """
    download.probe(entry.download_urls)
    command = [sys.executable, "-c", _PREPARE, entry.name, str(workspace)]
    command += [entry.builder] if entry.builder else []
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    what = f"TensorFlow Datasets' download of {entry.name}"
    download.run_watched(what, command, workspace, download.TOTAL_SECONDS, True, quiet)
    folder = places.prepared_folder(entry, workspace)
    if folder is None:
        raise DataUnavailable("TensorFlow Datasets ended without a prepared folder")
    return read_prepared(entry, folder)
