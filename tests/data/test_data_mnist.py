"""The real data sets: the MNIST inside this package, and prepared folders where there are any."""

import os
import time

import numpy as np
import pytest

from replicate.data import CATALOGUE, load, places

# Images a digit, as commonly tabulated for the original files.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
PREPARED = os.environ.get("TFDS_DATA_DIR", "")


@pytest.fixture(scope="module")
def packaged():
    """MNIST by route package."""
    return load("mnist", routes=["package"])


def test_packaged_mnist_is_mnist(packaged):
    assert packaged.route == "package" and packaged.deviations == ()
    assert packaged.train.images.shape == (60_000, 28, 28, 1)
    assert packaged.test.images.shape == (10_000, 28, 28, 1)
    assert np.bincount(packaged.train.labels).tolist() == TRAIN_COUNTS
    assert np.bincount(packaged.test.labels).tolist() == TEST_COUNTS
    pinned = CATALOGUE["mnist"].sha256
    assert (packaged.train.sha256, packaged.test.sha256) == (pinned["train"], pinned["test"])
    # Mean and standard deviation of the training pixels, as commonly quoted.
    assert packaged.train.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert packaged.train.images.std() / 255 == pytest.approx(0.3081, abs=5e-5)


def test_packaged_mnist_is_small_and_stored_in_canonical_order(packaged):
    from replicate.data.package import read_packaged

    path = places.packaged_file(CATALOGUE["mnist"])
    assert path.stat().st_size < 12_000_000
    images, labels = read_packaged(CATALOGUE["mnist"], path)["test"]
    np.testing.assert_array_equal(images, packaged.test.images)
    np.testing.assert_array_equal(labels, packaged.test.labels)


def test_prepared_mnist_equals_the_packaged_one(packaged, tmp_path, monkeypatch):
    folder = places.data_dir_or_default(PREPARED)
    if not PREPARED or places.prepared_folder(CATALOGUE["mnist"], folder) is None:
        pytest.skip("TFDS_DATA_DIR has no prepared mnist")
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path))
    for _ in range(2):  # read, then cached
        start = time.monotonic()
        dataset = load("mnist", data_dir=PREPARED)
        seconds = time.monotonic() - start
        assert dataset.route == "tfds_folder"
        for split in ("train", "test"):
            prepared, expected = getattr(dataset, split), getattr(packaged, split)
            np.testing.assert_array_equal(prepared.images, expected.images)
            np.testing.assert_array_equal(prepared.labels, expected.labels)
    assert seconds < 2  # a tenth of a second on an idle machine


def test_catalogue_entries_are_complete():
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert set(entry.sha256) == set(entry.counts) == {"train", "test"}
        assert all(len(digest) == 64 for digest in entry.sha256.values())
        assert len(set(entry.class_names)) == len(entry.class_names)
        assert entry.download_urls and (entry.registry or name == "fids30")
