"""Shot noise against its distribution, and the published set from a folder written by TFDS."""

import dataclasses

import numpy as np
import pytest
from data_world import write_prepared
from scipy import stats

from replicate.data import catalogue
from replicate.data.dataset import DataCorrupt
from replicate.data.mnist_c import (
    PHOTONS,
    SEVERITIES,
    published_folder,
    published_shot_noise,
    shot_noise,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def grey(level, n=100):
    return np.full((n, 28, 28, 1), level, np.uint8)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("level", [40, 128])
def test_counts_have_poisson_s_frequencies(severity, level):
    """Grey levels are k / c; each has the probability of k photons, those above c in one."""
    photons = (60, 25, 12, 5, 3)[severity - 1]
    noisy = shot_noise(grey(level), severity, rng(severity)).ravel()
    counts = np.arange(photons + 1)
    levels = np.rint(counts / photons * 255)
    assert set(np.unique(noisy)) <= set(levels)
    seen = np.array([np.mean(noisy == value) for value in levels])
    expected = stats.poisson.pmf(counts, level / 255 * photons)
    expected[-1] = stats.poisson.sf(photons - 1, level / 255 * photons)
    errors = np.sqrt(expected * (1 - expected) / noisy.size)
    assert np.all(np.abs(seen - expected) <= 5 * errors + 1e-6)


def test_severe_noise_is_stronger_and_black_stays_black():
    images = grey(128)
    spread = [shot_noise(images, s, rng()).std() for s in SEVERITIES]
    assert spread == sorted(spread) and spread[0] > 10
    assert not shot_noise(grey(0), 5, rng()).any()
    assert PHOTONS == tuple(sorted(PHOTONS, reverse=True))


def test_equal_streams_draw_equal_noise():
    images = rng().integers(0, 256, (3, 28, 28, 1), np.uint8)
    first, again, other = (shot_noise(images, 5, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.uint8 and first.shape == images.shape and np.any(first != other)


def test_other_images_and_severities_are_refused():
    with pytest.raises(ValueError, match="severity=0"):
        shot_noise(grey(1), 0, rng())
    with pytest.raises(ValueError, match="uint8 images.*float64"):
        shot_noise(grey(1) / 255, 5, rng())


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A prepared folder in TFDS' own form, of twelve test images in place of 10,000."""
    arrays = {
        split: (rng(n).integers(0, 256, (n, 28, 28, 1), np.uint8), np.arange(n) % 3)
        for split, n in (("train", 3), ("test", 12))
    }
    counts = {"train": 3, "test": 12}
    entry = dataclasses.replace(catalogue.CATALOGUE["mnist"], counts=counts)
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", entry)
    written = write_prepared(tmp_path / "staged", "mnist_corrupted", arrays)
    folder = tmp_path / "data" / "mnist_corrupted" / "shot_noise" / "1.0.0"
    folder.parent.mkdir(parents=True)
    written.rename(folder)
    return tmp_path / "data", arrays["test"]


def test_the_published_set_is_read_whole(published):
    data_dir, (images, labels) = published
    split = published_shot_noise(data_dir)
    pairs = {(image.tobytes(), label) for image, label in zip(images, labels, strict=True)}
    received = zip(split.images, split.labels, strict=True)
    assert {(image.tobytes(), label) for image, label in received} == pairs and len(pairs) == 12


def test_no_published_set(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert published_folder() is None and published_shot_noise() is None


def test_a_damaged_published_set_is_named(published, monkeypatch):
    data_dir, _ = published
    (record,) = published_folder(data_dir).glob("*test*")
    whole = record.read_bytes()
    record.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataCorrupt, match="shot_noise: .* cannot be read"):
        published_shot_noise(data_dir)
    record.write_bytes(whole)
    entry = dataclasses.replace(catalogue.CATALOGUE["mnist"], counts={"train": 3, "test": 13})
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", entry)
    with pytest.raises(DataCorrupt, match="expected 13 uint8 images .*Received: uint8, shape"):
        published_shot_noise(data_dir)
