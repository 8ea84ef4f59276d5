"""LeNet with sigmoids and average pooling: the classifier of Crossman (2024), Section II.

The report calls it LeNet; the layers are those of the author's code: no RBF output, no tanh.
"""

import keras

from replicate.models.init import initialize

LENET_PARAMS = 61_706


def build_lenet(input_shape=(28, 28, 1), num_classes=10, init="torch", seed=None):
    """Builds the sigmoid LeNet: 61,706 parameters for 28x28 grey images and ten classes.

    Conv 6 (5x5, padding 2), sigmoid, average pool 2 | Conv 16 (5x5), sigmoid, average pool 2 |
    Dense 120, sigmoid | Dense 84, sigmoid | Dense `num_classes`, logits. The author's PyTorch
    network flattens channel first and ours channel last, which only permutes the rows of a kernel
    whose initial entries are independent and identically distributed.

    Args:
        input_shape: `(height, width, channels)` of one image; values are expected in [0, 1].
        num_classes: Number of logits.
        init: "torch" for PyTorch's default initial weights, which the author used, or "keras" for
            Glorot uniform kernels and zero biases.
        seed: Integer seed of the initial weights, or None.

    Returns:
        A `keras.Model` from `(batch, height, width, channels)` to `(batch, num_classes)` logits.

    Raises:
        ValueError: If the image is too small for the two convolutions, or `init` is unknown.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 12:
        raise ValueError(
            "Expected input_shape (height, width, channels) of at least 12x12 pixels. "
            f"Received: input_shape={input_shape}"
        )
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(6, 5, padding="same", activation="sigmoid", name="conv1"),
            layers.AveragePooling2D(2, name="pool1"),
            layers.Conv2D(16, 5, activation="sigmoid", name="conv2"),
            layers.AveragePooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(120, activation="sigmoid", name="dense1"),
            layers.Dense(84, activation="sigmoid", name="dense2"),
            layers.Dense(num_classes, name="logits"),
        ],
        name="lenet",
    )
    return initialize(model, init, seed)
