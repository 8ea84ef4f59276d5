"""Convolutional classifiers of the source studies, one builder each."""

import keras

from replicate.models.init import initialize
from replicate.models.normalization import BatchNormalization
from replicate.models.small_maps import DownConv2D

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
            DownConv2D(channels, kernel, strides=2, padding="same", name=f"conv{index}"),
            BatchNormalization(name=f"norm{index}"),
            keras.layers.LeakyReLU(negative_slope=0.2, name=f"act{index}"),
        ]
    layers += [keras.layers.Flatten(name="flatten"), keras.layers.Dense(num_classes, name="logits")]
    return initialize(keras.Sequential(layers, name="strided_cnn"), "keras", seed)


def build_pooled_cnn(input_shape=(64, 64, 3), num_classes=10, seed=None):
    """Builds the CNN of Sterzinger, Stippel and Zogaj (2020), Figure 15: 400,042 parameters.

    Five times: convolution 3x3 (32, 64, 96, 128, 128 channels), ReLU, maximum pooling by 2; then
    dropout 0.5, Dense 128, ReLU, and the output layer. It ends in logits where the authors' code
    has a softmax, which is part of the loss here.

    Args:
        input_shape: `(height, width, channels)` of one image in [0, 1], at least 32x32.
        num_classes: Number of logits.
        seed: Integer seed of the initial weights (Keras' Glorot uniform) and dropout, or None.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to `(batch, num_classes)` logits.
    """
    stack = []
    for index, channels in enumerate((32, 64, 96, 128, 128), 1):
        stack += [_conv(channels, index, "same"), _pool(index)]
    stack += [keras.layers.Flatten(name="flatten"), keras.layers.Dropout(0.5, name="dropout")]
    stack.append(keras.layers.Dense(128, activation="relu", name="dense"))
    return _with_logits("pooled_cnn", input_shape, stack, num_classes, seed)


def build_mnist_cnn(input_shape=(28, 28, 1), num_classes=10, seed=None):
    """Builds the `mnist_cnn` example of Keras 2, the CNN inferred for Lee, Rothenberg and Shah
    (2017): 1,199,882 parameters.

    Convolutions 3x3 without padding (32, 64 channels), each with a ReLU, maximum pooling by 2,
    dropout 0.25, Dense 128, ReLU, dropout 0.5, logits. Arguments and result are as of
    `build_pooled_cnn`, for images of at least 6x6.
    """
    stack = [
        _conv(32, 1, "valid"),
        _conv(64, 2, "valid"),
        _pool(1),
        keras.layers.Dropout(0.25, name="dropout1"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(128, activation="relu", name="dense"),
        keras.layers.Dropout(0.5, name="dropout2"),
    ]
    return _with_logits("mnist_cnn", input_shape, stack, num_classes, seed)


def build_simple_cnn(input_shape=(28, 28, 1), num_classes=10, seed=None):
    """Builds the Keras example "Simple MNIST convnet", inferred as the "Simple CNN" of Seth,
    Bhandari and Lakara (2022): 34,826 parameters.

    Twice: convolution 3x3 without padding (32, 64 channels), ReLU, maximum pooling by 2; then
    dropout 0.5 and logits. Arguments and result are as of `build_pooled_cnn`, for images of at
    least 10x10.
    """
    stack = []
    for index, channels in enumerate((32, 64), 1):
        stack += [_conv(channels, index, "valid"), _pool(index)]
    stack += [keras.layers.Flatten(name="flatten"), keras.layers.Dropout(0.5, name="dropout")]
    return _with_logits("simple_cnn", input_shape, stack, num_classes, seed)


def build_deep_cnn(input_shape=(32, 32, 3), num_classes=10, seed=None, single=False):
    """Builds the "Deep CNN" of Seth, Bhandari and Lakara (2022): 550,570 parameters.

    Three blocks of two convolutions 3x3 (32, 64, 128 channels), each with a ReLU, and maximum
    pooling by 2; then Dense 128, ReLU, logits. Three blocks, a dense and an output layer are
    stated; widths and two convolutions a block are inferred. With `single` a block has one
    convolution (32, 64, 64 channels) and the dense layer 64 units: 122,570 parameters, to see how
    much hangs on that. Other arguments and the result are as of `build_pooled_cnn`, for images of
    at least 8x8; there is no dropout.
    """
    stack, steps = [], (0,) if single else (-1, 0)
    for block, channels in enumerate((32, 64, 64) if single else (32, 64, 128), 1):
        stack += [_conv(channels, 2 * block + step, "same") for step in steps]
        stack.append(_pool(block))
    stack.append(keras.layers.Flatten(name="flatten"))
    units = 64 if single else 128
    stack.append(keras.layers.Dense(units, activation="relu", name="dense"))
    return _with_logits("deep_cnn", input_shape, stack, num_classes, seed)


def _conv(channels, index, padding):
    return keras.layers.Conv2D(channels, 3, padding=padding, activation="relu", name=f"conv{index}")


def _pool(index):
    return keras.layers.MaxPooling2D(2, name=f"pool{index}")


def _with_logits(name, input_shape, stack, num_classes, seed):
    logits = keras.layers.Dense(num_classes, name="logits")
    model = keras.Sequential([keras.Input(input_shape), *stack, logits], name=name)
    return initialize(model, "keras", seed)
