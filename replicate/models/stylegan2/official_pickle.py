"""Reader of NVIDIA's StyleGAN2-ADA network files of the PyTorch generation.

The files are pickles with the networks' source code inside. Nothing in them is imported or run, and
neither torch nor the official code is needed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from replicate.models.stylegan2.pickle_machine import PickleMachine, UnsafePickle
from replicate.models.stylegan2.pickle_values import CONSTRUCTORS, Persistent

MAX_BYTES = 1 << 30  # official files have up to 400 MB
MAX_NAME = 100  # characters
# Constructor arguments in their order, and the official defaults of those that arrays do not tell.
_ARGUMENTS = {
    "Generator": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    + ("mapping_kwargs", "synthesis_kwargs"),
    "Discriminator": ("c_dim", "img_resolution", "img_channels", "architecture", "channel_base")
    + ("channel_max", "num_fp16_res", "conv_clamp", "cmap_dim", "block_kwargs")
    + ("mapping_kwargs", "epilogue_kwargs"),
}
_FIXED = {  # what the networks here do not vary
    "activation": "lrelu",
    "resample_filter": [1, 3, 3, 1],
    "lr_multiplier": 0.01,
    "use_noise": True,
}


def read_official_pickle(
    path: str | os.PathLike, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a network file (`.pkl`) of stylegan2-ada-pytorch as data.

    Args:
        path: the file.
        max_bytes: largest size of the file, and of the arrays in all.

    Returns:
        arrays: `G.<module path>` of the averaged generator (`G_ema`) and `D.<module path>`, with
            buffers, in the official layout.
        config: what arrays do not tell, as `from_official` takes it: `architecture`,
            `mbstd_group_size`, `mbstd_num_channels`, `conv_clamp`.

    Raises:
        UnsafePickle: (a ValueError) if the file is larger, damaged or cut off, names another
            global than these files do, or is built otherwise than official networks.
        OSError: if the file cannot be read.
    """
    path = Path(path)
    try:
        networks = _load(path, max_bytes)
        arrays = {}
        for letter, key in (("G", "G_ema"), ("D", "D")):
            for name, array in _arrays(networks[key], f"{letter}."):
                arrays[name] = array
        total = sum(array.nbytes for array in arrays.values())
        if total > max_bytes:  # before any view of a storage is copied
            raise UnsafePickle(
                f"Expected arrays of {max_bytes:,} bytes at most. Received: {total:,}"
            )
        config = _config(networks["G_ema"], networks["D"])
    except UnsafePickle as error:
        raise UnsafePickle(f"{path}: {error}") from error
    return {name: np.array(array, order="C") for name, array in arrays.items()}, config


def _load(path: Path, max_bytes: int) -> dict[str, Persistent]:
    size = path.stat().st_size
    if size > max_bytes:
        raise UnsafePickle(f"Expected a file of {max_bytes:,} bytes at most. Received: {size:,}")
    data = path.read_bytes()
    if data[:1] != b"\x80":
        raise UnsafePickle(
            "Expected a pickle of protocol 2 or later. Received: another kind of file"
        )
    if b"dnnlib.tflib" in data[:4096]:
        raise UnsafePickle(
            "Expected a network of the PyTorch generation. Received: one of the TensorFlow "
            "generation; the official legacy.py converts it"
        )
    value = PickleMachine(CONSTRUCTORS).load(io.BytesIO(data))
    if not isinstance(value, dict):
        raise UnsafePickle(f"Expected a dictionary. Received: {type(value).__name__}")
    for key, name in (("G_ema", "Generator"), ("D", "Discriminator")):
        network = value.get(key)
        if not isinstance(network, Persistent) or network.class_name != name:
            raise UnsafePickle(f"Expected a {name} as {key}. Received: another value or none")
    return value


def _arrays(root: Persistent, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """Parameters and buffers of a module and the modules within it, by path."""
    waiting, seen = [(root, prefix)], set()
    while waiting:
        module, path = waiting.pop()
        if id(module.state) in seen:  # shared parts make a small file a huge network
            raise UnsafePickle(f"Expected every module once. Received again: {path[:MAX_NAME]}")
        seen.add(id(module.state))
        for kind in ("_parameters", "_buffers"):
            for name, array in _entries(module, kind, np.ndarray):
                if array.dtype.kind != "f":
                    raise UnsafePickle(f"Expected weights as floats. Received: {array.dtype}")
                yield path + name, array
        for name, part in _entries(module, "_modules", Persistent):
            waiting.append((part, f"{path}{name}."))


def _entries(module: Persistent, kind: str, type_: type) -> Iterator[tuple[str, Any]]:
    entries = module.state.get(kind, {})
    if not isinstance(entries, dict):
        raise UnsafePickle(f"Expected {kind} of a module as dictionary. Received: another value")
    for name, value in entries.items():
        if value is None:
            continue
        if not isinstance(name, str) or len(name) > MAX_NAME or not isinstance(value, type_):
            raise UnsafePickle(f"Expected {kind} of a module by name. Received: another value")
        yield name, value


def _arguments(network: Persistent) -> dict[str, Any]:
    """The constructor's arguments by name."""
    positional = network.state.get("_init_args", ())
    named = network.state.get("_init_kwargs", {})
    if not isinstance(positional, tuple | list) or not isinstance(named, dict):
        raise UnsafePickle("Expected constructor arguments of a network. Received: other values")
    order = _ARGUMENTS[network.class_name]
    return {**dict(zip(order, positional, strict=False)), **named}


def _config(generator: Persistent, discriminator: Persistent) -> dict[str, Any]:
    g, d = _arguments(generator), _arguments(discriminator)
    for arguments in (g, d):
        _check_fixed(arguments)
    synthesis, epilogue = (
        _expect(source.get(name, {}), dict, name)
        for source, name in ((g, "synthesis_kwargs"), (d, "epilogue_kwargs"))
    )
    if _expect(synthesis.get("architecture", "skip"), str, "architecture") != "skip":
        raise UnsafePickle("Expected a generator of architecture skip. Received: another")
    clamps = [
        _expect(source.get("conv_clamp"), int | float | None, "conv_clamp")
        for source in (synthesis, d)
    ]
    if clamps[0] != clamps[1]:
        raise UnsafePickle(
            "Expected the same conv_clamp in generator and discriminator. "
            f"Received: {clamps[0]} and {clamps[1]}"
        )
    return {
        "architecture": _expect(d.get("architecture", "resnet"), str, "architecture"),
        "mbstd_group_size": _expect(epilogue.get("mbstd_group_size", 4), int, "mbstd_group_size"),
        "mbstd_num_channels": _expect(
            epilogue.get("mbstd_num_channels", 1), int, "mbstd_num_channels"
        ),
        "conv_clamp": clamps[0],
    }


def _check_fixed(arguments: dict[str, Any]) -> None:
    """Refuse constructor arguments, at the top or one below, of networks that differ."""
    below = [value for value in arguments.values() if isinstance(value, dict)]
    for level in (arguments, *below):
        for name, expected in _FIXED.items():
            value = level.get(name, expected)
            if type(value) is not type(expected) or value != expected:
                raise UnsafePickle(f"Expected {name}={expected!r}. Received: another value")


def _expect(value: Any, kind: Any, name: str) -> Any:
    if not isinstance(value, kind):
        raise UnsafePickle(f"Expected {name} of another type. Received: {type(value).__name__}")
    return value
