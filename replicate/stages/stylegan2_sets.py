"""Synthetic sets of a StyleGAN2-ADA that was trained elsewhere, told by the content of its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from replicate.models.stylegan2.files import LICENCE, load_network, official_network, sha256_of
from replicate.runs.files import project_root, write_array
from replicate.runs.seeds import trial_seed

OFFICIAL = "stylegan2_ada_official"
SHIPPED = Path("results", "stylegan2", "cifar10", "network.safetensors")


def shipped_network() -> Path:
    """The file of the network that this package trained on CIFAR-10.

    Raises:
        FileNotFoundError: if it is not there.
    """
    path = project_root() / SHIPPED
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected the shipped network {SHIPPED}. Received: no such file in {project_root()}; "
            "train one with `python -m replicate.models.stylegan2 train` and give its file"
        )
    return path


def network_origin(network: str) -> dict[str, str]:
    """Settings that say which network draws a set.

    NVIDIA's file is told by its licence, which converted files carry too; any other network is
    named by its content.

    Args:
        network: a file, `"official"` for that which NVIDIA published, `"own"` for the shipped one.

    Returns:
        `source`, and `weights`, the first 16 digits of the file's SHA-256, unless it is official.

    Raises:
        ValueError: if the file is no StyleGAN2-ADA.
        OSError: if it cannot be read.
    """
    if network == "own":
        network = shipped_network()
    if network == "official" or load_network(network).card.get("licence") == LICENCE:
        return {"source": OFFICIAL}
    return {"source": "stylegan2_ada_own", "weights": sha256_of(network)[:16]}


def network_file(trial, given: str | None):
    """The file of a trial's network: the given one if it is it, else the official download.

    Args:
        trial: a trial with the settings of `network_origin`.
        given: as of `network_origin`, or None.

    Raises:
        FileNotFoundError: if the trial needs another network than the given one.
        OSError: if the official one cannot be had.
    """
    wanted = {
        name: trial.settings[name] for name in ("source", "weights") if name in trial.settings
    }
    if given not in (None, "official", "dcgan") and network_origin(given) == wanted:
        return shipped_network() if given == "own" else given
    if wanted["source"] == OFFICIAL:
        return official_network()
    raise FileNotFoundError(
        f"Expected --network to be the file whose SHA-256 starts with {wanted['weights']}. "
        f"Received: --network={given}"
    )


def draw_stylegan2(trial, context, labels: np.ndarray, cut: int):
    """Draw one image a label, class by class; a stopped run goes on after the last whole class.

    Args:
        trial: see `network_file`.
        context: the worker's context; its `network` is the given one.
        labels: classes `(n,)`; those before `cut` and those after it are drawn apart.
        cut: number of training images.

    Returns:
        uint8 images `(n, resolution, resolution, channels)` and the card of the network's file.

    Raises:
        ValueError: if the network has fewer classes than there are labels.
    """
    from replicate.models.stylegan2.official import from_official
    from replicate.models.stylegan2.sampling import sample

    network = load_network(network_file(trial, context.network))
    generator, _ = from_official(network.arrays, network.config)
    if generator.c_dim <= labels.max():
        raise ValueError(
            f"Expected a network of {labels.max() + 1} classes. Received: {generator.c_dim}"
        )
    folder = context.checkpoint_dir(trial)
    folder.mkdir(parents=True, exist_ok=True)
    training = np.arange(len(labels)) < cut
    groups = [(part, k) for part in (True, False) for k in np.unique(labels[training == part])]
    images = None
    for done, (part, label) in enumerate(groups, 1):
        rows = np.flatnonzero((training == part) & (labels == label))
        path = folder / f"{'train' if part else 'test'}-{label}.npy"
        if not path.is_file():
            seed = trial_seed(trial, "synthetic/z", int(part), int(label))
            write_array(path, sample(generator, labels[rows], seed))
        drawn = np.load(path)
        images = np.empty((len(labels), *drawn.shape[1:]), np.uint8) if images is None else images
        images[rows] = drawn
        context.progress(trial, done / len(groups), "drawing")
    return images, dict(network.card)
