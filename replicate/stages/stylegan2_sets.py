"""Synthetic sets of a StyleGAN2-ADA that was trained elsewhere, named by how its file was had.

Official is what NVIDIA's address gave, or what was put in the cache in its place: no file tells by
itself that it is NVIDIA's. Any other file is named by its content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from replicate.data.official_network import OFFICIAL, official_path
from replicate.models.stylegan2.files import load_network, official_network, sha256_of
from replicate.runs.files import project_root, write_array
from replicate.runs.seeds import trial_seed

OWN, GIVEN = "stylegan2_ada_own", "stylegan2_ada_given"
SHIPPED = Path("results", "stylegan2", "cifar10", "network.safetensors")
NEEDED = {"classes": 10, "resolution": 32, "channels": 3}  # of a network of CIFAR-10


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


def sizes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Classes, resolution and channels of a network, told by the shapes of its arrays.

    Args:
        arrays: as of `load_network`.

    Returns:
        The names of `NEEDED`; 0 where the arrays do not tell.
    """
    blocks = [re.fullmatch(r"G\.synthesis\.b(\d+)\.conv1\.weight", name) for name in arrays]
    embedding = arrays.get("G.mapping.embed.weight")
    colours = arrays.get("G.synthesis.b4.torgb.weight")
    return {
        "classes": 0 if embedding is None else embedding.shape[1],
        "resolution": max((int(block[1]) for block in blocks if block), default=0),
        "channels": 0 if colours is None else colours.shape[0],
    }


def load_checked(path):
    """A network that can draw CIFAR-10, as `load_network` reads it.

    Raises:
        ValueError: if the file is no StyleGAN2-ADA, or one of other classes or images.
        OSError: if it cannot be read.
    """
    network = load_network(path)
    sizes = sizes_of(network.arrays)
    if sizes != NEEDED:
        wanted, found = (
            ", ".join(f"{name} {size}" for name, size in each.items()) for each in (NEEDED, sizes)
        )
        raise ValueError(f"Expected a network of CIFAR-10 ({wanted}). Received: {path} ({found})")
    return network


def network_origin(network: str) -> dict[str, str]:
    """Settings that say which network draws a set.

    Args:
        network: a file, `"official"` for that which NVIDIA published, `"own"` for the shipped one.

    Returns:
        `source`, and `weights`, the first 16 digits of the file's SHA-256, unless it is official.

    Raises:
        ValueError: if the file is no StyleGAN2-ADA of CIFAR-10's classes and images.
        OSError: if it cannot be read.
    """
    if network == "official":
        return {"source": OFFICIAL}
    path = shipped_network() if network == "own" else network
    load_checked(path)
    content = sha256_of(path)
    shipped = network == "own" or _is_shipped(content)
    return {"source": OWN if shipped else GIVEN, "weights": content[:16]}


def _is_shipped(content: str) -> bool:
    path = project_root() / SHIPPED
    return path.is_file() and sha256_of(path) == content


def check_official() -> None:
    """Check the official network if it is in the cache; otherwise it is as soon as it is had.

    Raises:
        ValueError, OSError: as `load_checked`.
    """
    cached = official_path()
    if cached.is_file():
        load_checked(cached)


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
    if wanted["source"] == OFFICIAL:
        return official_network()
    if given not in (None, "official", "dcgan") and network_origin(given) == wanted:
        return shipped_network() if given == "own" else given
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
        ValueError: if the network is of other classes or images than CIFAR-10's.
    """
    from replicate.models.stylegan2.official import from_official
    from replicate.models.stylegan2.sampling import sample

    network = load_checked(network_file(trial, context.network))
    generator, _ = from_official(network.arrays, network.config)
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
