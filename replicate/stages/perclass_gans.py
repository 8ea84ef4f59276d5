"""Training and sampling of the GANs of single classes: `replicate.models.perclass_gan`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from replicate.data.image_files import jpeg_round_trip
from replicate.evaluation.learning_curves import adversarial_metrics, smoothed
from replicate.models.perclass_gan import ADAM, PerClassGAN
from replicate.models.summary import layer_rows
from replicate.runs.files import write_json
from replicate.runs.seeds import trial_seed, trial_stream
from replicate.runs.study import Outcome
from replicate.training.checkpoints import load_weights
from replicate.training.generator import run_generator_trial
from replicate.training.optimizers import FusedAdam
from replicate.training.telemetry import Strip

NETWORKS = ("generator", "discriminator")
AT_ONCE = 200  # images


class Pace:
    """An order of epochs that notes how long each epoch takes, from its rows to its strip.

    Args:
        order: epoch -> rows of that epoch.
    """

    def __init__(self, order: Callable[[int], np.ndarray]):
        self.order, self._starts, self._taken = order, {}, {}

    def __call__(self, epoch: int) -> np.ndarray:
        """The rows of an epoch, which begins; asked for again, it begins anew."""
        self._starts[epoch] = time.monotonic()
        return self.order(epoch)

    def end(self, epoch: int) -> None:
        """An epoch is trained."""
        self._taken[epoch] = time.monotonic() - self._starts[epoch]

    def seconds(self, epochs: int, earlier: float = 0.0) -> float:
        """Wall time of all epochs by the median of those seen, which no stall moves.

        Args:
            epochs: epochs in all.
            earlier: wall time of the processes before; it is the answer where a run that goes on
                found every epoch trained.
        """
        return epochs * float(np.median(list(self._taken.values()))) if self._taken else earlier


class PacedStrip(Strip):
    """A strip, which is asked for a snapshot after each epoch, that tells a pace of it."""

    def __init__(self, pace: Pace, draw: Callable[[], np.ndarray], every: int):
        super().__init__(draw, every)
        self.pace = pace

    def take(self, epoch: int, epochs: int) -> bool:
        """See `Strip.take`; `epoch` counts from 1."""
        self.pace.end(epoch - 1)
        return super().take(epoch, epochs)


def half_batch(settings: Mapping[str, Any], count: int) -> int:
    """Real images a step: half of the setting `batch_size`.

    Raises:
        ValueError: if a class has fewer training images; the message names `klass`.
    """
    half = settings["batch_size"] // 2
    if count < half:
        raise ValueError(
            f"Expected at least {half} training images of class {settings['klass']} of "
            f"{settings['dataset']}, half of batch_size={settings['batch_size']}. Received: {count}"
        )
    return half


def build_gan(trial, label: int) -> PerClassGAN:
    """The untrained networks of a generator trial; seeds depend on replicate and class."""
    return PerClassGAN(
        latent_dim=trial.settings["latent_dim"],
        seed=trial_seed(trial, "generator/init", label),
        noise_seed=trial_seed(trial, "generator/noise", label),
    )


def real_rows(trial, label: int, count: int, epoch: int) -> np.ndarray:
    """The real images of an epoch, drawn with replacement, half a batch an iteration.

    An epoch has as many iterations as half batches fit into the class (authors' code).

    Returns:
        int64 `(count // half * half,)`, rows below `count`.
    """
    half = half_batch(trial.settings, count)
    rng = trial_stream(trial, "generator/order", label, epoch)
    return rng.integers(0, count, count // half * half)


def train_gan(
    trial,
    context,
    images: np.ndarray,
    label: int,
    data,
    names: Mapping[int, str],
    shown: int = 5,
) -> Outcome:
    """Train the GAN of a class to its end.

    Args:
        trial: settings name `dataset`, `klass`, `epochs`, `batch_size`, `latent_dim` and
            `gan_learning_rate`.
        context: the worker's context.
        images: uint8 `(n, 64, 64, 3)`, the class's training images.
        label: the class.
        data: the data set, for the record.
        names: epoch, from 0, whose weights are kept -> name of the artifact; the last epoch is one.
        shown: fixed noises of the strip, which has about five snapshots.

    Returns:
        What `run_generator_trial` gives, the summaries of `adversarial_metrics`, `n_train`,
        `n_iterations` and `train_seconds`, the curves `d_loss_ema` and `g_loss_ema` with one number
        an iteration, and the artifact `summary`, both networks' layers.

    Raises:
        ValueError: as `half_batch`.
    """
    s, last = trial.settings, trial.settings["epochs"] - 1
    half = half_batch(s, len(images))
    network = build_gan(trial, label)
    adam = ADAM | {"learning_rate": s["gan_learning_rate"]}
    network.compile(FusedAdam(**adam), FusedAdam(**adam))
    rng = trial_stream(trial, "generator/strip", label)
    z = rng.standard_normal((shown, network.latent_dim)).astype(np.float32)
    pace = Pace(functools.partial(real_rows, trial, label, len(images)))
    outcome = run_generator_trial(
        trial,
        context,
        network,
        images / np.float32(127.5) - 1,
        np.full(len(images), label),
        pace,
        data,
        step_size=half,
        strip=PacedStrip(pace, lambda: as_bytes(network, z), -(-s["epochs"] // 5)),
        keep_weights={f"e{epoch}": epoch + 1 for epoch in names if epoch != last},
        log=True,
        checkpoint_every=max(1, s["epochs"] // 100),
    )
    seconds = pace.seconds(s["epochs"], outcome.earlier_seconds)
    outcome.metrics |= {"n_train": len(images), "train_seconds": seconds}
    paths = {last: outcome.artifacts.pop("weights")}
    paths |= {e: outcome.artifacts.pop(f"e{e}") for e in names if e != last}
    outcome.artifacts |= {names[epoch]: path for epoch, path in paths.items()}
    outcome.artifacts["summary"] = context.artifact_dir(trial) / "summary.json"
    layers = {name: layer_rows(getattr(network, name)) for name in NETWORKS}
    write_json(outcome.artifacts["summary"], layers)
    _add_losses(outcome)
    return outcome


def _add_losses(outcome):
    with np.load(outcome.artifacts["batch_loss"]) as losses:
        outcome.metrics |= {"n_iterations": len(losses["d_loss"]), **adversarial_metrics(losses)}
        for name in ("d_loss", "g_loss"):
            outcome.curves[f"{name}_ema"] = smoothed(losses[name]).round(5).tolist()


def load_gan(trial, context, name: str, label: int, network: PerClassGAN | None = None):
    """The networks behind a trial's input `generator`, the generator with released weights.

    Args:
        trial: has the input `generator`.
        context: the worker's context.
        name: artifact of the weights.
        label: the class.
        network: networks that were built before, to be filled in.
    """
    if network is None:
        network = build_gan(context.input(trial, "generator").trial, label)
    load_weights(context.input_path(trial, "generator", name), network.inference_layers())
    return network


def as_bytes(network: PerClassGAN, z: np.ndarray, storage: str = "png") -> np.ndarray:
    """A generator's images of noise, as the study stored them.

    Args:
        network: the networks.
        z: float32 `(n, latent_dim)`.
        storage: see `jpeg_round_trip`.

    Returns:
        uint8 `(n, 64, 64, 3)`; grey levels are cut to whole ones, not rounded (authors' code).
    """
    values = np.clip(0.5 * np.asarray(network.generate(z)) + 0.5, 0, 1)
    return jpeg_round_trip((255 * values).astype(np.uint8), storage=storage)


def draw_images(
    network: PerClassGAN,
    count: int,
    rng: np.random.Generator,
    storage: str,
    tell: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """Draw images in batches of 200.

    Args:
        network: the networks.
        count: number of images.
        rng: of the noise.
        storage: see `jpeg_round_trip`.
        tell: called with the fraction done.

    Returns:
        uint8 `(count, 64, 64, 3)`.
    """
    parts = []
    for start in range(0, count, AT_ONCE):
        z = rng.standard_normal((min(AT_ONCE, count - start), network.latent_dim))
        parts.append(as_bytes(network, z.astype(np.float32), storage))
        tell(min(1.0, (start + AT_ONCE) / count))
    return np.concatenate(parts)
