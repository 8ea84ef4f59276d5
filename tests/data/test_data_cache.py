"""The cache is whole or absent, verified, and never needed."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import safetensors.numpy
from data_world import idx_files, leftovers, make_arrays, write_command

from replicate.data import cache, load, loading, places
from replicate.data.dataset import Dataset


@pytest.fixture
def cached(world):
    """The world with its data set in the cache by route registry; npm is gone afterwards."""
    world.fake_npm()
    load("shapes")
    write_command(world.bin, "npm", "exit 1")
    return world.cache / "shapes" / "registry.safetensors"


def test_second_load_reads_the_cache_and_keeps_the_route(world, cached):
    again = load("shapes")
    assert (again.route, again.source) == ("registry", "npm package shapes-data@1.0.0")
    assert again.train.sha256 == world.entry.sha256["train"]
    with pytest.raises(ValueError, match="read-only"):
        again.train.labels[0] = 9


def test_prepared_folder_is_read_once(world, prepared, monkeypatch):
    first = load("shapes")
    monkeypatch.setattr(loading, "read_prepared", lambda *_: pytest.fail("read again"))
    second = load("shapes")
    np.testing.assert_array_equal(first.train.images, second.train.images)
    assert second.route == "tfds_folder"


def test_cached_copy_of_a_folder_that_is_gone_spares_the_download(world, prepared):
    import shutil

    load("shapes")
    shutil.rmtree(world.data_dir)
    assert load("shapes").route == "tfds_folder"


@pytest.mark.parametrize("damage", ["pixel", "truncated", "emptied", "header", "other tensors"])
def test_damaged_cache_is_deleted_and_made_again(world, cached, damage, caplog):
    content = bytearray(cached.read_bytes())
    if damage == "pixel":
        content[-1000] ^= 1
    elif damage == "header":
        content[:8] = b"\xff" * 8
    elif damage == "other tensors":
        safetensors.numpy.save_file({"x": np.zeros(3)}, cached)
        content = cached.read_bytes()
    cached.write_bytes({"truncated": content[:-5], "emptied": b""}.get(damage, content))
    world.fake_npm()
    dataset = load("shapes")
    assert dataset.train.sha256 == world.entry.sha256["train"]
    assert "damaged cache file" in caplog.text and str(cached) in caplog.text
    assert cache.read(world.entry, "registry") is not None
    assert leftovers(world.cache) == ["registry.safetensors"]


def test_cache_of_other_pinned_content_is_made_again(world, cached):
    other = make_arrays(seed=1)
    from replicate.data.dataset import canonical_split

    world.arrays = other
    world.change(sha256={k: canonical_split(*v).sha256 for k, v in other.items()})
    world.fake_npm(idx_files(other))
    assert load("shapes").train.sha256 == world.entry.sha256["train"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_write_that_fails_leaves_nothing(world, cached, monkeypatch, error):
    before = cached.read_bytes()
    dataset = load("shapes")

    def fail(tensors, name, metadata):
        name.write_bytes(b"half")
        raise error

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    if isinstance(error, OSError):
        with pytest.warns(UserWarning, match="not cached .*No space left"):
            cache.write(world.entry, dataset, "x")
    else:
        with pytest.raises(KeyboardInterrupt):
            cache.write(world.entry, dataset, "x")
    assert cached.read_bytes() == before
    assert leftovers(world.cache) == ["registry.safetensors"]


def test_what_a_killed_writer_left_is_never_read_and_is_removed(world, cached):
    script = (
        "import os, signal, safetensors.numpy\n"
        "from replicate.data import cache, catalogue, dataset\n"
        "import numpy as np, pathlib\n"
        "def die(tensors, name, metadata):\n"
        "    pathlib.Path(name).write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "safetensors.numpy.save_file = die\n"
        "import dataclasses\n"
        "entry = dataclasses.replace(catalogue.CATALOGUE['mnist'], name='shapes')\n"
        "split = dataset.canonical_split(np.zeros((1, 1, 1, 1), np.uint8), np.array([0]))\n"
        "data = dataset.Dataset('shapes', split, split, ('a',), 'registry')\n"
        "with cache.writer_lock(entry): cache.write(entry, data, 'x')\n"
    )
    before = cached.read_bytes()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(leftovers(world.cache)) == 3  # the good file, and the half file found twice
    assert cached.read_bytes() == before
    assert load("shapes").train.sha256 == world.entry.sha256["train"]
    with cache.writer_lock(world.entry) as writable:
        assert writable
    assert leftovers(world.cache) == ["registry.safetensors"]


@pytest.mark.parametrize("problem", ["a file in its place", "read-only"])
def test_load_works_without_a_cache_and_warns_once(world, problem, monkeypatch):
    world.fake_npm()
    if problem == "read-only":
        if os.geteuid() == 0:
            monkeypatch.setattr(cache, "_acquire", _refuse)
        else:
            world.cache.mkdir(mode=0o500)
    else:
        world.cache.write_text("not a folder")
    with pytest.warns(UserWarning) as warned:
        dataset = load("shapes")
    assert dataset.train.sha256 == world.entry.sha256["train"]
    assert [str(w.message).split(":")[0] for w in warned] == [
        f"shapes is not cached in {world.cache}"
    ]
    if problem == "a file in its place":
        assert world.cache.read_text() == "not a folder"


def _refuse(lock, entry):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_two_writers_download_once(world):
    world.fake_npm()
    npm, count = world.bin / "npm", world.root / "count"
    script = npm.read_text().replace("cp ", f"echo x >> {count} && sleep 1 && cp ")
    npm.write_text(script)
    with ThreadPoolExecutor(2) as pool:
        received = [each.train.sha256 for each in pool.map(load, ["shapes", "shapes"])]
    assert received == [world.entry.sha256["train"]] * 2
    assert count.read_text().split() == ["x"]


def test_reading_the_cache_does_not_wait_for_a_writer(world, cached):
    with cache.writer_lock(world.entry):
        start = time.monotonic()
        assert isinstance(load("shapes"), Dataset)
        assert time.monotonic() - start < 2


def test_cache_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("REPLICATE_CACHE", raising=False)
    assert places.cache_root() == tmp_path / ".cache" / "replicate"
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path / "elsewhere"))
    assert places.cache_root() == tmp_path / "elsewhere"
