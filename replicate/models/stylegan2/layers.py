"""Layers of StyleGAN2 with equalised learning rate: dense, convolution, modulated convolution.

Weights are stored as the optimizer sees them, drawn from N(0, 1) and scaled when used. Source:
Karras et al. (2020), StyleGAN2; gains, epsilons and padding as in the authors' PyTorch code.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers, ops

from replicate.models.stylegan2.resample import downsample, smooth

SLOPE = 0.2  # of the leaky rectifier
EPSILON = 1e-8


def activate(x, linear=False, gain=1.0, clamp=None):
    """The leaky rectifier times sqrt(2), or nothing if `linear`; then the gain; then the clamp.

    Args:
        x: a tensor.
        linear: whether to leave out the rectifier and its sqrt(2).
        gain: factor after the rectifier.
        clamp: largest absolute value for a gain of 1, or None for no bound.
    """
    if not linear:
        x, scale = ops.leaky_relu(x, SLOPE), gain * math.sqrt(2)
    else:
        scale = gain
    if scale != 1:
        x = x * scale
    return x if clamp is None else ops.clip(x, -clamp * gain, clamp * gain)


def normalize(x):
    """Vectors `(batch, n)` scaled to a mean square of one."""
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=1, keepdims=True) + EPSILON)


class Normal:
    """Initialisers that draw from one NumPy stream, so that a seed gives a whole network.

    Args:
        seed: seed of the stream; every weight drawn moves it on.
    """

    def __init__(self, seed):
        self.draws = np.random.default_rng(seed)

    def __call__(self, stddev=1.0):
        """An initialiser with this standard deviation."""

        def draw(shape, dtype=None):
            return np.float32(stddev) * self.draws.standard_normal(shape, np.float32)

        return draw


class EqualizedDense(layers.Layer):
    """`(batch, inputs)` -> `(batch, units)` with weights scaled by `lr_multiplier / sqrt(inputs)`.

    Args:
        inputs: features in.
        units: features out.
        normal: `Normal` that draws the weights.
        linear: whether there is no rectifier.
        lr_multiplier: factor on the learning rate of weights and bias.
        bias: initial bias.
    """

    def __init__(self, inputs, units, normal, linear=True, lr_multiplier=1.0, bias=0.0, **kwargs):
        super().__init__(**kwargs)
        self.linear, self.lr_multiplier = linear, lr_multiplier
        self.gain = lr_multiplier / math.sqrt(inputs)
        self.weight = self.add_weight(
            shape=(inputs, units), initializer=normal(1 / lr_multiplier), name="weight"
        )
        start = keras.initializers.Constant(bias / lr_multiplier)
        self.bias = self.add_weight(shape=(units,), initializer=start, name="bias")
        self.built = True

    def call(self, x):
        """Map `(batch, inputs)`."""
        x = ops.matmul(x, self.weight * self.gain) + self.bias * self.lr_multiplier
        return activate(x, self.linear)


class EqualizedConv2D(layers.Layer):
    """Convolution of stride 1 with weights scaled by `1 / sqrt(inputs * size ** 2)`.

    Args:
        inputs: channels in.
        filters: channels out.
        size: pixels a side of the kernel, odd.
        normal: `Normal` that draws the weights.
        down: whether to halve height and width, with smoothing before.
        use_bias: whether there is a bias and a rectifier; neither without it.
        clamp: largest absolute output at a gain of 1, or None.
    """

    def __init__(self, inputs, filters, size, normal, down=False, use_bias=True, clamp=None, **kw):
        super().__init__(**kw)
        self.size, self.down, self.clamp = size, down, clamp
        self.scale = 1 / math.sqrt(inputs * size**2)
        self.weight = self.add_weight(
            shape=(size, size, inputs, filters), initializer=normal(), name="weight"
        )
        self.bias = self.add_weight((filters,), "zeros", name="bias") if use_bias else None
        self.built = True

    def call(self, x, gain=1.0):
        """Convolve `(batch, height, width, inputs)`; `gain` multiplies the output."""
        strides = 1
        if self.down and self.size == 1:
            x = downsample(x)  # Fast path: only the pixels that are kept.
        elif self.down:
            x, strides = smooth(x, padding=1 + self.size // 2), 2
        padding = "valid" if self.down else "same"
        x = ops.conv(x, self.weight * self.scale, strides=strides, padding=padding)
        if self.bias is None:
            return activate(x, linear=True, gain=gain)
        return activate(x + self.bias, gain=gain, clamp=self.clamp)


def modulated_convolution(x, kernel, styles, demodulate=True, up=False):
    """Convolve with a kernel that every image scales by input channel and, if asked, normalises.

    Scaling the activations before and after an ordinary convolution is the same and needs no
    kernel for every image.

    Args:
        x: maps `(batch, height, width, inputs)`.
        kernel: `(size, size, inputs, filters)`.
        styles: scales `(batch, inputs)`.
        demodulate: whether each filter of each image is scaled to norm one.
        up: whether to double height and width; for kernels of 3 x 3.

    Returns:
        Maps `(batch, height, width, filters)`, or twice the sides.
    """
    x = x * styles[:, None, None]
    if up:
        # The authors' kernel is a true convolution here, which is what a transposed one applies.
        swapped = ops.transpose(kernel, (0, 1, 3, 2))  # [kkOI]
        x = ops.conv_transpose(x, swapped, strides=2, padding="valid")
        x = smooth(x, padding=1, gain=4.0)
    else:
        x = ops.conv(x, kernel, padding="same")
    if demodulate:
        energy = ops.matmul(ops.square(styles), ops.sum(ops.square(kernel), axis=(0, 1)))  # [NO]
        x = x * ops.rsqrt(energy + EPSILON)[:, None, None]
    return x


class SynthesisLayer(layers.Layer):
    """Modulated 3 x 3 convolution, noise, bias, rectifier.

    Args:
        inputs: channels in.
        filters: channels out.
        w_dim: dimensions of w.
        resolution: pixels a side of the output.
        normal: `Normal` that draws the weights.
        up: whether the output has twice the sides of the input.
        clamp: largest absolute output, or None.
    """

    def __init__(self, inputs, filters, w_dim, resolution, normal, up=False, clamp=None, **kwargs):
        super().__init__(**kwargs)
        self.up, self.clamp = up, clamp
        self.affine = EqualizedDense(w_dim, inputs, normal, bias=1.0, name="affine")
        self.weight = self.add_weight((3, 3, inputs, filters), normal(), name="weight")
        self.bias = self.add_weight((filters,), "zeros", name="bias")
        self.noise_strength = self.add_weight((), "zeros", name="noise_strength")
        self.noise_const = self.add_weight(
            (resolution, resolution), normal(), trainable=False, name="noise_const"
        )
        self.built = True

    def call(self, x, w, noise=None):
        """Maps of `(batch, height, width, inputs)` and w `(batch, w_dim)`.

        Args:
            x: maps.
            w: latents.
            noise: one map `(height, width)` for all images, `(batch, height, width)`, or None.
        """
        x = modulated_convolution(x, self.weight, self.affine(w), up=self.up)
        if noise is not None:
            x = x + ops.expand_dims(noise * self.noise_strength, -1)
        return activate(x + self.bias, clamp=self.clamp)


class ToRGB(layers.Layer):
    """Modulated 1 x 1 convolution to image channels, without demodulation or rectifier.

    Args:
        inputs: channels in.
        img_channels: channels of the image.
        w_dim: dimensions of w.
        normal: `Normal` that draws the weights.
        clamp: largest absolute output, or None.
    """

    def __init__(self, inputs, img_channels, w_dim, normal, clamp=None, **kwargs):
        super().__init__(**kwargs)
        self.clamp, self.scale = clamp, 1 / math.sqrt(inputs)
        self.affine = EqualizedDense(w_dim, inputs, normal, bias=1.0, name="affine")
        self.weight = self.add_weight((1, 1, inputs, img_channels), normal(), name="weight")
        self.bias = self.add_weight((img_channels,), "zeros", name="bias")
        self.built = True

    def call(self, x, w):
        """Image `(batch, height, width, img_channels)` of maps and w `(batch, w_dim)`."""
        styles = self.affine(w) * self.scale
        x = modulated_convolution(x, self.weight, styles, demodulate=False)
        return activate(x + self.bias, linear=True, clamp=self.clamp)
