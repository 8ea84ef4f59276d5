"""Feature extractors, each with a name that stands beside every number made with it.

`inception_imagenet` is Keras' InceptionV3 with ImageNet weights. It is not the network of 2015 that
published FIDs are computed with, so its distances do not compare with them digit by digit.
`classifier` is a study's own classifier, trained on its real images.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from replicate.data.inception import INCEPTION_FILE, INCEPTION_MD5, INCEPTION_URL

INCEPTION_SIZE = 299  # pixels a side


class Extractor:
    """A named map from images to features.

    Args:
        name: identifies it in records and tables; features of two names are never compared.
        network: Keras model from uint8 images, as a batch `(b, height, width, channels)`, to
            features `(b, d)`.
    """

    def __init__(self, name: str, network: Any):
        self.name, self.network = name, network
        self.dimension = int(network.output_shape[-1])
        network.compile(jit_compile=False)  # XLA's convolutions are slow on CPU

    def features(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Features of images, in inference mode.

        Args:
            images: uint8 `(n, height, width, channels)`, n >= 1, of the size the network takes.
            batch_size: images at once; results do not depend on it, up to rounding.

        Returns:
            float32 `(n, dimension)`.

        Raises:
            ValueError: if the images are not as above or `batch_size` < 1.
        """
        expected = self.network.input_shape[1:]
        fits = images.ndim == 4 and all(
            want in (None, got) for want, got in zip(expected, images.shape[1:], strict=True)
        )
        if not fits or len(images) == 0 or images.dtype != np.uint8 or batch_size < 1:
            raise ValueError(
                f"Expected uint8 images (n, {', '.join(str(side or 'any') for side in expected)}) "
                f"and batch_size >= 1. Received: shape={images.shape}, dtype={images.dtype}, "
                f"batch_size={batch_size}"
            )
        return self.network.predict(images, batch_size=batch_size, verbose=0).astype(np.float32)


def inception_imagenet(weights: str | os.PathLike | None = None) -> Extractor:
    """InceptionV3 without its top, average pooling: 2048 features of colour images of any size.

    Images are resized to 299 x 299 pixels (bilinear) and scaled to [-1, 1], which is what the
    weights were trained with.

    Args:
        weights: path of Keras' weights without the top; None takes them from Keras' cache, or
            downloads them there if the network answers within 5 seconds.

    Returns:
        The extractor `inception_imagenet`.

    Raises:
        DataUnavailable: if the weights cannot be had, or the file holds others; says how to get
            them.
    """
    path = _downloaded_weights() if weights is None else Path(weights).expanduser()
    if not path.is_file():
        raise _weights_missing(f"there is no file {path}")
    with open(path, "rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    if md5 != INCEPTION_MD5:
        raise _weights_missing(f"{path} holds something else (MD5 {md5}, not {INCEPTION_MD5})")

    import keras

    shape = INCEPTION_SIZE, INCEPTION_SIZE, 3
    network = keras.applications.InceptionV3(False, None, input_shape=shape, pooling="avg")
    network.load_weights(path)
    inputs = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Resizing(*shape[:2], interpolation="bilinear", dtype="float32")(inputs)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    return Extractor("inception_imagenet", keras.Model(inputs, network(x, training=False)))


def _weights_missing(reason: str) -> Exception:
    from replicate.data.dataset import DataUnavailable

    return DataUnavailable(
        f"Expected Keras' InceptionV3 weights without the top. Received: {reason}. "
        f"Download {INCEPTION_FILE} from {INCEPTION_URL} and pass --inception_weights=<path>"
    )


def _downloaded_weights() -> Path:
    """Keras' cached weights, fetched by Keras if they are not there."""
    from replicate.data.dataset import DataUnavailable
    from replicate.data.download import probe

    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    cached = home / "models" / INCEPTION_FILE
    if cached.is_file():
        return cached
    try:
        probe([INCEPTION_URL])
    except DataUnavailable as error:
        raise _weights_missing(str(error)) from error

    import keras

    try:
        arguments = {"cache_dir": home, "cache_subdir": "models", "file_hash": INCEPTION_MD5}
        return Path(keras.utils.get_file(INCEPTION_FILE, INCEPTION_URL, **arguments))
    except Exception as error:  # get_file raises bare Exceptions for what the server answers
        raise _weights_missing(f"the download failed ({error})") from error


def classifier_features(
    model: Any, scale: float | Sequence[float], offset: float | Sequence[float] = 0.0
) -> Extractor:
    """The global average of a classifier's last feature map.

    Args:
        model: Keras model (functional or sequential) of images, with a layer whose output is
            `(batch, height, width, d)`; the last such layer in the order of `model.layers` counts.
        scale: its input is `scale * pixel + offset` for pixels 0 to 255; one number, or one a
            channel.
        offset: as `scale`.

    Returns:
        The extractor `classifier`.

    Raises:
        ValueError: if the model has no feature map, or scale or offset do not fit its channels.
    """
    import keras

    maps = [
        layer.output
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer) and len(layer.output.shape) == 4
    ]
    if not maps:
        raise ValueError(
            "Expected a model with a feature map (batch, height, width, d). "
            f"Received: layers {[layer.name for layer in model.layers]}"
        )
    channels = model.input_shape[-1]
    for name, values in (("scale", scale), ("offset", offset)):
        if np.shape(values) not in ((), (channels,)) or not np.isfinite(values).all():
            raise ValueError(
                f"Expected {name}: a finite number, or {channels}, one a channel. "
                f"Received: {name}={values}"
            )
    inputs = keras.Input(model.input_shape[1:], dtype="uint8")
    scaled = keras.layers.Rescaling(
        np.asarray(scale, np.float32), np.asarray(offset, np.float32), dtype="float32"
    )(inputs)
    features = keras.Model(model.inputs, maps[-1])(scaled, training=False)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    return Extractor("classifier", keras.Model(inputs, pooled))
