"""What is seen of a training run while it goes: TensorBoard events and a picture of fixed noise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from replicate.runs.files import write_atomic


class Strip:
    """Images of the same noise over the epochs.

    Args:
        draw: returns images uint8 `(n, height, width, channels)` of the fixed noise, as the network
            now draws them.
        every: epochs from one snapshot to the next, >= 1; the last epoch always has one.
        also: further epochs that have one.

    Raises:
        ValueError: if `every` < 1.
    """

    def __init__(self, draw: Callable[[], np.ndarray], every: int, also: Collection[int] = ()):
        if every < 1:
            raise ValueError(f"Expected every >= 1. Received: every={every}")
        self.draw, self.every, self.also = draw, every, also
        self._snapshots: dict[int, np.ndarray] = {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put back what `arrays` gave; nothing, if there is nothing."""
        epochs = arrays.get("epochs", np.zeros(0, np.int64)).tolist()
        self._snapshots = dict(zip(epochs, arrays.get("images", ()), strict=True))

    def take(self, epoch: int, epochs: int) -> bool:
        """Draw a snapshot after `epoch` of `epochs`, if one is due; returns whether."""
        due = epoch % self.every == 0 or epoch == epochs or epoch in self.also
        if due:
            self._snapshots[epoch] = np.asarray(self.draw())
        return due

    def arrays(self) -> dict[str, np.ndarray]:
        """`images` uint8 `(snapshots, n, height, width, channels)` and `epochs` int64; or none."""
        if not self._snapshots:
            return {}
        epochs = np.array(list(self._snapshots), np.int64)
        return {"images": np.stack(list(self._snapshots.values())), "epochs": epochs}


class TrainingLog:
    """Scalars of every step and the strip's snapshots, as TensorBoard events and `strip.png`.

    Each start writes the whole history into a new event file and removes the old one: a run that
    was killed between a checkpoint and its log neither lacks a step nor has one twice.

    Args:
        folder: folder of one training run; made if need be.
        steps: steps an epoch.
    """

    def __init__(self, folder: Path, steps: int):
        self.folder, self.steps = Path(folder), steps
        self.folder.mkdir(parents=True, exist_ok=True)
        old = list(self.folder.glob("events.out.tfevents.*"))
        name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        self._writer = tf.io.TFRecordWriter(str(self.folder / name))
        self._write(0, file_version="brain.Event:2")
        self._shown = 0
        for path in old:
            path.unlink()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, *_) -> None:
        self._writer.close()

    def scalars(self, first: int, values: Mapping[str, np.ndarray]) -> None:
        """Log some steps.

        Args:
            first: number of the first of them, from 0.
            values: name -> the value of each step.
        """
        for index, row in enumerate(zip(*values.values(), strict=True)):
            pairs = zip(values, map(float, row), strict=True)
            entries = [tf.compat.v1.Summary.Value(tag=k, simple_value=v) for k, v in pairs]
            self._write(first + index, summary=tf.compat.v1.Summary(value=entries))
        self._writer.flush()

    def strip(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Log the snapshots that are new, and draw the whole strip: a row a snapshot."""
        if len(arrays.get("epochs", ())) == self._shown:
            return
        rows = [np.concatenate(list(images), axis=1) for images in arrays["images"]]
        for epoch, row in list(zip(arrays["epochs"], rows, strict=True))[self._shown :]:
            height, width, channels = row.shape
            picture = tf.compat.v1.Summary.Image(
                height=height, width=width, colorspace=channels, encoded_image_string=_png(row)
            )
            entry = tf.compat.v1.Summary.Value(tag="fixed noise", image=picture)
            step = int(epoch) * self.steps - 1
            self._write(step, summary=tf.compat.v1.Summary(value=[entry]))
        self._writer.flush()
        self._shown = len(rows)
        picture = _png(np.concatenate(rows, axis=0))
        write_atomic(self.folder / "strip.png", lambda path: path.write_bytes(picture))

    def _write(self, step: int, **fields) -> None:
        event = tf.compat.v1.Event(wall_time=time.time(), step=step, **fields)
        self._writer.write(event.SerializeToString())


def _png(image: np.ndarray) -> bytes:
    return tf.io.encode_png(image).numpy()
