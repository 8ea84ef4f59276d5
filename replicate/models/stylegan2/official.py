"""Networks from arrays in the names and layouts of the official PyTorch code, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from replicate.models.stylegan2.discriminator import Discriminator
from replicate.models.stylegan2.generator import Generator
from replicate.models.stylegan2.resample import TAPS

DEFAULTS = {"mbstd_group_size": 4, "conv_clamp": None}
CHECKED = ("architecture", "mbstd_num_channels")  # told by the arrays too
TOLD_BY_ARRAYS = (  # further constructor arguments of the official networks
    ("c_dim", "z_dim", "w_dim", "cmap_dim", "img_resolution", "img_channels")
    + ("channel_base", "channel_max", "num_layers", "num_fp16_res")
)
_LEAVES = ("const", "weight", "bias", "noise_strength", "noise_const", "w_avg")
_PARTS = ("affine", "conv0", "conv1", "skip", "conv", "fc", "out")


def from_official(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any] | None = None
) -> tuple[Generator, Discriminator]:
    """Build both networks from official weights and run them in float32.

    Widths, depths, resolution, classes and architecture are read from the arrays.

    Args:
        arrays: `G.<module path>` and `D.<module path>` as in the official networks: convolutions
            `(out, in, height, width)`, dense weights `(out, in)`, before the equalised learning
            rate's gain. Arrays under other names are left alone.
        config: what arrays do not tell: `mbstd_group_size` (default 4) and `conv_clamp` (default
            None). `architecture` and `mbstd_num_channels` may be given and have to agree.

    Returns:
        Generator and discriminator. Numbers of mixed-precision networks differ from the official
        ones by the rounding of float16 there.

    Raises:
        ValueError: if arrays are missing, unknown or of another shape, the resampling filter is
            not [1, 3, 3, 1], or the configuration has unknown or contradicting entries.
    """
    config = dict(config or {})
    known = {*DEFAULTS, *CHECKED, *TOLD_BY_ARRAYS}
    if set(config) - known:
        raise ValueError(
            f"Expected configuration among {sorted(known)}. Received: {sorted(set(config) - known)}"
        )
    options = {name: config.get(name, default) for name, default in DEFAULTS.items()}
    g = {k.removeprefix("G."): np.asarray(v) for k, v in arrays.items() if k.startswith("G.")}
    d = {k.removeprefix("D."): np.asarray(v) for k, v in arrays.items() if k.startswith("D.")}
    _check_filters({**g, **{f"D.{name}": array for name, array in d.items()}})
    try:
        g_sizes, d_sizes = _generator_sizes(g), _discriminator_sizes(d)
    except (KeyError, IndexError) as error:
        raise ValueError(
            "Expected arrays of official StyleGAN2-ADA networks, skip generator and orig or "
            f"resnet discriminator. Missing or of another shape: {error}"
        ) from error
    for name in CHECKED:
        if name in config and config[name] != d_sizes[name]:
            raise ValueError(
                f"Expected {name}={d_sizes[name]!r} as the arrays tell. "
                f"Received: {name}={config[name]!r}"
            )
    generator = Generator(**g_sizes, conv_clamp=options["conv_clamp"], name="generator")
    discriminator = Discriminator(**d_sizes, **options, name="discriminator")
    _assign("G", generator_variables(generator), g)
    _assign("D", discriminator_variables(discriminator), d)
    return generator, discriminator


def to_official(generator: Generator, discriminator: Discriminator) -> dict[str, np.ndarray]:
    """The networks' weights as `from_official` takes them, without the resampling filters."""
    named = {f"G.{name}": v for name, v in generator_variables(generator).items()}
    named |= {f"D.{name}": v for name, v in discriminator_variables(discriminator).items()}
    return {
        name: np.array(_transposed(name, variable.numpy(), outward=True), order="C")
        for name, variable in named.items()
    }


def generator_variables(generator: Generator) -> dict[str, Any]:
    """Variables by official module path."""
    synthesis = generator.synthesis
    named = {"synthesis.b4.const": synthesis.const}
    for layer in [*synthesis.convolutions, *synthesis.to_rgb]:
        named |= _variables(f"synthesis.{layer.name.replace('_', '.')}", layer)
    return named | _mapping_variables(generator.mapping)


