import numpy as np
import pytest
from PIL import Image, ImageFilter

from replicate.evaluation.blur import blurred, matching_blur
from replicate.evaluation.images import high_frequency_energy


def shapes(n=20, side=28):
    """Random discs and bars, sharp at their edges."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    images = np.zeros((n, side, side, 1), np.uint8)
    for image in images:
        cy, cx, radius = rng.uniform(8, 20), rng.uniform(8, 20), rng.uniform(3, 7)
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2, 0] = 255
        image[:, int(cx) : int(cx) + 2, 0] = 200
    return images


def test_blur_is_pillows():
    """Pillow approximates a Gaussian by three box blurs; away from the edges that is close."""
    images = shapes()
    for ours, sharp in zip(blurred(images, 2.0), images, strict=True):
        theirs = Image.fromarray(sharp[..., 0]).filter(ImageFilter.GaussianBlur(2.0))
        gap = ours[6:-6, 6:-6, 0].astype(int) - np.asarray(theirs)[6:-6, 6:-6]
        assert np.abs(gap).mean() < 2.5


def test_blur_keeps_type_mean_and_channels_apart():
    images = np.concatenate([shapes(), np.zeros_like(shapes()), shapes()[::-1]], axis=-1)
    soft = blurred(images, 1.0)
    assert soft.dtype == np.uint8 and not soft[..., 1].any()
    np.testing.assert_allclose(soft.mean(), images.mean(), atol=0.5)
    np.testing.assert_array_equal(soft[..., 0], blurred(images[..., :1], 1.0)[..., 0])
    np.testing.assert_array_equal(blurred(images, 0.0), images)


@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.0])
def test_the_blur_that_was_applied_is_found(sigma):
    images = shapes()
    found = matching_blur(images, high_frequency_energy(blurred(images, sigma)))
    assert found == pytest.approx(sigma, abs=0.02)


def test_images_that_are_fuzzier_already_stay_as_they_are():
    images = shapes()
    assert matching_blur(images, high_frequency_energy(images) * 1.01) == 0.0


def test_what_no_blur_reaches_is_come_near():
    """Rounding keeps some energy; strong blur leaves more of it than a moderate one."""
    images = shapes()
    found = matching_blur(images, 1e-12)
    least = high_frequency_energy(blurred(images, found))
    assert 1 < found < 3 and least < high_frequency_energy(images) / 100
    assert least < high_frequency_energy(blurred(images, 4.0))
