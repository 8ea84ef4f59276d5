"""Classical augmentation against Keras' ImageDataGenerator, SciPy and Pillow."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage, stats

from replicate.data import augmentation
from replicate.data.augmentation import Transforms, augment, draw
from replicate.runs.seeds import stream

SIDE = 64
COUNT = 40


@pytest.fixture(scope="module")
def images():
    """Smooth and noisy images, one black, one dim, so that every stretch shows."""
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (COUNT, SIDE, SIDE, 3))
    smooth = ndimage.gaussian_filter(noisy.astype(float), (0, 3, 3, 0))
    smooth = 20 + 200 * (smooth - smooth.min()) / np.ptp(smooth)
    images = np.where(np.arange(COUNT)[:, None, None, None] % 2, noisy, smooth).astype(np.uint8)
    images[4], images[5] = 0, images[5] // 4
    return images


@pytest.fixture(scope="module")
def transforms():
    return draw(COUNT, stream(0, "test", 0, "augmentation", 3))


def keras_transform(image, transforms, row, brightness=True):
    """Keras' own transform of one image for the same parameters."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    parameters = {
        "theta": transforms.degrees[row],
        "zx": transforms.zoom[row, 0],
        "zy": transforms.zoom[row, 1],
        "flip_horizontal": transforms.flip[row],
    }
    if brightness:
        parameters["brightness"] = transforms.brightness[row]
    return ImageDataGenerator().apply_transform(image.astype(np.float32), parameters)


