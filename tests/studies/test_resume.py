"""A generator that is killed anywhere ends bit-identical to one that is not."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from replicate.runs.store import Store

FLAGS = [
    "--preset=smoke",
    "--stages=generator",
    "--extensions=",
    "--epochs=4",
    "--n_train=230",  # the last batch of an epoch is smaller
]


def command(workdir):
    return [sys.executable, "-m", "replicate.mnist_cvae", *FLAGS, f"--workdir={workdir}"]


def weights(workdir):
    store = Store(workdir)
    (record,) = store.latest("mnist_cvae").values()
    assert record.done, record.error
    digests = {
        name: hashlib.sha256(store.artifact(record, name).read_bytes()).hexdigest()
        for name in ("weights", "batch_loss")
    }
    return digests, record.curves


def kill_after(workdir, checkpoints):
    """Kill the run, worker included, once it has written so many checkpoints."""
    process = subprocess.Popen(
        command(workdir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    name = f"step-{checkpoints}.safetensors"
    end = time.monotonic() + 90
    while not list(workdir.rglob(name)) and process.poll() is None:
        assert time.monotonic() < end, "no checkpoint in 90 s"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    subprocess.run(command(workdir), check=True, capture_output=True)
    return weights(workdir)


def test_killed_at_several_points_ends_bit_identical(uninterrupted, tmp_path):
    kill_after(tmp_path, 1)
    kill_after(tmp_path, 3)
    kept = [p.name for p in tmp_path.rglob("step-*.safetensors")]
    assert kept, "the kill left no checkpoint to resume from"
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    assert weights(tmp_path) == uninterrupted
    assert not list(tmp_path.rglob("step-*.safetensors"))  # not needed any more


def test_damaged_checkpoints_cost_time_but_no_result(uninterrupted, tmp_path):
    kill_after(tmp_path, 2)
    for path in tmp_path.rglob("step-*.safetensors"):
        path.write_bytes(path.read_bytes()[:1000])
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    assert weights(tmp_path) == uninterrupted
