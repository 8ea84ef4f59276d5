"""Network files: the official pickle, our safetensors of it, and where the official one is had."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from replicate.models.stylegan2.official_pickle import MAX_BYTES, read_official_pickle

OFFICIAL_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/cifar10.pkl"
FORMAT = "stylegan2-ada official arrays"
LICENCE = (
    "weights that NVIDIA published are for non-commercial use, i.e. research or evaluation, only "
    "(NVIDIA Source Code License for StyleGAN2-ADA)"
)
ANSWER_SECONDS = 5.0
TOTAL_SECONDS = 1800.0


class NetworkUnavailable(OSError):
    """The official network is neither in the cache nor to be had from the internet."""


class NetworkFile(NamedTuple):
    """What a network file holds: arrays and configuration for `from_official`, and its card."""

    arrays: dict[str, np.ndarray]
    config: dict[str, Any]
    card: dict[str, str]


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert(source: str | os.PathLike, target: str | os.PathLike) -> NetworkFile:
    """Read an official pickle and write it as safetensors; returns what was written."""
    arrays, config = read_official_pickle(source)
    card = {"source": Path(source).name, "sha256": sha256_of(source), "licence": LICENCE}
    write_converted(target, arrays, config, card)
    return NetworkFile(arrays, config, card)


def write_converted(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    card: Mapping[str, str],
) -> None:
    """Write official arrays as safetensors, whole or not at all.

    Args:
        path: the file.
        arrays: as `from_official` takes them.
        config: as `from_official` takes it.
        card: where the weights come from and their licence, text by name.
    """
    facts = {"format": FORMAT, "config": dict(config), "card": dict(card)}
    metadata = {"stylegan2": json.dumps(facts, sort_keys=True)}  # one entry: their order is random
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
    os.close(handle)
    try:
        save_file({k: np.array(v, order="C") for k, v in arrays.items()}, name, metadata)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def load_converted(path: str | os.PathLike) -> NetworkFile:
    """Read a file of `write_converted`.

    Raises:
        ValueError: if it is another kind of file or damaged.
    """
    try:
        with safe_open(path, "np") as file:
            facts = json.loads((file.metadata() or {}).get("stylegan2", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(
            f"Expected an official pickle or safetensors of a converted network. "
            f"Received: {path} ({error})"
        ) from error
    if facts.get("format") != FORMAT:
        raise ValueError(f"Expected safetensors of a converted network. Received: {path}")
    return NetworkFile(arrays, facts["config"], facts["card"])


def load_network(path: str | os.PathLike) -> NetworkFile:
    """Read an official pickle or a converted file, told apart by content; names the licence.

    Raises:
        ValueError: if it is neither, damaged or hostile.
        OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(9)
    if start[:1] == b"\x80" and start[8:] != b"{":  # "{": the header of safetensors
        arrays, config = read_official_pickle(path)
        card = {"source": Path(path).name, "sha256": sha256_of(path), "licence": LICENCE}
        network = NetworkFile(arrays, config, card)
    else:
        network = load_converted(path)
    if network.card.get("licence"):
        logging.getLogger(__name__).warning("%s: %s", path, network.card["licence"])
    return network


def official_network(url: str = OFFICIAL_URL) -> Path:
    """The official class-conditional CIFAR-10 network file, downloaded once into the cache.

    The cache is `REPLICATE_CACHE`, else `~/.cache/replicate`.

    Raises:
        NetworkUnavailable: if it is not in the cache and cannot be downloaded.
    """
    cache = Path(os.environ.get("REPLICATE_CACHE") or "~/.cache/replicate").expanduser()
    path = cache / "stylegan2" / url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            _download(url, file)
        os.replace(name, path)
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors
        raise NetworkUnavailable(
            f"The official network is not at {path} and could not be downloaded from {url}: "
            f"{error}. Put the file there, or give the path of a copy "
            "(--network=path), which is then named by its content and not scored."
        ) from error
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def _download(url: str, file) -> None:
    deadline = time.monotonic() + TOTAL_SECONDS
    with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
        expected = answer.headers.get("Content-Length")
        while block := answer.read(1 << 20):
            file.write(block)
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete after {TOTAL_SECONDS:g} s")
            if file.tell() > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES:,} bytes")
    if expected is not None and file.tell() != int(expected):
        raise ValueError(f"ended after {file.tell():,} of {int(expected):,} bytes")
