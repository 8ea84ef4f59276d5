"""Data sets of one's own: from arrays, from folders, and by a study's loaders."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from replicate import data
from replicate.data.dataset import content_hash
from replicate.runs.context import Context
from replicate.runs.store import Store

NAMES = ("cat", "dog")
COLOURS = {"cat": (250, 0, 0), "dog": (0, 0, 250)}


def pair(n=6, shape=(4, 5, 3), seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), np.uint8), np.arange(n) % 2


def test_arrays_become_read_only_splits_in_canonical_order_that_share_no_memory():
    images, labels = pair()
    made = data.from_arrays("pets", (images, labels.astype(np.uint8)), pair(4, seed=1), NAMES)
    assert (made.name, made.route, made.class_names, made.deviations) == (
        "pets", "arrays", NAMES, (),
    )  # fmt: skip
    assert (len(made.train), len(made.test)) == (6, 4)
    assert made.train.labels.dtype == np.int64 and not made.train.images.flags.writeable
    assert made.train.sha256 == content_hash(made.train.images, made.train.labels)
    again = data.from_arrays("pets", (images[::-1], labels[::-1]), pair(4, seed=1), NAMES)
    assert again.train.sha256 == made.train.sha256 != made.test.sha256
    images[:] = 0
    assert made.train.images.any()


def test_a_pinned_content_is_checked():
    made = data.from_arrays("pets", pair(), pair(4), NAMES)
    pins = {"train": made.train.sha256, "test": made.test.sha256}
    assert data.from_arrays("pets", pair(), pair(4), NAMES, sha256=pins).train.sha256
    with pytest.raises(data.DataCorrupt, match="split test: Expected .* Received: 5 images"):
        data.from_arrays("pets", pair(), pair(5), NAMES, sha256=pins)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "mnist"}, "a name that the catalogue does not have"),
        ({"class_names": ("cat", "cat")}, "distinct class names"),
        ({"class_names": ()}, "distinct class names"),
        ({"train": (pair()[0] / np.float32(255), pair()[1])}, "split train: Expected uint8"),
        ({"train": (pair()[0][..., 0], pair()[1])}, r"Received: uint8 \(6, 4, 5\)"),
        ({"test": (pair()[0][:0], pair()[1][:0])}, r"split test: .* Received: uint8 \(0, 4"),
        ({"test": (pair()[0], pair()[1][:5])}, "Expected 6 integer labels"),
        ({"test": (pair()[0], pair()[1] / 2)}, "Expected 6 integer labels"),
        ({"test": (pair()[0], pair()[1] + 1)}, "labels from 0 to 1, .* Received: 1 to 2"),
        ({"test": (pair()[0], pair()[1] - 1)}, "labels from 0 to 1, .* Received: -1 to 0"),
        ({"test": pair(shape=(4, 4, 3))}, "splits of one image shape"),
    ],
)
def test_arrays_of_another_form_are_refused(change, said):
    arguments = {"name": "pets", "train": pair(), "test": pair(4), "class_names": NAMES}
    with pytest.raises(ValueError, match=said) as error:
        data.from_arrays(**{**arguments, **change})
    assert "Expected" in str(error.value) and "Received: " in str(error.value)


@pytest.fixture
def folder(tmp_path):
    """Three cats and two dogs to learn from, one of each to test on, and a hidden file."""
    for split, counts in (("train", {"cat": 3, "dog": 2}), ("test", {"cat": 1, "dog": 1})):
        for name, count in counts.items():
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                image = Image.new("RGB", (7 + index, 9), COLOURS[name])
                image.save(tmp_path / split / name / f"{index}.png")
    (tmp_path / "train" / ".DS_Store").write_bytes(b"x")
    return tmp_path


def test_class_folders_become_a_data_set(folder):
    made = data.from_folder("pets", folder, size=8)
    assert made.class_names == NAMES and made.source == str(folder) and made.route == "folder"
    assert made.train.images.shape == (5, 8, 8, 3) and made.test.images.shape == (2, 8, 8, 3)
    for image, label in zip(made.train.images, made.train.labels, strict=True):
        assert (image == COLOURS[NAMES[label]]).all()


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda f: (f / "test").rename(f / "val"), data.DataUnavailable, "no folder .*test"),
        (lambda f: (f / "test/dog").rename(f / "dog"), data.DataUnavailable, "folder .*test/dog"),
        (lambda f: (f / "test/dog/0.png").unlink(), data.DataUnavailable, "1 image in .*test/dog"),
        (lambda f: (f / "train/cat/0.png").write_text("no"), data.DataCorrupt, "train/cat/0.png"),
    ],
)
def test_folders_that_are_not_whole_are_refused(folder, spoil, error, said):
    spoil(folder)
    with pytest.raises(error, match=said):
        data.from_folder("pets", folder, size=8)


def test_grey_images_have_one_channel_of_pillow_s_luma(folder):
    made = data.from_folder("pets", folder, size=8, channels=1)
    assert made.train.images.shape == (5, 8, 8, 1)
    assert np.unique(made.train.images).tolist() == [28, 75]  # 0.114 and 0.299 of 250


@pytest.mark.parametrize("form", [{"size": 0}, {"size": 8, "channels": 2}])
def test_another_size_or_number_of_channels_is_refused(folder, form):
    with pytest.raises(ValueError, match="Expected size .* Received: size="):
        data.from_folder("pets", folder, **form)


def test_a_folder_that_was_not_given_is_asked_for():
    with pytest.raises(data.DataUnavailable, match="folder of pets, as by --data_dir"):
        data.from_folder("pets", None, size=8)


def test_a_context_asks_the_study_s_loaders_first_and_once(tmp_path):
    asked = []

    def load_pets(data_dir):
        asked.append(data_dir)
        return data.from_arrays("pets", pair(), pair(4), NAMES)

    def load_mnist(data_dir):
        return dataclasses.replace(load_pets(data_dir), name="mnist")

    loaders = {"pets": load_pets, "mnist": load_mnist}
    context = Context(Store(tmp_path), data_dir="photographs", loaders=loaders)
    assert context.dataset("pets") is context.dataset("pets") and asked == ["photographs"]
    assert context.dataset("mnist").class_names == NAMES


def test_a_context_refuses_unknown_names_and_loaders_of_other_data(tmp_path):
    loaders = {"cats": lambda data_dir: data.from_arrays("pets", pair(), pair(4), NAMES)}
    context = Context(Store(tmp_path), loaders={**loaders, "none": lambda data_dir: None})
    with pytest.raises(ValueError, match="Expected one of cats, none, mnist, .* 'dogs'"):
        context.dataset("dogs")
    with pytest.raises(ValueError, match="Expected a Dataset 'cats' .* Received: Dataset pets"):
        context.dataset("cats")
    with pytest.raises(ValueError, match="Received: NoneType"):
        context.dataset("none")
