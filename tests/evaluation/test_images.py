import numpy as np
import pytest

from replicate.evaluation.images import high_frequency_energy, to_uint8


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
    values = np.array([-1.0, 0.0, 0.5, 100.4 / 255, 100.6 / 255, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 128, 100, 101, 255, 255]
