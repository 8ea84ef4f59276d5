"""Classical augmentation: one affine map an image, and brightness.

Flip, rotation and zoom are composed into one map, so that pixels are interpolated once. The draws
of an epoch belong to the images, not to batches: draw them with a stream at the position of the
epoch, e.g. `draw(len(images), seeds.stream(seed, study, replicate, "augmentation", epoch))`.

Source: report Sec. 1 and the authors' code for the ranges; Keras-Preprocessing 1.1.0, read, for
what its `ImageDataGenerator` makes of them. It differs from the `ImageDataGenerator` in Keras 3:
the centre of rotation and zoom lies a pixel further to the right and below, rows and columns
change places in the map, and brightness first divides by the image's maximum and multiplies by 255
(Keras 3, where it stretches at all, also subtracts the minimum).
"""

from __future__ import annotations

import dataclasses

import numpy as np

ROTATION = 25.0  # degrees, either way
ZOOM = (0.5, 1.0)  # below 1 enlarges
BRIGHTNESS = (0.2, 1.0)
RELEASES = ("1.1.0", "keras3")
_CHUNK = 256  # images; bounds the memory for float pixels to 25 MB at 64x64


@dataclasses.dataclass(frozen=True, eq=False)
class Transforms:
    """The transform of each of `n` images.

    Attributes:
        flip: bool `(n,)`, whether left and right change places.
        degrees: float64 `(n,)`, rotation.
        zoom: float64 `(n, 2)`, factors of the first and second coordinate; below 1 enlarges.
        brightness: float64 `(n,)`, factor of the pixels.
    """

    flip: np.ndarray
    degrees: np.ndarray
    zoom: np.ndarray
    brightness: np.ndarray

    def __len__(self) -> int:
        """Number of images."""
        return len(self.flip)

    def take(self, rows: np.ndarray | slice) -> Transforms:
        """The transforms of some images, e.g. of a batch."""
        fields = dataclasses.fields(self)
        return Transforms(**{field.name: getattr(self, field.name)[rows] for field in fields})


def draw(count: int, rng: np.random.Generator) -> Transforms:
    """Draw a transform for each image; those of the first images do not depend on `count`.

    Args:
        count: number of images.
        rng: random generator of the epoch.

    Returns:
        Flips with probability 1/2, rotations within 25 degrees, zooms in [0.5, 1) independently
        for both coordinates, brightness in [0.2, 1); all uniform.
    """
    uniform = rng.random((count, 5))
    return Transforms(
        flip=uniform[:, 0] < 0.5,
        degrees=ROTATION * (2 * uniform[:, 1] - 1),
        zoom=ZOOM[0] + (ZOOM[1] - ZOOM[0]) * uniform[:, 2:4],
        brightness=BRIGHTNESS[0] + (BRIGHTNESS[1] - BRIGHTNESS[0]) * uniform[:, 4],
    )


def augment(
    images: np.ndarray,
    transforms: Transforms,
    contrast_stretch: bool = True,
    release: str = "1.1.0",
) -> np.ndarray:
    """Transform images: flip, rotate and zoom with bilinear interpolation, then scale brightness.

    Beyond the border the nearest pixel is taken. Pixels are cut to whole grey levels before and
    after brightness is applied, as Keras does by way of Pillow.

    Args:
        images: uint8 `(n, side, side, channels)`, 0 to 255.
        transforms: one for each image.
        contrast_stretch: whether each image is first stretched to the whole range of grey levels.
            It is an unintended effect of Keras' brightness shift.
        release: `"1.1.0"`, Keras-Preprocessing as the study used it, or `"keras3"`, the generator
            that comes with Keras 3.

    Returns:
        uint8, the shape of `images`.

    Raises:
        ValueError: if the images are not square uint8 images, their number is not that of the
            transforms, or the release is unknown.
    """
    _check(images, transforms, release)
    result = np.empty_like(images)
    for start in range(0, len(images), _CHUNK):
        rows = slice(start, start + _CHUNK)
        part = transforms.take(rows)
        moved = _move(images[rows], part, release)
        if contrast_stretch:
            moved = _stretch(moved, release)
        factor = part.brightness.astype(np.float32)[:, None, None, None]
        result[rows] = np.trunc(moved) * factor  # cut again by the conversion to uint8
    return result


def affine_maps(transforms: Transforms, side: int, release: str = "1.1.0") -> np.ndarray:
    """The composed maps from output to input coordinates.

    Args:
        transforms: `n` transforms.
        side: height and width of the images.
        release: as in `augment`.

    Returns:
        float64 `(n, 2, 3)`: input `(x, y)` = map times output `(x, y, 1)`; x counts columns.
    """
    angle = np.deg2rad(transforms.degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    linear = turn * transforms.zoom[:, None, :]  # [n, 2, 2], acts on the zoomed coordinates
    centre = side / 2 - 0.5
    if release == "1.1.0":
        linear = linear[:, ::-1, ::-1]  # there the first coordinate counts rows
        centre = side / 2 + 0.5
    shift = centre - linear.sum(-1) * centre
    mirrored = np.where(transforms.flip, -1.0, 1.0)  # x becomes side - 1 - x
    shift = shift + linear[:, :, 0] * np.where(transforms.flip, side - 1.0, 0.0)[:, None]
    linear = np.stack([linear[:, :, 0] * mirrored[:, None], linear[:, :, 1]], -1)
    return np.concatenate([linear, shift[:, :, None]], -1)


def _move(images: np.ndarray, transforms: Transforms, release: str) -> np.ndarray:
    import tensorflow as tf

    side = images.shape[1]
    maps = affine_maps(transforms, side, release).reshape(-1, 6)
    maps = np.pad(maps, ((0, 0), (0, 2)))  # no perspective
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.constant(images, tf.float32),
        transforms=tf.constant(maps, tf.float32),
        output_shape=(side, side),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return moved.numpy()


def _stretch(images: np.ndarray, release: str) -> np.ndarray:
    """Multiply each image so that its maximum becomes 255; see the module for the minimum."""
    if release != "1.1.0":
        images = images - images.min((1, 2, 3), keepdims=True)
    largest = images.max((1, 2, 3), keepdims=True)
    return images / np.where(largest > 0, largest, 1) * np.float32(255)


def _check(images: np.ndarray, transforms: Transforms, release: str) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2]:
        raise ValueError(
            "Expected uint8 images (n, side, side, channels). Received: "
            f"{images.dtype} {images.shape}"
        )
    if len(images) != len(transforms):
        raise ValueError(
            f"Expected one transform an image. Received: {len(images)} images, "
            f"{len(transforms)} transforms"
        )
    if release not in RELEASES:
        raise ValueError(f"Expected release 1.1.0 or keras3. Received: release={release!r}")
