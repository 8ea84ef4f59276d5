"""FIDS30 from a folder of class folders: split, routes, formats, what is missing or damaged."""

import os
import random
import warnings

import numpy as np
import pytest
from fids30_world import digests, draw, write_folder
from PIL import Image

from replicate.data import CATALOGUE, DataCorrupt, DataUnavailable, inventory, load
from replicate.data.dataset import canonical_split
from replicate.data.fids30 import files
from replicate.data.image_files import read_rgb

COUNTS = {  # training and validation images of a class, as the study's repository had them
    "strawberries": (36, 10),
    "raspberries": (31, 8),
    "limes": (23, 6),
    "kiwifruit": (28, 8),
    "grapes": (30, 8),
    "coconuts": (20, 6),
    "blueberries": (25, 7),
    "bananas": (33, 9),
    "apricots": (24, 6),
    "apples": (30, 8),
}
REAL = os.environ.get("TFDS_DATA_DIR", "")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("drawn") / "fids30")


@pytest.fixture
def folder(template, tmp_path, monkeypatch):
    """A drawn copy at `<tmp>/fids30`, beside the empty data folder `<tmp>/prepared`."""
    import shutil

    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))
    monkeypatch.delenv(files.VARIABLE, raising=False)
    (tmp_path / "prepared").mkdir()
    shutil.copytree(template, tmp_path / "fids30")
    return tmp_path / "fids30"


def loaded(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load("fids30", *arguments, **options)


def test_published_split_is_the_seeded_shuffle_of_the_sorted_names():
    split = files.published_split()
    assert tuple(split) == CATALOGUE["fids30"].class_names == tuple(COUNTS)
    for name, parts in split.items():
        names = sorted(parts["train"] + parts["test"])
        assert len(set(names)) == len(names) == sum(COUNTS[name])
        random.seed(1337)
        random.shuffle(names)
        cut = int(0.8 * len(names))
        assert (parts["train"], parts["test"]) == (names[:cut], names[cut:])
        assert (cut, len(names) - cut) == COUNTS[name]
    assert len(files.listed("train")) == 280 and len(files.listed("test")) == 76


def test_pinned_copies_lack_three_training_files():
    pinned = set(files.resized_copies())
    assert set(files.listed("test")) <= pinned
    assert set(files.listed("train")) - pinned == {
        "strawberries/14.jpg",
        "raspberries/17.jpg",
        "blueberries/42.jpg",
    }
    assert len(pinned) == 353


def test_original_files_come_in_canonical_order_with_the_classes_of_the_study(folder):
    dataset = loaded()
    assert (dataset.route, dataset.source) == ("manual_folder", str(folder))
    assert dataset.class_names == tuple(COUNTS)
    assert [np.bincount(part.labels).tolist() for part in (dataset.train, dataset.test)] == [
        [train for train, _ in COUNTS.values()],
        [test for _, test in COUNTS.values()],
    ]
    for split, part in (("train", dataset.train), ("test", dataset.test)):
        assert part.images.shape[1:] == (64, 64, 3) and part.images.dtype == np.uint8
        names = files.listed(split)[::-1]
        images = [
            np.asarray(Image.open(folder / name).resize((64, 64), Image.Resampling.LANCZOS))
            for name in names
        ]
        labels = np.array([list(COUNTS).index(name.split("/")[0]) for name in names])
        expected = canonical_split(np.stack(images), labels)
        np.testing.assert_array_equal(part.images, expected.images)
        np.testing.assert_array_equal(part.labels, expected.labels)
        assert part.sha256 == expected.sha256
    assert [line.split(",")[1] for line in dataset.deviations] == [" split train", " split test"]
    assert all("pinned for resized-256 only" in line for line in dataset.deviations)


def test_no_photograph_is_cached(folder, tmp_path):
    loaded()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_folder_is_found_by_variable_and_in_or_beside_the_data_folder(
    folder, tmp_path, monkeypatch
):
    data_dir = tmp_path / "prepared"
    assert loaded(data_dir=data_dir).source == str(folder)
    assert loaded(data_dir=folder).source == str(folder)
    inside = folder.rename(data_dir / "fids30")
    assert loaded().source == loaded(data_dir=data_dir).source == str(inside)
    found = next(item for item in inventory() if item.name == "fids30")
    assert (found.route, found.path, found.cached) == ("manual_folder", inside, False)
    elsewhere = inside.rename(tmp_path / "photographs")
    with pytest.raises(DataUnavailable, match=r"fids30/<class>, in the given data_dir"):
        loaded(data_dir=data_dir)
    monkeypatch.setenv(files.VARIABLE, str(elsewhere))
    assert loaded().source == loaded(data_dir=data_dir).source == str(elsewhere)


def test_missing_and_unlisted_files_are_counted_and_named(folder):
    (folder / "limes" / files.published_split()["limes"]["train"][0]).unlink()
    (folder / "apples" / files.published_split()["apples"]["test"][2]).unlink()
    draw(np.random.default_rng(0)).save(folder / "bananas" / "extra.jpg")
    with pytest.warns(UserWarning, match="279 of 280 training images; missing: limes/"):
        dataset = load("fids30")
    assert len(dataset.train) == 279 and len(dataset.test) == 75
    lime = files.published_split()["limes"]["train"][0]
    apple = files.published_split()["apples"]["test"][2]
    assert dataset.deviations[:3] == (
        f"fids30: 279 of 280 training images; missing: limes/{lime}",
        f"fids30: 75 of 76 test images; missing: apples/{apple}",
        "fids30: 1 files of the ten classes belong to neither part of the published split and are "
        "not used",
    )


def test_pinned_copies_are_a_route_of_their_own(folder, monkeypatch):
    pinned = {name: facts for name, facts in digests(folder).items() if "limes/" not in name}
    monkeypatch.setattr(files, "resized_copies", lambda: pinned)
    for path in (folder / "limes").iterdir():
        path.unlink()
    with pytest.raises(DataCorrupt, match="1 image in split train of class limes.*0 of 23"):
        loaded()
    lime, test_lime = (
        f"limes/{files.published_split()['limes'][split][0]}" for split in ("train", "test")
    )
    for name in (lime, test_lime):
        draw(np.random.default_rng(0)).save(folder / name)
    with pytest.raises(DataCorrupt, match=f"route resized-256.*2 files.*{lime}, {test_lime}"):
        loaded()  # among copies, files that are not the pinned ones
    pinned |= digests(folder)
    dataset = loaded()
    assert dataset.route == "resized-256"
    assert "short side of at most 256 pixels" in dataset.deviations[0]
    assert dataset.deviations[1].startswith("fids30: 258 of 280 training images; missing: limes/")
    with pytest.raises(DataUnavailable, match="is of route resized-256"):
        loaded(routes=["manual_folder"])


def test_a_replaced_copy_is_refused_by_name(folder, monkeypatch):
    pinned = digests(folder)
    monkeypatch.setattr(files, "resized_copies", lambda: pinned)
    path = folder / "grapes" / files.published_split()["grapes"]["train"][0]
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataCorrupt, match=f"1 files are not the pinned ones: grapes/{path.name}"):
        loaded()


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_corrupt_photograph_is_refused_by_name(folder, damage):
    path = folder / "coconuts" / files.published_split()["coconuts"]["test"][0]
    content = path.read_bytes()
    damaged = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"<html>"}
    path.write_bytes(damaged[damage])
    with pytest.raises(DataCorrupt, match=f"can be decoded. Received: {path}") as error:
        loaded()
    assert "\n" not in str(error.value)