def discriminator_variables(discriminator: Discriminator) -> dict[str, Any]:
    """Variables by official module path."""
    named = _variables(f"b{discriminator.resolution}.fromrgb", discriminator.from_rgb)
    for block in [*discriminator.blocks, discriminator.epilogue]:
        named |= _variables(block.name, block)
    return named | (_mapping_variables(discriminator.mapping) if discriminator.mapping else {})


def _mapping_variables(mapping) -> dict[str, Any]:
    named = _variables("mapping", mapping)
    for layer in [*([mapping.embed] if mapping.embed else []), *mapping.dense]:
        named |= _variables(f"mapping.{layer.name}", layer)
    return named


def _variables(path: str, layer) -> dict[str, Any]:
    """A layer's own variables and those of its parts, by official path."""
    named = {f"{path}.{leaf}": getattr(layer, leaf, None) for leaf in _LEAVES}
    for part in _PARTS:
        if getattr(layer, part, None) is not None:
            named |= _variables(f"{path}.{part}", getattr(layer, part))
    return {name: variable for name, variable in named.items() if variable is not None}


def _transposed(name: str, array: np.ndarray, outward: bool = False) -> np.ndarray:
    """From the official layout to that of the layers, or `outward` the way back."""
    if name.endswith(".const") and array.ndim == 3:
        axes = (2, 0, 1) if outward else (1, 2, 0)
    elif array.ndim == 4:
        axes = (3, 2, 0, 1) if outward else (2, 3, 1, 0)
    elif array.ndim == 2 and name.endswith(".weight"):
        axes = (1, 0)
    else:
        return array
    return array.transpose(axes)


def _assign(network: str, variables: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    received = {
        name: _transposed(name, array).shape
        for name, array in arrays.items()
        if not name.endswith(".resample_filter")
    }
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    if expected != received:
        odd = sorted({f"{network}.{name}" for name, _ in expected.items() ^ received.items()})
        raise ValueError(
            f"Expected the arrays of one network. Missing, unknown or of another shape: {odd[:6]}"
        )
    for name, variable in variables.items():
        variable.assign(_transposed(name, arrays[name]).astype(np.float32))


def _check_filters(arrays: dict[str, np.ndarray]) -> None:
    expected = np.outer(TAPS, TAPS) / sum(TAPS) ** 2
    for name, array in arrays.items():
        if name.endswith(".resample_filter") and not (
            array.shape == expected.shape and np.allclose(array, expected, atol=1e-6)
        ):
            raise ValueError(
                f"Expected the resampling filter [1, 3, 3, 1]. Received another: {name}"
            )


def _resolutions(arrays: dict[str, np.ndarray], prefix: str) -> list[int]:
    """Resolutions of the blocks from 4 upward; gaps show as missing arrays."""
    found = {int(m[1]) for name in arrays if (m := re.match(rf"{prefix}b(\d+)\.", name))}
    return [4 * 2**k for k in range(len(found))]


def _mapping_sizes(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    depth = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in arrays)
    weights = [arrays[f"mapping.fc{k}.weight"] for k in range(depth)]
    embed = arrays.get("mapping.embed.weight", np.zeros((0, 0)))
    return {
        "c_dim": embed.shape[1],
        "embed_dim": embed.shape[0],
        "mapping_widths": tuple(weight.shape[0] for weight in weights),
    }


def _generator_sizes(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    mapping = _mapping_sizes(arrays)
    blocks = [f"synthesis.b{r}" for r in _resolutions(arrays, r"synthesis\.")]
    return {
        **mapping,
        "z_dim": arrays["mapping.fc0.weight"].shape[1] - mapping["embed_dim"],
        "channels": tuple(arrays[f"{block}.conv1.weight"].shape[0] for block in blocks),
        "img_channels": arrays["synthesis.b4.torgb.weight"].shape[0],
    }


def _discriminator_sizes(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    mapping = _mapping_sizes(arrays)
    if not mapping["c_dim"]:
        mapping = {"c_dim": 0}
    resolutions = _resolutions(arrays, "")
    last = arrays["b4.conv.weight"].shape
    first = [arrays[f"b{r}.conv0.weight"].shape[1] for r in resolutions[1:]]
    residual = any(name.endswith(".skip.weight") for name in arrays)
    return {
        **mapping,
        "channels": (last[0], *first),
        "img_channels": arrays[f"b{resolutions[-1]}.fromrgb.weight"].shape[1],
        "architecture": "resnet" if residual else "orig",
        "mbstd_num_channels": last[1] - last[0],
    }