def assert_within_one_level(received, expected):
    difference = np.abs(received.astype(float) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01  # only where rounding decides


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_equals_keras_image_data_generator(images, transforms):
    received = augment(images, transforms, contrast_stretch=False, release="keras3")
    expected = np.stack([keras_transform(images[row], transforms, row) for row in range(COUNT)])
    assert_within_one_level(received, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_equals_keras_with_its_stretch(images, transforms):
    from keras.src.legacy.preprocessing.image import apply_brightness_shift

    received = augment(images, transforms, release="keras3")
    expected = np.stack(
        [
            apply_brightness_shift(
                keras_transform(images[row], transforms, row, brightness=False),
                transforms.brightness[row],
                scale=True,
            )
            for row in range(COUNT)
        ]
    )
    assert_within_one_level(received, expected)


def reference(image, transforms, row, stretch):
    """The formulas of Keras-Preprocessing 1.1.0 in SciPy's (row, column) coordinates."""
    angle = np.deg2rad(transforms.degrees[row])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag(transforms.zoom[row])
    centre = np.full(2, SIDE / 2 + 0.5)
    moved = np.stack(
        [
            ndimage.affine_transform(
                channel, matrix, centre - matrix @ centre, order=1, mode="nearest"
            )
            for channel in image.astype(np.float64).transpose(2, 0, 1)
        ],
        axis=-1,
    )
    if transforms.flip[row]:
        moved = moved[:, ::-1]
    if stretch and moved.max() > 0:
        moved = moved / moved.max() * 255
    picture = Image.fromarray(moved.astype(np.uint8))
    return np.asarray(ImageEnhance.Brightness(picture).enhance(transforms.brightness[row]))


@pytest.mark.parametrize("stretch", [True, False])
def test_default_is_keras_preprocessing_1_1_0(images, transforms, stretch):
    received = augment(images, transforms, contrast_stretch=stretch)
    expected = np.stack([reference(images[row], transforms, row, stretch) for row in range(COUNT)])
    assert_within_one_level(received, expected)


def still(count, **changed):
    """Transforms that do nothing but what is given."""
    fields = {
        "flip": np.zeros(count, bool),
        "degrees": np.zeros(count),
        "zoom": np.ones((count, 2)),
        "brightness": np.ones(count),
    }
    return Transforms(**{**fields, **changed})


def test_each_part_alone(images):
    plain = {"contrast_stretch": False}
    np.testing.assert_array_equal(augment(images, still(COUNT), **plain), images)
    flipped = augment(images, still(COUNT, flip=np.ones(COUNT, bool)), **plain)
    np.testing.assert_array_equal(flipped, images[:, :, ::-1])
    turned = augment(images, still(COUNT, degrees=np.full(COUNT, 90.0)), **plain, release="keras3")
    np.testing.assert_array_equal(turned, np.rot90(images, 1, (1, 2)))


def test_brightness_multiplies_and_cuts(images):
    factor = np.linspace(0.2, 1, COUNT)
    received = augment(images, still(COUNT, brightness=factor), contrast_stretch=False)
    exact = images * factor[:, None, None, None]
    assert (received <= exact + 1e-4).all() and (received > exact - 1 - 1e-4).all()


def test_stretch_raises_the_maximum_to_255_and_keeps_the_minimum_in_proportion(images):
    received = augment(images, still(COUNT))
    dim = images[5].astype(float)
    np.testing.assert_allclose(received[5], np.floor(dim * 255 / dim.max() + 1e-4), atol=1)
    assert received[5].max() >= 254 and (received[4] == 0).all()


def test_zoom_below_one_enlarges_each_coordinate_by_its_own_factor():
    image = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    image[:, 28:36, 28:36] = 200
    options = {"contrast_stretch": False}
    rows = augment(image, still(1, zoom=np.array([[0.5, 1.0]])), **options)[0, :, :, 0] > 100
    assert (np.ptp(np.flatnonzero(rows.any(1))), np.ptp(np.flatnonzero(rows.any(0)))) == (15, 7)
    columns = augment(image, still(1, zoom=np.array([[0.5, 1.0]])), **options, release="keras3")
    columns = columns[0, :, :, 0] > 100
    assert np.ptp(np.flatnonzero(columns.any(0))) == 15


def test_draws_have_the_ranges_and_shapes_of_the_study():
    drawn = draw(20_000, np.random.default_rng(1))
    assert abs(drawn.flip.mean() - 0.5) < 0.02
    for values, low, high in (
        (drawn.degrees, -25, 25),
        (drawn.zoom[:, 0], 0.5, 1),
        (drawn.zoom[:, 1], 0.5, 1),
        (drawn.brightness, 0.2, 1),
    ):
        assert values.min() >= low and values.max() <= high
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(drawn.zoom.T)[0, 1]) < 0.03  # drawn independently
    assert abs(np.corrcoef(drawn.degrees, drawn.brightness)[0, 1]) < 0.03


def test_an_image_is_transformed_alike_in_every_batch_and_anew_in_every_epoch(
    images, transforms, monkeypatch
):
    whole = augment(images, transforms)
    rows = np.array([7, 3, 21])
    np.testing.assert_array_equal(augment(images[rows], transforms.take(rows)), whole[rows])
    monkeypatch.setattr(augmentation, "_CHUNK", 9)
    np.testing.assert_array_equal(augment(images, transforms), whole)
    again, fewer, later = (
        draw(count, stream(0, "test", 0, "augmentation", epoch))
        for count, epoch in ((COUNT, 3), (5, 3), (COUNT, 4))
    )
    np.testing.assert_array_equal(again.degrees, transforms.degrees)
    np.testing.assert_array_equal(fewer.zoom, transforms.zoom[:5])
    assert not np.isclose(later.degrees, transforms.degrees).any()


def test_what_does_not_fit_is_refused(images, transforms):
    with pytest.raises(ValueError, match="uint8 images.*Received: float32"):
        augment(images.astype(np.float32), transforms)
    with pytest.raises(ValueError, match=r"side, side.*Received: uint8 \(40, 64, 60, 3\)"):
        augment(images[:, :, :60], transforms)
    with pytest.raises(ValueError, match="Received: 3 images, 40 transforms"):
        augment(images[:3], transforms)
    with pytest.raises(ValueError, match="Received: release='2.0'"):
        augment(images, transforms, release="2.0")