def test_folder_without_class_folders_is_refused(folder, tmp_path, monkeypatch):
    (folder / "kiwifruit").rename(folder / "kiwis")
    with pytest.raises(DataCorrupt, match="expected class folders kiwifruit in"):
        loaded(stand_in=True)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(DataCorrupt, match="strawberries, .*apples in .*Received: an empty folder"):
        loaded(stand_in=True)
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(DataCorrupt, match="expected a folder of class folders. Received: .*absent"):
        loaded()


def test_stand_in_takes_the_place_of_absent_photographs(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(files.VARIABLE, raising=False)
    with pytest.warns(UserWarning, match="280 \\+ 76 drawn images stand in for FIDS30"):
        dataset = load("fids30", stand_in=True)
    assert (len(dataset.train), len(dataset.test)) == (280, 76)


# --- file formats ---------------------------------------------------------------------------------


def test_aspect_is_not_kept(tmp_path):
    picture = draw(np.random.default_rng(1), height=30, width=90)
    picture.save(tmp_path / "wide.png")
    expected = picture.resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(read_rgb(tmp_path / "wide.png", 64), np.asarray(expected))


def test_cmyk_is_converted_to_the_colours_it_was_made_from(tmp_path):
    colours = np.array([[200, 30, 30], [30, 160, 60], [40, 60, 190]], np.uint8)
    for row, colour in enumerate(colours):
        path = tmp_path / f"{row}.jpg"
        Image.fromarray(np.tile(colour, (40, 50, 1))).convert("CMYK").save(path, quality=95)
        assert Image.open(path).mode == "CMYK"
        image = read_rgb(path, 64)
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert np.abs(image.astype(int) - colour).max() <= 6  # JPEG's loss


def test_first_picture_of_a_multi_picture_file_is_read(tmp_path):
    first, second = (draw(np.random.default_rng(seed), 64, 64) for seed in (1, 2))
    path = tmp_path / "two.jpg"
    first.save(path, "MPO", save_all=True, append_images=[second], quality=95)
    with Image.open(path) as image:
        assert image.format == "MPO" and image.n_frames == 2
    error = [np.abs(read_rgb(path, 64).astype(int) - np.asarray(p)).mean() for p in (first, second)]
    assert error[0] < 3 < 10 < error[1]


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_modes_become_rgb(tmp_path, mode):
    picture = draw(np.random.default_rng(3)).convert(mode)
    picture.save(tmp_path / "picture.png")
    expected = picture.convert("RGB").resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(read_rgb(tmp_path / "picture.png", 64), np.asarray(expected))


# --- the copies themselves ------------------------------------------------------------------------


def test_resized_copies_are_as_pinned(monkeypatch):
    monkeypatch.delenv(files.VARIABLE, raising=False)
    folder = files.find(REAL) if REAL else None
    if folder is None or not files.survey(folder).resized:
        pytest.skip("no resized copies of FIDS30 in or beside TFDS_DATA_DIR")
    dataset = loaded(data_dir=REAL)
    assert (len(dataset.train), len(dataset.test)) == (277, 76)
    pinned = CATALOGUE["fids30"].sha256
    assert {"train": dataset.train.sha256, "test": dataset.test.sha256} == pinned
    assert len(dataset.deviations) == 2
    assert (
        "missing: strawberries/14.jpg, raspberries/17.jpg, blueberries/42.jpg"
        in (dataset.deviations[1])
    )
