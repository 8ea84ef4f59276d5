"""Routes through TensorFlow Datasets: a prepared folder, and its own download."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from replicate.data.catalogue import Entry
from replicate.data.dataset import SPLITS, DataCorrupt

_INFO = "dataset_info.json"
_BATCH = 1000

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def data_dir_or_default(data_dir: str | os.PathLike | None = None) -> Path:
    """The folder of prepared data: the argument, else `TFDS_DATA_DIR`, else TFDS' own default."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def prepared_folder(entry: Entry, data_dir: Path) -> Path | None:
    """The newest prepared version of a data set, `<data_dir>/<name>/<version>`, or None."""
    versions = {}
    for info in data_dir.glob(f"{entry.name}/*/{_INFO}"):
        parts = info.parent.name.split(".")
        if all(part.isdigit() for part in parts):
            versions[tuple(map(int, parts))] = info.parent
    return versions[max(versions)] if versions else None


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
    except Exception as error:  # TFDS raises many kinds on a damaged description
        raise _damaged(entry, folder / _INFO, error) from error
    arrays = {}
    for split in SPLITS:
        if split not in builder.info.splits:
            raise DataCorrupt(f"{entry.name}: expected a split {split!r} in {folder}. Found none.")
        try:
            arrays[split] = _read_split(builder, split)
        except Exception as error:
            files = [Path(name) for name in builder.info.splits[split].filepaths]
            raise _damaged(entry, _damaged_file(files), error) from error
    return arrays


def _read_split(builder, split: str) -> tuple[np.ndarray, np.ndarray]:
    # The order of reading does not matter, since the result is sorted.
    batches = list(builder.as_dataset(split=split, batch_size=_BATCH).as_numpy_iterator())
    images = np.concatenate([batch["image"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])
    return images, labels


def _damaged_file(files: list[Path]) -> Path:
    """The first file that is missing or does not read to its end, else their folder."""
    import tensorflow as tf

    for file in files:
        try:
            for _ in tf.data.TFRecordDataset(str(file)):
                pass
        except Exception:
            return file
    return files[0] if len(files) == 1 else files[0].parent


def _damaged(entry: Entry, path: Path, error: Exception) -> DataCorrupt:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
    return DataCorrupt(
        f"{entry.name}: {path} (route tfds_folder) cannot be read: {type(error).__name__}: {reason}"
    )
