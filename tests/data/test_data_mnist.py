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


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_prepared_folder_is_as_pinned(name, packaged, tmp_path, monkeypatch):
    entry = CATALOGUE[name]
    if not PREPARED or places.prepared_folder(entry, places.data_dir_or_default(PREPARED)) is None:
        pytest.skip(f"TFDS_DATA_DIR has no prepared {name}")
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path))
    dataset = load(name, data_dir=PREPARED)
    assert dataset.route == "tfds_folder"
    assert {"train": dataset.train.sha256, "test": dataset.test.sha256} == entry.sha256
    assert len(np.unique(dataset.train.labels)) == len(dataset.class_names) == 10
    if name == "mnist":
        np.testing.assert_array_equal(dataset.train.images, packaged.train.images)
        np.testing.assert_array_equal(dataset.test.labels, packaged.test.labels)
    start = time.monotonic()
    again = load(name, data_dir=PREPARED)
    assert time.monotonic() - start < 3  # cached; a third of a second on an idle machine
    np.testing.assert_array_equal(again.train.images, dataset.train.images)


def test_catalogue_entries_are_complete():
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert set(entry.sha256) == set(entry.counts) == {"train", "test"}
        assert all(len(digest) == 64 for digest in entry.sha256.values())
        assert len(set(entry.class_names)) == len(entry.class_names)
        assert entry.download_urls and entry.registry
