"""The TensorFlow Datasets builder of FIDS30, on drawn files."""

import shutil
import threading
import warnings
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fids30_world import OTHER, write_folder

from replicate.data import DataCorrupt, fids30, load
from replicate.data.fids30 import files

DUMMY = Path(fids30.__file__).parent / "dummy_data"
MISSING = "bananas/" + files.published_split()["bananas"]["train"][4]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("drawn") / "FIDS30", leave_out=[MISSING])


@pytest.fixture
def builder(tmp_path, monkeypatch):
    """A fresh builder with its data folder; nothing else is in reach."""
    import tensorflow_datasets as tfds

    from replicate.data.fids30 import fids30_dataset_builder

    assert tfds.builder_cls("fids30") is fids30_dataset_builder.Builder
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(files.VARIABLE, raising=False)
    return fids30_dataset_builder.Builder(data_dir=str(tmp_path / "prepared" / "data"))


def test_the_dummy_data_of_the_builder_are_prepared(builder):
    """Drawn files, one of each part and class, a lime in CMYK."""
    builder.download_and_prepare(download_config=manual(DUMMY))
    counts = {name: info.num_examples for name, info in builder.info.splits.items()}
    assert counts == {"train": 10, "test": 10, "other": 2}
    for part in ("train", "test"):
        items = list(builder.as_dataset(split=part).as_numpy_iterator())
        assert sorted(item["label"] for item in items) == list(range(10))
        assert {item["image"].shape for item in items} == {(64, 64, 3)}
        assert {item["image"].dtype for item in items} == {np.dtype("uint8")}
    missing = builder.info.metadata["deviations"][0]
    assert missing.startswith("fids30: 10 of 280 training images; missing: ")


def quiet_load(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load("fids30", **options)


def manual(folder):
    import tensorflow_datasets as tfds

    return tfds.download.DownloadConfig(manual_dir=str(folder))


def test_manual_folder_gives_what_reading_the_folder_gives(builder, drawn, tmp_path):
    builder.download_and_prepare(download_config=manual(drawn))
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {
        "train": 279,
        "test": 76,
        "other": 2 * len(OTHER),
    }
    names = builder.info.features["label"].names
    assert names[:10] == list(files.published_split()) and len(set(names)) == 30
    others = list(builder.as_dataset(split="other").as_numpy_iterator())
    assert {names[item["label"]] for item in others} == set(OTHER)
    assert {item["file"].decode() for item in others} == {
        f"{name}/{number}.jpg" for name in OTHER for number in (0, 1)
    }

    prepared = quiet_load(data_dir=tmp_path / "prepared" / "data")
    folder = quiet_load(data_dir=drawn)
    assert (prepared.route, folder.route) == ("tfds_folder", "manual_folder")
    for split in ("train", "test"):
        one, other = getattr(prepared, split), getattr(folder, split)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
    missing = f"fids30: 279 of 280 training images; missing: {MISSING}"
    assert prepared.deviations[0] == folder.deviations[0] == missing
    others = (
        f"fids30: split other has {2 * len(OTHER)} of 615 images and {len(OTHER)} of 20 classes"
    )
    assert prepared.deviations[1].startswith(f"{others}; absent: acerolas, avocados, ")
    assert not set(OTHER) & set(prepared.deviations[1].split(", "))


def test_download_is_unpacked_and_read(builder, drawn, tmp_path, monkeypatch):
    from replicate.data.fids30 import fids30_dataset_builder

    with zipfile.ZipFile(tmp_path / "FIDS30.zip", "w") as archive:
        for path in sorted(drawn.rglob("*.jpg")):
            archive.write(path, path.relative_to(drawn.parent))
    content = (tmp_path / "FIDS30.zip").read_bytes()

    class Host(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/FIDS30.zip"
        monkeypatch.setattr(fids30_dataset_builder, "URL", url)
        builder.download_and_prepare()
        server.shutdown()
    assert builder.info.splits["train"].num_examples == 279
    assert builder.info.splits["test"].num_examples == 76


@pytest.fixture
def no_host(monkeypatch):
    """The archive is out of reach, at once; TFDS itself would try for minutes."""
    import tensorflow_datasets as tfds

    def refuse(self, url):
        raise ConnectionError(f"no way to {url}")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", refuse)


def test_manual_folder_without_class_folders_is_refused(builder, no_host, tmp_path):
    (tmp_path / "photographs" / "cars").mkdir(parents=True)
    with pytest.raises(
        DataCorrupt, match="class folders strawberries.*Received: cars. .*no way to"
    ):
        builder.download_and_prepare(download_config=manual(tmp_path / "photographs"))


def test_what_others_keep_in_a_shared_manual_folder_does_not_stop_the_download(drawn, tmp_path):
    """TFDS has one manual folder for all data sets by default."""
    from replicate.data.fids30.fids30_dataset_builder import URL, _photographs

    shared = tmp_path / "manual"
    (shared / "cars").mkdir(parents=True)
    (shared / "imagenet.tar").touch()
    asked = []
    manager = SimpleNamespace(
        manual_dir=shared, download_and_extract=lambda url: asked.append(url) or drawn.parent
    )
    assert (_photographs(manager), asked) == (drawn, [URL])
    (shared / "garden" / "apples").mkdir(parents=True)  # another set's, of one class
    shutil.copytree(drawn, shared / "fruit" / "FIDS30")
    assert (_photographs(manager), asked) == (shared / "fruit" / "FIDS30", [URL])


def test_files_of_other_classes_that_are_no_images_are_named(tmp_path):
    from replicate.data.fids30.fids30_dataset_builder import OTHER_CLASSES, other_files

    for name in OTHER_CLASSES:
        (tmp_path / name).mkdir()
        for number in range(31 if name in OTHER_CLASSES[:15] else 30):
            (tmp_path / name / f"{number}.JPG").touch()
    complete, lines = other_files(tmp_path)
    assert (len(complete), lines) == (615, [])
    for file in (".DS_Store", "Thumbs.db"):
        (tmp_path / "figs" / file).touch()
    images, (line,) = other_files(tmp_path)
    assert images == complete
    assert line.endswith("1 files of the other classes are no images by their names and are not "
                         "used: figs/Thumbs.db")  # fmt: skip
    (tmp_path / "plums" / "0.JPG").unlink()
    (_, (first, _)) = other_files(tmp_path)
    assert first == "fids30: split other has 614 of 615 images and 20 of 20 classes"
