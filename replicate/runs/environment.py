"""What a record says of the machine and software that made it."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from typing import Any

CORES = "REPLICATE_CORES"  # environment variable: cores of a worker process, as 0,1
PACKAGES = ("replicate", "tensorflow", "keras", "numpy", "scikit-learn", "tensorflow-datasets")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def commit() -> str:
    """The commit of the code, with `+changes` where the work tree differs, or `unknown`."""
    folder = os.path.dirname(__file__)

    def git(*arguments):
        command = ["git", "-C", folder, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "..").strip()
        return git("rev-parse", "HEAD").strip() + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def take_cores() -> None:
    """Stay on the cores that the environment names, where the system can pin a process."""
    share = os.environ.get(CORES)
    if share and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, share.split(",")))


def usable_cores() -> int:
    """Cores that this process may use: those it is pinned to, where the system tells."""
    return len(core_numbers())


def core_numbers() -> list[int]:
    """Their numbers, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    share = os.environ.get(CORES)
    return [int(core) for core in share.split(",")] if share else list(range(os.cpu_count() or 1))


def _computation() -> dict[str, Any]:
    """Precision and graphics processors, where this process has loaded TensorFlow.

    On graphics processors float32 products are in TF32 if `tf32` says so.
    """
    tensorflow, keras = sys.modules.get("tensorflow"), sys.modules.get("keras")
    if tensorflow is None:
        return {}
    details = tensorflow.config.experimental.get_device_details
    devices = tensorflow.config.list_physical_devices("GPU")
    found = {
        "precision": keras.config.dtype_policy().name if keras else "float32",
        "gpus": [details(device).get("device_name", device.name) for device in devices],
    }
    if devices:
        build = tensorflow.sysconfig.get_build_info()
        found |= {name: build.get(f"{name}_version", "unknown") for name in ("cuda", "cudnn")}
        found["tf32"] = tensorflow.config.experimental.tensor_float_32_execution_enabled()
    return found


def environment(threads: dict[str, int]) -> dict[str, Any]:
    """Versions, processors, threads, precision and commit."""
    return {
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": threads,
        **_computation(),
        "commit": commit(),
    }
