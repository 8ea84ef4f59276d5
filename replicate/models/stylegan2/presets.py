"""The `cifar` configuration of the official training script."""

from __future__ import annotations

from replicate.models.stylegan2.discriminator import Discriminator
from replicate.models.stylegan2.generator import Generator


def cifar(
    c_dim: int = 10,
    resolution: int = 32,
    channel_base: int = 32768,
    channel_max: int = 512,
    z_dim: int = 512,
    w_dim: int = 512,
    conv_clamp: float | None = 256.0,
    img_channels: int = 3,
    mbstd_group_size: int = 32,
    seed: int = 0,
) -> tuple[Generator, Discriminator]:
    """New networks as the official script's `--cfg=cifar` makes them, fmaps 1.

    Two mapping layers in the generator and eight in the discriminator, discriminator `orig`,
    minibatch standard deviation over groups of 32. Smaller values of the arguments make reduced
    networks of the same kind.

    Args:
        c_dim: number of classes, 0 for an unconditional network.
        resolution: pixels a side, a power of two and at least 8.
        channel_base: channels at a resolution are `channel_base / resolution`, …
        channel_max: … but no more than this.
        z_dim: dimensions of the latent.
        w_dim: dimensions of w.
        conv_clamp: largest absolute value of a map, or None; the script clamps when it trains in
            mixed precision, its default.
        img_channels: channels of the image.
        mbstd_group_size: images a group of the discriminator's minibatch standard deviation.
        seed: seed of the generator's initial weights; the discriminator's is the next.

    Raises:
        ValueError: if the resolution is no power of two or below 8.
    """
    if resolution < 8 or resolution & (resolution - 1):
        raise ValueError(
            "Expected a resolution that is a power of two and at least 8. "
            f"Received: resolution={resolution}"
        )
    sizes = [4 * 2**k for k in range(resolution.bit_length() - 2)]
    channels = tuple(min(channel_base // size, channel_max) for size in sizes)
    generator = Generator(
        channels,
        z_dim=z_dim,
        c_dim=c_dim,
        mapping_widths=(w_dim, w_dim),
        img_channels=img_channels,
        conv_clamp=conv_clamp,
        seed=seed,
        name="generator",
    )
    discriminator = Discriminator(
        channels,
        c_dim=c_dim,
        img_channels=img_channels,
        architecture="orig",
        mbstd_group_size=mbstd_group_size,
        conv_clamp=conv_clamp,
        seed=seed + 1,
        name="discriminator",
    )
    return generator, discriminator
