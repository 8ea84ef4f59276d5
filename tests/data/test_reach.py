"""What is said of data sets before a run; no test asks a real host."""

import dataclasses
import os
import subprocess
import sys

import pytest

from replicate.data import download
from replicate.data.catalogue import CATALOGUE, DebianPackage, NpmPackage
from replicate.data.dataset import DataUnavailable
from replicate.data.reach import ABSENT, FETCHABLE, FOUND, STAND_IN, reach


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with no data but what is in the package, and no host that answers."""
    for name in ("TFDS_DATA_DIR", "REPLICATE_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("REPLICATE_FIDS30_DIR", raising=False)
    asked = []

    def silent(urls, *_):
        asked.extend(urls)
        raise DataUnavailable("no answer")

    monkeypatch.setattr(download, "probe", silent)
    monkeypatch.setattr("shutil.which", lambda name: None)
    return asked


def of(name, **arguments):
    (found,) = reach([name], **arguments)
    assert found.name == name and "\n" not in found.where
    return found


def test_what_lies_here_is_found_and_no_host_is_asked(bare):
    assert of("mnist").state == FOUND and "package" in of("mnist").where
    assert not bare


def test_what_no_host_gives_is_absent_with_what_to_do(bare):
    assert of("cifar10").state == of("fids30").state == of("fashion_mnist").state == ABSENT
    assert "TFDS_DATA_DIR" in of("cifar10").where
    assert "REPLICATE_FIDS30_DIR" in of("fids30").where
    assert CATALOGUE["cifar10"].download_urls[0] in bare and download.DEFAULT_NPM_REGISTRY in bare


def test_what_a_host_gives_is_to_be_fetched(bare, monkeypatch):
    monkeypatch.setattr(download, "probe", lambda urls: None)
    assert (of("fids30").state, of("fids30").where) == (
        FETCHABLE,
        "tfds_download, TensorFlow Datasets",
    )


def test_a_registry_is_asked_where_the_first_host_does_not_answer(bare, monkeypatch):
    def only_npm(urls):
        if urls != [download.DEFAULT_NPM_REGISTRY]:
            raise DataUnavailable("no answer")

    monkeypatch.setattr(download, "probe", only_npm)
    assert of("cifar10").where == f"registry, {CATALOGUE['cifar10'].registry}"
    assert of("fashion_mnist").state == ABSENT


@pytest.mark.parametrize(("code", "state"), [(0, FETCHABLE), (1, ABSENT)])
def test_npm_and_apt_are_asked_where_they_are_installed(bare, tmp_path, monkeypatch, code, state):
    for name in ("npm", "apt-get", "dpkg-deb"):
        address = "" if code else "echo \"'http://debian.invalid/set.deb' set.deb 3\""
        (tmp_path / name).write_text(f"#!/bin/sh\n{address}\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(tmp_path / name))
    monkeypatch.setattr(download, "probe", lambda urls: None)
    for package in (NpmPackage("set", "1.0.0", "idx", 1), DebianPackage("set", "/no", "idx", 1)):
        entry = dataclasses.replace(CATALOGUE["cifar10"], registry=package, routes=("registry",))
        monkeypatch.setitem(CATALOGUE, "cifar10", entry)
        assert of("cifar10").state == state


def test_a_given_folder_alone_counts(bare, tmp_path):
    found = of("mnist", data_dir=tmp_path, stand_in=True)
    assert found.state == ABSENT and f"--data_dir={tmp_path}" in found.where
    assert not bare


def test_a_stand_in_takes_the_place_of_an_absent_one(bare):
    assert of("cifar10", stand_in=True).state == STAND_IN
    assert of("mnist", stand_in=True).state == FOUND
    assert not bare


def test_a_folder_without_the_photographs_is_absent(bare, tmp_path, monkeypatch):
    monkeypatch.setenv("REPLICATE_FIDS30_DIR", str(tmp_path / "nowhere"))
    assert "expected a folder of class folders" in of("fids30").where
    (tmp_path / "nowhere" / "apples").mkdir(parents=True)
    found = of("fids30", stand_in=True)  # which would be refused, too
    assert found.state == ABSENT and "expected class folders strawberries" in found.where


def test_looking_is_light():
    code = "import sys; from replicate.data.reach import reach; reach(['mnist']); "
    code += "sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
