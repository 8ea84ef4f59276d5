"""Fixtures: the tiny data set `shapes`, with or without a prepared folder."""

import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))  # for data_world, whatever the import mode
from data_world import COUNTS, SHAPE, World, make_arrays, write_command, write_prepared

from replicate.data import catalogue
from replicate.data.catalogue import Entry, NpmPackage
from replicate.data.dataset import canonical_split


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An entry `shapes` with pinned hashes; no route has it until a test provides one."""
    arrays = make_arrays()
    entry = Entry(
        name="shapes",
        title="Shapes",
        image_shape=SHAPE,
        counts=COUNTS,
        class_names=("a", "b", "c"),
        sha256={split: canonical_split(*pair).sha256 for split, pair in arrays.items()},
        download_urls=("http://127.0.0.1:9/",),  # the discard port: refuses at once
        registry=NpmPackage("shapes-data", "1.0.0", "idx", 1),
        packaged=str(tmp_path / "shapes.npy.xz"),
    )
    (tmp_path / "bin").mkdir()
    monkeypatch.setitem(catalogue.CATALOGUE, "shapes", entry)
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    world = World(tmp_path, entry, arrays, monkeypatch)
    write_command(world.bin, "npm", 'echo "npm error network no such host" >&2; exit 1')
    return world


@pytest.fixture(scope="session")
def prepared_template(tmp_path_factory):
    """A prepared folder of `shapes`, written once; tests copy it."""
    root = tmp_path_factory.mktemp("template")
    write_prepared(root, "shapes", make_arrays())
    return root


@pytest.fixture
def prepared(world, prepared_template):
    """The world with a prepared folder; gives the folder of the version."""
    shutil.copytree(prepared_template, world.data_dir)
    return world.data_dir / "shapes" / "1.0.0"
