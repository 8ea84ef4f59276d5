"""What is kept of a StyleGAN2 as it trains: sample sheets, the network, curves over kimg."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from replicate.models.stylegan2 import to_official, write_converted
from replicate.models.stylegan2.sampling import sample, sheet
from replicate.runs.files import write_atomic
from replicate.training.checkpoints import Checkpoints
from replicate.training.generator import epoch_means
from replicate.training.stylegan2_curves import read_rows, write_rows


class CurveCheckpoints(Checkpoints):
    """Checkpoints of a `StyleGAN2`, one a tick, that write `curves.csv` up to them as well.

    Args:
        folder: folder of the run.
        trial: as for `Checkpoints`.
        owners: as for `Checkpoints`.
        tick: images a tick.
    """

    def __init__(self, folder: Path, trial, owners, tick: int):
        super().__init__(folder / "checkpoints", trial, owners)
        self.curves, self.tick = folder / "curves.csv", tick

    def save(self, step, arrays=None):
        """Write the state after tick `step`, and each tick's means and last probability."""
        path = super().save(step, arrays)
        columns = {name: epoch_means(array, step) for name, array in arrays.items()}
        columns["augment_p"] = arrays["augment_p"].reshape(step, -1)[:, -1].tolist()
        columns = {"kimg": [(done + 1) * self.tick / 1000 for done in range(step)], **columns}
        table = zip(*columns.values(), strict=True)
        write_rows(self.curves, [dict(zip(columns, row, strict=True)) for row in table])
        return path


class Snapshots:
    """The average generator's sample sheet, the network and a distance, now and then.

    Args:
        model: the `StyleGAN2` that is trained.
        folder: folder of the run.
        tick: images a tick.
        due: number of ticks done -> whether a snapshot is due.
        per_class: images of each class on a sheet.
        card: where the network comes from, text by name.
        distance: the average generator -> its distance from real images, with a `name`; or None.
        seed: seed of the sheets' latents.
    """

    def __init__(
        self,
        model,
        folder: Path,
        tick: int,
        due: Callable[[int], bool],
        per_class: int,
        card: Mapping[str, str],
        distance=None,
        seed: int = 0,
    ):
        self.model, self.folder, self.tick, self.due = model, folder, tick, due
        self.per_class, self.card, self.distance, self.seed = per_class, card, distance, seed

    def take(self, done: int) -> None:
        """Write a snapshot after `done` ticks, if one is due; again if a kill undid the tick."""
        if not self.due(done):
            return
        kimg = done * self.tick / 1000
        self._write_sheet(self._sheet(done))
        self._write_network(self.folder / "network.safetensors", kimg)
        if self.distance is not None:
            path = self.folder / f"{self.distance.name}.csv"
            row = {"kimg": kimg, self.distance.name: self.distance(self.model.average)}
            write_rows(path, [old for old in read_rows(path) if old["kimg"] < kimg] + [row])

    def complete(self, done: int) -> None:
        """Write the snapshot of the end if it is not there: this end was a tick without one."""
        if not self._sheet(done).exists():
            self.take(done)

    def _sheet(self, done: int) -> Path:
        return self.folder / "sheets" / f"kimg-{done * self.tick / 1000:09.3f}.png"

    def _write_sheet(self, path: Path) -> None:
        from PIL import Image

        classes = max(1, self.model.average.c_dim)
        labels = np.repeat(np.arange(classes), self.per_class)
        picture = sheet(sample(self.model.average, labels, self.seed), self.per_class)
        picture = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
        write_atomic(path, lambda temporary: picture.save(temporary, format="png"))

    def _write_network(self, path: Path, kimg: float) -> None:
        """The average generator and the discriminator, float16, as `from_official` takes them."""
        discriminator = self.model.discriminator
        arrays = to_official(self.model.average, discriminator)
        config = {name: getattr(discriminator, name) for name in ("mbstd_group_size", "conv_clamp")}
        write_converted(
            path,
            {name: array.astype(np.float16) for name, array in arrays.items()},
            config,
            {**self.card, "kimg": f"{kimg:g}"},
        )
