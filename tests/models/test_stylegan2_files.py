"""Converting, sampling and fetching network files, in Python and on the command line."""

import http.server
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import stylegan2_pickles as official
from PIL import Image

from replicate.models.stylegan2 import (
    from_official,
    load_converted,
    load_network,
    read_official_pickle,
    write_converted,
)
from replicate.models.stylegan2.__main__ import main
from replicate.models.stylegan2.files import NetworkUnavailable, official_network, sha256_of
from replicate.models.stylegan2.sampling import class_numbers, sample, sheet

FIXTURE = Path(__file__).with_name("stylegan2_reference.npz")
CLAMP = {"conv_clamp": 256}


@pytest.fixture(scope="module")
def arrays():
    with np.load(FIXTURE) as file:
        return {name: file[name] for name in file.files if name[:2] in ("G.", "D.")}


@pytest.fixture(scope="module")
def network_file(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("official") / "cifar10.pkl"
    d_kwargs = {"architecture": "orig", "epilogue_kwargs": {"mbstd_group_size": 32}, **CLAMP}
    return official.write(path, arrays, {"synthesis_kwargs": CLAMP}, d_kwargs)


def test_convert_prints_both_hashes(tmp_path, arrays, network_file, capsys):
    target = tmp_path / "sub" / "network.safetensors"
    assert main(["convert", str(network_file), str(target)]) == 0
    printed = capsys.readouterr().out
    assert sha256_of(network_file) in printed and sha256_of(target) in printed
    assert "non-commercial" in printed
    converted = load_converted(target)
    assert set(converted.arrays) == set(arrays)
    for name, array in converted.arrays.items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    assert converted.config == read_official_pickle(network_file)[1]
    assert converted.card["sha256"] == sha256_of(network_file)
    again = tmp_path / "again.safetensors"
    main(["convert", str(network_file), str(again)])
    assert again.read_bytes() == target.read_bytes()
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_pickle_and_conversion_give_the_same_network(tmp_path, network_file, caplog):
    target = tmp_path / "network.safetensors"
    main(["convert", str(network_file), str(target)])
    z, c = np.ones((2, 64), np.float32), np.eye(10, dtype=np.float32)[:2]
    images = []
    for path in (network_file, target):
        network = load_network(path)
        generator, discriminator = from_official(network.arrays, network.config)
        assert (discriminator.mbstd_group_size, generator.conv_clamp) == (32, 256)
        images.append(generator(z, c).numpy())
    np.testing.assert_array_equal(*images)
    assert caplog.text.count("non-commercial") == 2, "the licence is named at each loading"


def test_own_weights_keep_their_own_card(tmp_path, arrays, caplog):
    path = tmp_path / "own.safetensors"
    write_converted(path, arrays, {"mbstd_group_size": 32}, {"source": "our training"})
    assert load_network(path).card == {"source": "our training"}
    assert "non-commercial" not in caplog.text


def test_sampling(network_file):
    generator, _ = from_official(*read_official_pickle(network_file))
    images = sample(generator, [3, 3, 5], seed=1)
    assert images.dtype == np.uint8 and images.shape == (3, 32, 32, 3)
    z = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)
    raw = generator(z, np.eye(10, dtype=np.float32)[[3, 3, 5]]).numpy()
    assert np.abs(np.floor(np.clip(raw * 127.5 + 128, 0, 255)) - images).max() <= 1
    np.testing.assert_array_equal(images, sample(generator, [3, 3, 5], seed=1))
    assert np.any(images[0] != sample(generator, [4], seed=1)[0])
    assert np.any(images != sample(generator, [3, 3, 5], seed=1, truncation_psi=0.5))


def test_sheet():
    images = np.arange(1, 7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    picture = sheet(images, per_class=3, columns=2)
    expected = [[1, 2], [3, 255], [4, 5], [6, 255]]
    np.testing.assert_array_equal(picture[::2, ::2, 0], expected)
    np.testing.assert_array_equal(picture[1::2, 1::2, 0], expected)


def test_class_numbers():
    assert class_numbers("cat,dog", 10) == [3, 5]
    assert class_numbers("9, 0", 10) == [9, 0]
    assert class_numbers(None, 3) == [0, 1, 2] and class_numbers(None, 0) == [0]
    with pytest.raises(ValueError, match="unicorn"):
        class_numbers("cat,unicorn", 10)
    with pytest.raises(ValueError, match="cat"):
        class_numbers("cat", 3)


def test_sample_command(tmp_path, network_file, capsys):
    out = tmp_path / "out.png"
    command = ["sample", f"--network={network_file}", "--classes=cat,dog", "--n=3", str(out)]
    assert main(command) == 0
    picture = np.asarray(Image.open(out))
    generator, _ = from_official(*read_official_pickle(network_file))
    expected = sheet(sample(generator, [3, 3, 3, 5, 5, 5]), 3)
    assert picture.shape == (64, 96, 3)
    np.testing.assert_array_equal(picture, expected)


def test_clear_lines_instead_of_tracebacks(tmp_path, monkeypatch, capsys):
    hostile = tmp_path / "hostile.pkl"
    hostile.write_bytes(b"\x80\x04cposix\nsystem\n.")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"no safetensors at all")
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path / "cache"))
    url = "http://127.0.0.1:9/cifar10.pkl"
    monkeypatch.setattr(official_network, "__defaults__", (url,))
    for command, words in (
        (["convert", str(hostile), str(tmp_path / "x.safetensors")], "posix.system"),
        (["sample", f"--network={other}", "x.png"], "converted network"),
        (["sample", f"--network={tmp_path / 'none.pkl'}", "x.png"], "none.pkl"),
        (["sample", "x.png"], f"could not be downloaded from {url}"),
    ):
        assert main(command) == 1
        printed = capsys.readouterr().err
        assert words in printed and printed.count("\n") == 1
    assert not (tmp_path / "x.safetensors").exists()


@pytest.fixture
def server(network_file):
    content, asked = network_file.read_bytes(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:1000] if "cut" in self.path else content)

        def log_message(self, *_):
            pass

    running = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()
    running.server_close()


def test_download_once_into_the_cache(tmp_path, monkeypatch, network_file, server):
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path))
    for proxy in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    url, asked = server
    for _ in range(2):
        path = official_network(f"{url}/cifar10.pkl")
        assert path.read_bytes() == network_file.read_bytes()
    assert asked == ["/cifar10.pkl"]
    with pytest.raises(NetworkUnavailable, match="ended after 1,000 of"):
        official_network(f"{url}/cut.pkl")
    assert [p.name for p in path.parent.iterdir()] == ["cifar10.pkl"]


def test_help_and_convert_do_without_tensorflow(tmp_path, network_file):
    code = (
        "import sys\n"
        "from replicate.models.stylegan2.__main__ import main\n"
        "status = main(sys.argv[1:])\n"
        "loaded = {'tensorflow', 'keras', 'torch'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "sys.exit(status)\n"
    )
    command = [sys.executable, "-c", code, "convert", network_file, tmp_path / "x.safetensors"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert sha256_of(network_file) in done.stdout
