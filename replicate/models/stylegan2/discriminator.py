"""The discriminator of StyleGAN2-ADA: `orig` and `resnet`, projection by mapped label."""

from __future__ import annotations

import math

import keras
from keras import layers, ops

from replicate.models.stylegan2.layers import EPSILON, EqualizedConv2D, EqualizedDense, Normal
from replicate.models.stylegan2.mapping import Mapping

ARCHITECTURES = ("orig", "resnet")


def append_deviation(x, group_size, channels):
    """Append the standard deviation over groups of images as constant maps.

    Image i belongs to group i modulo the number of groups. Source: Karras et al. (2018), growth of
    GANs; grouping as in the authors' PyTorch code of StyleGAN2-ADA.

    Args:
        x: maps `(batch, height, width, inputs)`.
        group_size: images a group; a smaller batch is one group.
        channels: maps to append, each from its share of the inputs.

    Returns:
        Maps `(batch, height, width, inputs + channels)`.

    Raises:
        ValueError: if the batch is known and no multiple of the group.
    """
    height, width, inputs = x.shape[1:]
    if x.shape[0] is None:
        group = ops.minimum(group_size, ops.shape(x)[0])
    else:
        group = min(group_size, x.shape[0])
        if x.shape[0] % group:
            raise ValueError(
                f"Expected a batch that is a multiple of {group} images. Received: {x.shape[0]}"
            )
    grouped = ops.reshape(x, (group, -1, height, width, channels, inputs // channels))  # [GMHWFC]
    variance = ops.mean(ops.square(grouped - ops.mean(grouped, axis=0)), axis=0)  # [MHWFC]
    deviation = ops.mean(ops.sqrt(variance + EPSILON), axis=(1, 2, 4))  # [MF]
    deviation = ops.tile(deviation, (group, 1))[:, None, None]  # [N11F]
    shape = (ops.shape(x)[0], height, width, channels)
    return ops.concatenate([x, ops.broadcast_to(deviation, shape)], axis=-1)


class Block(layers.Layer):
    """Two convolutions, the second of which halves height and width; `resnet` adds a shortcut.

    Args:
        inputs: channels in.
        filters: channels out.
        normal: `Normal` that draws the weights.
        residual: whether there is a shortcut.
        clamp: largest absolute value of a map, or None.
    """

    def __init__(self, inputs, filters, normal, residual, clamp=None, **kwargs):
        super().__init__(**kwargs)
        self.conv0 = EqualizedConv2D(inputs, inputs, 3, normal, clamp=clamp, name="conv0")
        self.conv1 = EqualizedConv2D(inputs, filters, 3, normal, True, clamp=clamp, name="conv1")
        self.skip = None
        if residual:
            self.skip = EqualizedConv2D(inputs, filters, 1, normal, True, False, name="skip")
        self.built = True

    def call(self, x):
        """Maps `(batch, height, width, inputs)` -> `(batch, height / 2, width / 2, filters)`."""
        if self.skip is None:
            return self.conv1(self.conv0(x))
        gain = math.sqrt(0.5)
        return self.skip(x, gain=gain) + self.conv1(self.conv0(x), gain=gain)


class Epilogue(layers.Layer):
    """Minibatch standard deviation, convolution and two dense layers on 4 x 4 maps.

    Args:
        inputs: channels in.
        units: outputs, one a dimension of the mapped label.
        normal: `Normal` that draws the weights.
        group_size: images a group of the standard deviation.
        deviations: its maps, 0 to leave it out.
        clamp: largest absolute value of a map, or None.
    """

    def __init__(self, inputs, units, normal, group_size, deviations, clamp=None, **kwargs):
        super().__init__(**kwargs)
        self.group_size, self.deviations = group_size, deviations
        self.conv = EqualizedConv2D(
            inputs + deviations, inputs, 3, normal, clamp=clamp, name="conv"
        )
        self.fc = EqualizedDense(16 * inputs, inputs, normal, linear=False, name="fc")
        self.out = EqualizedDense(inputs, units, normal, name="out")
        self.built = True

    def call(self, x):
        """Features `(batch, units)` of maps `(batch, 4, 4, inputs)`."""
        if self.deviations:
            x = append_deviation(x, self.group_size, self.deviations)
        x = ops.transpose(self.conv(x), (0, 3, 1, 2))  # the official weights' order
        return self.out(self.fc(ops.reshape(x, (-1, x.shape[1] * 16))))


@keras.saving.register_keras_serializable("replicate")
class Discriminator(keras.Model):
    """StyleGAN2-ADA discriminator: `discriminator(images, c)` gives logits `(batch, 1)`.

    The logit of a labelled image is the product of its features and the mapped label, over the
    root of their dimensions.

    Args:
        channels: channels of the maps at 4, 8, 16, … pixels; as many as halvings plus one.
        c_dim: number of classes, 0 for an unconditional network.
        mapping_widths: units of the label mapping's layers; None for eight as wide as the maps at
            4 pixels.
        embed_dim: dimensions of the label embedding; None for those of the mapped label.
        img_channels: channels of the image.
        architecture: `"orig"` or `"resnet"` (with shortcuts).
        mbstd_group_size: images a group of the minibatch standard deviation.
        mbstd_num_channels: maps that it appends, 0 for none.
        conv_clamp: largest absolute value of a map, or None.
        seed: seed of initial weights.

    Raises:
        ValueError: if the architecture is another.
    """

    def __init__(
        self,
        channels,
        c_dim=0,
        mapping_widths=None,
        embed_dim=None,
        img_channels=3,
        architecture="resnet",
        mbstd_group_size=4,
        mbstd_num_channels=1,
        conv_clamp=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"Expected architecture to be one of {ARCHITECTURES}. Received: "
                f"architecture={architecture!r}"
            )
        self.channels, self.c_dim, self.img_channels = tuple(channels), c_dim, img_channels
        self.mapping_widths = tuple(mapping_widths or [self.channels[0]] * 8)
        self.embed_dim = self.mapping_widths[-1] if embed_dim is None else embed_dim
        self.architecture, self.conv_clamp, self.seed = architecture, conv_clamp, seed
        self.mbstd_group_size, self.mbstd_num_channels = mbstd_group_size, mbstd_num_channels
        self._build_layers(Normal(seed))
        self.built = True

    def _build_layers(self, normal):
        clamp, residual = self.conv_clamp, self.architecture == "resnet"
        self.from_rgb = EqualizedConv2D(
            self.img_channels, self.channels[-1], 1, normal, clamp=clamp, name="fromrgb"
        )
        self.blocks = []
        for index in range(len(self.channels) - 1, 0, -1):
            widths = self.channels[index], self.channels[index - 1]
            name = f"b{4 * 2**index}"
            self.blocks.append(Block(*widths, normal, residual, clamp, name=name))
        units = self.mapping_widths[-1] if self.c_dim else 1
        deviations = self.mbstd_num_channels
        self.epilogue = Epilogue(
            self.channels[0], units, normal, self.mbstd_group_size, deviations, clamp, name="b4"
        )
        self.mapping = None
        if self.c_dim:
            sizes = 0, self.c_dim, self.embed_dim, self.mapping_widths
            self.mapping = Mapping(*sizes, None, normal, name="mapping")

    @property
    def resolution(self) -> int:
        """Pixels a side of the image."""
        return 4 * 2 ** (len(self.channels) - 1)

    def get_config(self):
        """Arguments that build the same network."""
        names = ("channels", "c_dim", "mapping_widths", "embed_dim", "img_channels")
        names += ("architecture", "mbstd_group_size", "mbstd_num_channels", "conv_clamp", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def call(self, images, c=None):
        """Logits `(batch, 1)` of images `(batch, resolution, resolution, img_channels)`.

        Args:
            images: images in [-1, 1].
            c: one-hot labels `(batch, c_dim)`; None for an unconditional network.

        Raises:
            ValueError: if images or labels have another shape.
        """
        shape = (self.resolution, self.resolution, self.img_channels)
        if len(images.shape) != 4 or tuple(images.shape[1:]) != shape:
            raise ValueError(
                f"Expected images of shape (batch, {', '.join(map(str, shape))}). "
                f"Received: shape={tuple(images.shape)}"
            )
        x = self.from_rgb(images)
        for block in self.blocks:
            x = block(x)
        x = self.epilogue(x)
        if self.mapping is None:
            return x
        label = self.mapping(c=c)
        return ops.sum(x * label, axis=1, keepdims=True) * (1 / math.sqrt(label.shape[1]))
