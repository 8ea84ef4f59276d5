import numpy as np
import pytest

from replicate.evaluation.images import high_frequencies, high_frequency_energy, to_uint8


def wave(frequency, size=32):
    phase = 2 * np.pi * frequency * np.arange(size)
    return np.tile(0.5 + 0.5 * np.sin(phase)[None, :, None], (size, 1, 1))[None]


def test_energy_lies_where_the_wave_is():
    assert high_frequency_energy(wave(2 / 32)) == pytest.approx(0, abs=1e-12)
    assert high_frequency_energy(wave(12 / 32)) == pytest.approx(1, abs=1e-12)
    both = wave(2 / 32) + wave(12 / 32)
    assert high_frequency_energy(both) == pytest.approx(0.5)


def test_blurring_lowers_it():
    rng = np.random.default_rng(0)
    sharp = rng.random((5, 28, 28, 1))
    blurred = (sharp + np.roll(sharp, 1, axis=1) + np.roll(sharp, 1, axis=2)) / 3
    assert high_frequency_energy(blurred) < 0.7 * high_frequency_energy(sharp)


def test_scale_and_offset_do_not_matter():
    images = np.random.default_rng(1).random((3, 16, 16, 2))
    expected = high_frequency_energy(images)
    assert high_frequency_energy(255 * images + 7) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="Received: shape="):
        high_frequency_energy(np.ones(shape))


def test_refuses_flat_images():
    with pytest.raises(ValueError, match="flat"):
        high_frequency_energy(np.ones((1, 8, 8, 1)))


def test_uint8_rounds_and_clips():
    values = np.array([-1e-4, 0.0, 0.5, 100.4 / 255, 100.6 / 255, 1.0, 1 + 1e-4])
    assert to_uint8(values).tolist() == [0, 0, 128, 100, 101, 255, 255]
    assert to_uint8(values[:0]).shape == (0,)


def test_uint8_stays_as_it_is():
    values = np.arange(256, dtype=np.uint8)
    assert to_uint8(values) is values


@pytest.mark.parametrize("values", [[-1.0, 1.0], [0.0, 255.0], [0.5, np.nan], [0.0, np.inf]])
def test_images_of_another_scale_are_refused(values):
    with pytest.raises(ValueError, match=r"Expected images in \[0, 1\]. Received: float64, "):
        to_uint8(np.array(values))


def test_high_frequencies_are_what_a_wave_above_the_cutoff_has():
    """Waves of the mirrored image pass or vanish whole; a slope's opposite edges leave nothing."""
    pixels = np.arange(32) + 0.5
    slow, fast = (60 * np.cos(np.pi * k * pixels / 32) for k in (10, 20))
    images = np.stack([np.stack([row] * 32)[..., None] for row in (slow, slow + fast, 3 * pixels)])
    images = np.concatenate([images + 128, images.transpose(0, 2, 1, 3) + 128])
    images = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
    found = high_frequencies(images).astype(float)
    assert found.shape == images.shape
    for index in (0, 2, 3, 5):
        assert np.abs(found[index] - 128).max() <= 2  # rounding
    for index in (1, 4):
        expected = np.stack([fast] * 32)[..., None]
        expected = expected.transpose(1, 0, 2) if index == 4 else expected
        np.testing.assert_allclose(found[index] - 128, expected, atol=2)


def test_high_frequencies_without_a_cutoff_are_all_but_the_mean():
    images = np.random.default_rng(2).integers(90, 160, (3, 8, 8, 2), dtype=np.uint8)
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(high_frequencies(images, 0) - 128.0, centred, atol=0.51)
