"""The TensorFlow Datasets builder of FIDS30, on drawn files."""

import threading
import warnings
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from fids30_world import OTHER, write_folder

from replicate.data import DataCorrupt, load
from replicate.data.fids30 import files

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


def test_manual_folder_without_class_folders_is_refused(builder, tmp_path):
    (tmp_path / "photographs" / "cars").mkdir(parents=True)
    with pytest.raises(DataCorrupt, match="expected class folders strawberries.*Received: cars"):
        builder.download_and_prepare(download_config=manual(tmp_path / "photographs"))
