"""`python -m replicate.models.stylegan2 train`: StyleGAN2-ADA on CIFAR-10 or on one's own images.

The folder of a run holds checkpoints, a sample sheet a snapshot, curves over thousands of images
(kimg) and the network as `sample` and `from_official` read it. The same command goes on where it
was stopped; a larger `--kimg` trains longer.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from replicate.data.catalogue import CATALOGUE
from replicate.runs.files import check_folder, check_workdir, nearest_existing
from replicate.runs.seeds import stream
from replicate.runs.trial import Trial
from replicate.runs.worker import configure_tensorflow, thread_profile
from replicate.training.stylegan2_options import TrainingOptions

STREAM = "stylegan2"  # of the random streams, in place of a study's name
SIZES = {  # arguments of replicate.models.stylegan2.cifar, with what they are
    "channel_base": "channels at r pixels are channel_base / r ...",
    "channel_max": "... but no more than this",
    "z_dim": "dimensions of the latent",
    "w_dim": "dimensions of w",
    "conv_clamp": "largest absolute value of a map, 0: no bound",
    "mbstd_group_size": "images a group of the minibatch standard deviation",
}
DEFAULT_SIZES = (32768, 512, 512, 512, 256.0, 32)
MEANINGS = {
    "learning_rate": "of both networks",
    "beta_1": "of Adam",
    "beta_2": "of Adam",
    "epsilon": "of Adam",
    "gamma": "weight of the R1 penalty, 0: none",
    "d_interval": "steps from one R1 penalty to the next",
    "g_interval": "steps that the generator's Adam is compensated for",
    "ema_kimg": "half-life of the average of weights",
    "ema_ramp": "bounds that by this share of the images seen, 0: no bound",
    "policy": "augmentation: bgc, bg, blit, geom, color, none, or transforms such as xflip,hue",
    "augment_p": "probability of augmentation at the start",
    "ada_target": "wanted mean sign of D on real images, 0: the probability stays",
    "ada_interval": "steps from one adjustment of the probability to the next",
    "ada_kimg": "kimg in which the probability can go from 0 to 1",
}
NOT_IN_SPEC = ("dataset", "data_dir", "workdir", "kimg", "snapshot_ticks", "per_class", "frechet")
NOT_IN_SPEC += ("frechet_images", "classifier_epochs", "inception_weights")


class Images(NamedTuple):
    """Training images: uint8 `(n, height, width, channels)`, int64 labels, content hash."""

    images: Any
    labels: Any
    num_classes: int
    sha256: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if it is done; 1 if the data do not fit, or the folder's run; 2 for a wrong flag; 130 if
        interrupted.
    """
    options = parser().parse_args(arguments)
    try:
        check(options)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if "tensorflow" not in sys.modules:  # threads can be set only before it starts
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        configure_tensorflow(thread_profile("generator"))
    try:
        train(options)
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The flags: data and length, networks, training, what is written."""
    flags = argparse.ArgumentParser(
        prog="python -m replicate.models.stylegan2 train",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = flags.add_argument
    add("--dataset", required=True, help="cifar10, ..., or a set of images, .safetensors")
    add("--data_dir", help="folder of prepared TFDS data")
    add("--unconditional", action="store_true", help="networks are not told labels")
    add("--kimg", type=float, default=100_000.0, help="thousands of images to train on in all")
    add("--batch_size", type=int, default=64, help="images a step")
    add("--seed", type=int, default=0, help="of weights, order and noise")
    add("--workdir", help="folder of the run; default: runs/stylegan2/<dataset>")
    for (name, meaning), default in zip(SIZES.items(), DEFAULT_SIZES, strict=True):
        add(f"--{name}", type=type(default), default=default, help=meaning)
    for field in dataclasses.fields(TrainingOptions):
        kind = type(field.default)
        add(f"--{field.name}", type=kind, default=field.default, help=MEANINGS[field.name])
    add("--tick_kimg", type=float, default=4.0, help="kimg from one checkpoint to the next")
    add("--snapshot_ticks", type=int, default=50, help="checkpoints from one snapshot to the next")
    add("--per_class", type=int, default=16, help="images of each class on a sheet")
    features = ("none", "classifier", "inception_imagenet")
    add("--frechet", choices=features, default="none", help="features of snapshots' distance")
    add("--frechet_images", type=int, default=10_000, help="images of either kind in a distance")
    add("--classifier_epochs", type=int, default=5, help="epochs of the distance's classifier")
    add("--inception_weights", help="file of Keras' InceptionV3 without its top")
    return flags


def folder_of(options: argparse.Namespace) -> Path:
    """The folder of a run."""
    return Path(options.workdir or Path("runs", "stylegan2", Path(options.dataset).stem))


def check(options: argparse.Namespace) -> None:
    """Refuse wrong flags as far as they can be known before TensorFlow and the data are loaded.

    Raises:
        FileNotFoundError: if a file or folder that they name is not there.
        NotADirectoryError: if the workdir is a file or lies in one.
        PermissionError: if the workdir cannot be written.
        ValueError: if a data set is unknown or a number does not fit.
    """
    if options.dataset.endswith(".safetensors"):
        if not os.path.isfile(options.dataset):
            raise FileNotFoundError(
                f"Expected --dataset to be a file. Received: {options.dataset!r}, not there"
            )
    elif options.dataset not in CATALOGUE:
        raise ValueError(
            f"Expected --dataset of {', '.join(CATALOGUE)}, or a set of images, .safetensors. "
            f"Received: {options.dataset!r}"
        )
    check_folder("data_dir", options.data_dir)
    folder = folder_of(options)
    check_workdir(folder)
    if not os.access(nearest_existing(folder), os.W_OK):
        raise PermissionError(f"Expected --workdir to be writable. Received: {folder}")
    if not 0 < options.kimg < math.inf:
        raise ValueError(f"Expected a finite kimg > 0. Received: kimg={options.kimg:g}")
    group = min(options.mbstd_group_size, options.batch_size)
    if options.batch_size < 1 or options.batch_size % max(group, 1):
        raise ValueError(
            f"Expected a batch_size that is a multiple of {group}, mbstd_group_size. "
            f"Received: batch_size={options.batch_size}"
        )
    if options.snapshot_ticks < 1:
        raise ValueError(
            f"Expected snapshot_ticks >= 1. Received: snapshot_ticks={options.snapshot_ticks}"
        )


def load_images(options: argparse.Namespace) -> Images:
    """The training images of a data set of the catalogue, or all of a stored set.

    Raises:
        ValueError: if they are not square, a power of two a side and at least 8.
    """
    if options.dataset.endswith(".safetensors"):
        from replicate.data.synthetic import load_synthetic
        from replicate.evaluation.images import to_uint8

        stored = load_synthetic(options.dataset)
        images = to_uint8(stored.images)
        found = Images(images, stored.labels, int(stored.labels.max()) + 1, stored.sha256)
    else:
        from replicate.data import load

        data = load(options.dataset, data_dir=options.data_dir)
        split = data.train
        found = Images(split.images, split.labels, len(data.class_names), split.sha256)
    height, width, channels = found.images.shape[1:]
    if height != width or height < 8 or height & (height - 1) or channels not in (1, 3):
        raise ValueError(
            "Expected square images, a power of two and at least 8 pixels a side, of 1 or 3 "
            f"channels. Received: {height} x {width} x {channels} in {options.dataset}"
        )
    return found._replace(num_classes=0) if options.unconditional else found


def infinite_order(seed: int, count: int, images: int) -> Callable[[int], Any]:
    """Order of a tick: `images` rows of an endless sequence of permutations of `count`.

    A function of the tick alone, so that a run can go on anywhere.
    """
    import numpy as np

    def order(tick):
        start, stop = tick * images, (tick + 1) * images
        turns = range(start // count, -(-stop // count))
        rows = [stream(seed, STREAM, 0, "order", turn).permutation(count) for turn in turns]
        first = start - turns[0] * count
        return np.concatenate(rows)[first : first + images]

    return order


def train(options: argparse.Namespace) -> None:
    """Train from the last checkpoint, or from the start, to `--kimg`.

    Args:
        options: the flags, see `check`.

    Raises:
        ValueError: if data do not fit, or the folder holds a run of other flags.
    """
    import numpy as np

    from replicate.runs.seeds import stream_seed
    from replicate.training.generator import named_optimizers, train_generator
    from replicate.training.stylegan2 import new_model
    from replicate.training.stylegan2_snapshots import CurveCheckpoints, Snapshots

    data = load_images(options)
    folder = folder_of(options)
    names = [field.name for field in dataclasses.fields(TrainingOptions)]
    model = new_model(
        data.num_classes,
        data.images.shape[1],
        TrainingOptions(**{name: getattr(options, name) for name in names}),
        np.bincount(data.labels, minlength=data.num_classes) if data.num_classes else None,
        stream_seed(options.seed, STREAM, 0, "init"),
        stream_seed(options.seed, STREAM, 0, "noise"),
        img_channels=data.images.shape[-1],
        **{name: getattr(options, name) for name in SIZES}
        | {"conv_clamp": options.conv_clamp or None},
    )
    tick = max(1, round(1000 * options.tick_kimg / options.batch_size)) * options.batch_size
    ticks = max(1, round(1000 * options.kimg / tick))
    snapshots = Snapshots(
        model,
        folder,
        tick,
        _is_due(ticks, options.snapshot_ticks),
        options.per_class,
        {"source": "trained by replicate, not an official network", "data_sha256": data.sha256},
        None if options.frechet == "none" else Distance(data, folder, options),
    )
    owners = {"model": model, **named_optimizers(model)}
    train_generator(
        model,
        data.images,
        data.labels,
        epochs=ticks,
        batch_size=options.batch_size,
        order=infinite_order(options.seed, len(data.images), tick),
        checkpoints=CurveCheckpoints(folder, _spec(options, data), owners, tick),
        progress=lambda done, text: print(f"{done:7.2%} {text}", flush=True),
        after_epoch=snapshots.take,
    )
    snapshots.complete(ticks)
    print(f"{folder}: {ticks * tick / 1000:g} kimg")


def _spec(options: argparse.Namespace, data: Images) -> Trial:
    """What a checkpoint must agree in; the length of training and what is written may change."""
    settings = {k: v for k, v in vars(options).items() if k not in NOT_IN_SPEC}
    return Trial(STREAM, "train", 1, settings | {"data_sha256": data.sha256})


def _is_due(ticks: int, every: int) -> Callable[[int], bool]:
    """Whether a snapshot is due after some ticks: every so many, and at the end."""
    return lambda done: done % every == 0 or done == ticks


class Distance:
    """Fréchet distance between generated and real images, as many of either kind.

    Args:
        data: the real images.
        folder: folder of the run, which keeps the classifier.
        options: the command's flags.

    Raises:
        ValueError: if there are too few images, or a classifier lacks labels.
    """

    def __init__(self, data: Images, folder: Path, options: argparse.Namespace):
        self.data, self.folder, self.options = data, folder, options
        self.name = f"frechet_{options.frechet}"
        self._features = self._real = None
        if not 2 <= options.frechet_images <= len(data.images):
            raise ValueError(
                f"Expected 2 to {len(data.images)} images for a distance. "
                f"Received: frechet_images={options.frechet_images}"
            )
        if options.frechet == "classifier" and len(set(data.labels.tolist())) < 2:
            raise ValueError("Expected images of two classes for --frechet=classifier.")

    def __call__(self, generator) -> float:
        """The distance of a generator; its labels are those of the real images."""
        from replicate.evaluation.frechet import frechet_distance
        from replicate.models.stylegan2.sampling import sample

        count, seed = self.options.frechet_images, self.options.seed
        rows = stream(seed, STREAM, 0, "frechet").permutation(len(self.data.images))[:count]
        if self._real is None:
            self._features = self._extractor().features
            self._real = self._features(self.data.images[rows])
        drawn = sample(generator, self.data.labels[rows], seed + 1, noise_mode="random")
        return frechet_distance(self._features(drawn), self._real)

    def _extractor(self):
        from replicate.evaluation.extractors import classifier_features, inception_imagenet

        if self.options.frechet == "inception_imagenet":
            return inception_imagenet(self.options.inception_weights)
        from replicate.models.classifiers import build_strided_cnn
        from replicate.training.checkpoints import load_weights, save_weights

        shape = self.data.images.shape[1:]
        network = build_strided_cnn(3, shape, int(self.data.labels.max()) + 1, self.options.seed)
        path = self.folder / "classifier.safetensors"
        if not path.exists():
            self._fit(network)
            save_weights(path, {"classifier": network}, {"data_sha256": self.data.sha256})
        load_weights(path, {"classifier": network})
        return classifier_features(network, 1 / 127.5, -1.0)

    def _fit(self, network) -> None:
        """Train on all real images, scaled to [-1, 1]."""
        import keras
        import tensorflow as tf

        from replicate.training.loop import resident_steps, run_epoch
        from replicate.training.optimizers import FusedAdam

        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer, variables = FusedAdam(), network.trainable_variables
        optimizer.build(variables)

        def step(images, labels):
            with tf.GradientTape() as tape:
                logits = network(tf.cast(images, tf.float32) / 127.5 - 1.0, training=True)
                loss = entropy(labels, logits)
            optimizer.apply(tape.gradient(loss, variables), variables)
            return {"loss": loss}

        run = resident_steps(step, tf.constant(self.data.images), tf.constant(self.data.labels))
        for epoch in range(self.options.classifier_epochs):
            rows = stream(self.options.seed, STREAM, 0, "classifier", epoch)
            rows = rows.permutation(len(self.data.images))
            run_epoch(run, rows, 64, lambda *_: None)


if __name__ == "__main__":
    sys.exit(main())
