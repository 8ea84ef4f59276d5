"""Convolutional classifiers of the source studies, one builder each."""

import keras

from replicate.models.init import initialize

STRIDED_PARAMS = {3: 1_573_386, 4: 2_778_954}


def build_strided_cnn(kernel=3, input_shape=(32, 32, 3), num_classes=10, seed=None):
    """Builds the CNN of Leung, Leung and Yu (2022), Section 4.3 and Figure 11.

    Four times: convolution with stride 2 (64, 128, 256, 512 channels), batch normalisation, leaky
    ReLU with slope 0.2; then one dense layer. Widths and kernel are inferred: the report gives the
    kinds and numbers of layers. 1,573,386 parameters with `kernel=3`, 2,778,954 with `kernel=4`.

    Args:
        kernel: Side of the convolutions' kernels, 3 or 4.
        input_shape: `(height, width, channels)` of one standardised image.
        num_classes: Number of logits.
        seed: Integer seed of the initial weights (Keras' Glorot uniform), or None.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to `(batch, num_classes)` logits.

    Raises:
        ValueError: If `kernel` is neither 3 nor 4.
    """
    if kernel not in STRIDED_PARAMS:
        raise ValueError(f"Expected kernel 3 or 4. Received: kernel={kernel}")
    layers = [keras.Input(input_shape)]
    for index, channels in enumerate((64, 128, 256, 512), 1):
        layers += [
            keras.layers.Conv2D(channels, kernel, strides=2, padding="same", name=f"conv{index}"),
            keras.layers.BatchNormalization(name=f"norm{index}"),
            keras.layers.LeakyReLU(negative_slope=0.2, name=f"act{index}"),
        ]
    layers += [keras.layers.Flatten(name="flatten"), keras.layers.Dense(num_classes, name="logits")]
    return initialize(keras.Sequential(layers, name="strided_cnn"), "keras", seed)
