"""The generator of StyleGAN2-ADA: mapping and synthesis networks, skip architecture."""

from __future__ import annotations

import keras
from keras import layers, ops

from replicate.models.stylegan2.layers import Normal, SynthesisLayer, ToRGB
from replicate.models.stylegan2.mapping import Mapping
from replicate.models.stylegan2.resample import upsample

NOISE_MODES = ("const", "random", "none")


class Synthesis(layers.Layer):
    """Doubles a learned 4 x 4 map up to the image; every resolution adds to the image.

    Args:
        w_dim: dimensions of w.
        img_channels: channels of the image.
        channels: channels of the maps at 4, 8, 16, … pixels.
        normal: `Normal` that draws the weights.
        clamp: largest absolute value of a map, or None.
        seed: seed of the random noise.
    """

    def __init__(self, w_dim, img_channels, channels, normal, clamp=None, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.w_dim, self.num_ws = w_dim, 2 * len(channels)
        self.noise_seed = keras.random.SeedGenerator(seed)
        self.const = self.add_weight((4, 4, channels[0]), normal(), name="const")
        self.convolutions, self.to_rgb = [], []
        for index, width in enumerate(channels):
            size = 4 * 2**index
            sizes = width, w_dim, size, normal
            if index:
                first = SynthesisLayer(
                    channels[index - 1], *sizes, up=True, clamp=clamp, name=f"b{size}_conv0"
                )
                self.convolutions.append(first)
            self.convolutions.append(
                SynthesisLayer(width, *sizes, clamp=clamp, name=f"b{size}_conv1")
            )
            name = f"b{size}_torgb"
            self.to_rgb.append(ToRGB(width, img_channels, w_dim, normal, clamp, name=name))
        self.built = True

    def call(self, ws, noise_mode="const"):
        """Images `(batch, height, width, img_channels)`, about [-1, 1], of ws.

        Args:
            ws: `(batch, num_ws, w_dim)`.
            noise_mode: `"const"` for the stored noise maps, `"random"` for a new one per image,
                `"none"`.

        Raises:
            ValueError: if the shape of `ws` or `noise_mode` is another.
        """
        if noise_mode not in NOISE_MODES:
            raise ValueError(
                f"Expected noise_mode to be one of {NOISE_MODES}. Received: "
                f"noise_mode={noise_mode!r}"
            )
        if tuple(ws.shape[1:]) != (self.num_ws, self.w_dim):
            raise ValueError(
                f"Expected ws of shape (batch, {self.num_ws}, {self.w_dim}). "
                f"Received: shape={tuple(ws.shape)}"
            )
        batch = ops.shape(ws)[0]
        x = ops.broadcast_to(self.const, (batch, *self.const.shape))
        image = None
        for index, layer in enumerate(self.convolutions):
            x = layer(x, ws[:, index], self._noise(layer, batch, noise_mode))
            if index % 2 == 0:  # the last of its resolution; torgb shares w with what follows
                part = self.to_rgb[index // 2](x, ws[:, index + 1])
                image = part if image is None else upsample(image) + part
        return image

    def _noise(self, layer, batch, noise_mode):
        if noise_mode == "none":
            return None
        if noise_mode == "const":
            return layer.noise_const
        return keras.random.normal((batch, *layer.noise_const.shape), seed=self.noise_seed)


@keras.saving.register_keras_serializable("replicate")
class Generator(keras.Model):
    """StyleGAN2-ADA generator: `generator(z, c)` gives images, `generator.mapping(z, c)` gives w.

    Args:
        channels: channels of the maps at 4, 8, 16, … pixels; as many as doublings plus one.
        z_dim: dimensions of the latent.
        c_dim: number of classes, 0 for an unconditional network.
        mapping_widths: units of the mapping network's layers; the last is the dimension of w.
        embed_dim: dimensions of the label embedding; None for those of w.
        img_channels: channels of the image.
        conv_clamp: largest absolute value of a map, or None.
        seed: seed of initial weights and random noise.
    """

    def __init__(
        self,
        channels,
        z_dim=512,
        c_dim=0,
        mapping_widths=(512, 512),
        embed_dim=None,
        img_channels=3,
        conv_clamp=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.channels, self.mapping_widths = tuple(channels), tuple(mapping_widths)
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, self.mapping_widths[-1]
        self.embed_dim = self.w_dim if embed_dim is None else embed_dim
        self.img_channels, self.conv_clamp, self.seed = img_channels, conv_clamp, seed
        normal = Normal(seed)
        self.synthesis = Synthesis(
            self.w_dim, img_channels, self.channels, normal, conv_clamp, seed, name="synthesis"
        )
        self.mapping = Mapping(
            z_dim,
            c_dim,
            self.embed_dim,
            self.mapping_widths,
            self.synthesis.num_ws,
            normal,
            name="mapping",
        )
        self.built = True

    @property
    def resolution(self) -> int:
        """Pixels a side of the image."""
        return 4 * 2 ** (len(self.channels) - 1)

    def get_config(self):
        """Arguments that build the same network."""
        names = ("channels", "z_dim", "c_dim", "mapping_widths", "embed_dim", "img_channels")
        names += ("conv_clamp", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def call(self, z, c=None, truncation_psi=1.0, noise_mode="const", training=False):
        """Images `(batch, resolution, resolution, img_channels)`, about [-1, 1].

        Args:
            z: latents `(batch, z_dim)`, standard normal.
            c: one-hot labels `(batch, c_dim)`; None for an unconditional network.
            truncation_psi: as for `mapping`.
            noise_mode: `"const"`, `"random"` or `"none"`.
            training: whether the batch moves the running mean of w.
        """
        ws = self.mapping(z, c, truncation_psi=truncation_psi, training=training)
        return self.synthesis(ws, noise_mode=noise_mode)
