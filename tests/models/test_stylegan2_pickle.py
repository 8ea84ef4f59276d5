"""Network files of the official structure are read; the code in them is not run."""

import pickle
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import stylegan2_pickles as official

from replicate.models.stylegan2 import read_official_pickle

FIXTURE = Path(__file__).with_name("stylegan2_reference.npz")
D_KWARGS = {"architecture": "orig", "epilogue_kwargs": {"mbstd_group_size": 32}}


@pytest.fixture(scope="module")
def arrays():
    with np.load(FIXTURE) as file:
        return {name: file[name] for name in file.files if name[:2] in ("G.", "D.")}


def assert_same(read, arrays):
    assert set(read) == set(arrays)
    for name, array in read.items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
        assert array.dtype == arrays[name].dtype and array.flags.writeable


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_every_array_and_the_configuration(tmp_path, arrays, protocol):
    clamp = np.float64(256)  # as NumPy scalars may stand among the attributes
    path = official.write(
        tmp_path / "network.pkl",
        arrays,
        {"synthesis_kwargs": official.EasyDict(conv_clamp=clamp, channel_base=256)},
        {**D_KWARGS, "conv_clamp": 256},
        protocol,
    )
    assert b"SystemExit" in path.read_bytes()
    read, config = read_official_pickle(path)
    assert_same(read, arrays)
    assert config == {
        "architecture": "orig",
        "mbstd_group_size": 32,
        "mbstd_num_channels": 1,
        "conv_clamp": 256,
    }


def test_defaults_of_the_official_constructors(tmp_path, arrays):
    path = official.write(tmp_path / "network.pkl", arrays)
    assert read_official_pickle(path)[1] == {
        "architecture": "resnet",
        "mbstd_group_size": 4,
        "mbstd_num_channels": 1,
        "conv_clamp": None,
    }


def test_nothing_is_imported(tmp_path, arrays):
    path = official.write(tmp_path / "network.pkl", arrays, {}, D_KWARGS)
    before = set(sys.modules)
    read_official_pickle(path)
    new = set(sys.modules) - before
    assert not {m for m in new if m.split(".")[0] in ("torch", "torch_utils", "dnnlib", "training")}


def test_views_of_a_shared_storage(tmp_path):
    base = np.arange(24, dtype=np.float32)

    def view(offset, size, stride):
        data = official.Call("torch.storage", "_load_from_bytes", official.storage_bytes(base))
        arguments = (data, offset, size, stride, False, OrderedDict())
        return official.Call("torch._utils", "_rebuild_tensor_v2", *arguments)

    with official.official_modules():
        buffers = {
            "transposed": view(0, (4, 6), (1, 4)),
            "later": view(10, (2, 3), (6, 2)),
            "scalar": view(23, (), ()),
        }
        generator = official.module("Generator", {"_buffers": buffers})
        discriminator = official.module("Discriminator", {})
        data = pickle.dumps({"G_ema": generator, "D": discriminator}, 4)
    path = tmp_path / "views.pkl"
    path.write_bytes(data)
    read, _ = read_official_pickle(path)
    np.testing.assert_array_equal(read["G.transposed"], base.reshape(6, 4).T)
    np.testing.assert_array_equal(read["G.later"], [[10, 12, 14], [16, 18, 20]])
    assert read["G.scalar"].shape == () and read["G.scalar"] == 23


def test_half_precision_stays_half(tmp_path):
    arrays = {"G.b.weight": np.ones((2, 3), np.float16), "D.b.weight": np.ones(4, np.float32)}
    path = official.write(tmp_path / "half.pkl", arrays)
    assert_same(read_official_pickle(path)[0], arrays)


def test_a_file_that_torch_wrote(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    names = ["torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"]
    with official.official_modules():
        stand_ins = {name: sys.modules[name] for name in names}
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)
    rebuild = stand_ins["torch_utils.persistence"]._reconstruct_persistent_obj

    class Part(torch.nn.Module):
        def __reduce__(self):
            state = {**self.__dict__, "_init_args": (), "_init_kwargs": official.EasyDict()}
            meta = dict(type="class", version=6, module_src=official.SOURCE, state=state)
            return rebuild, ({**meta, "class_name": type(self).__name__},)

    class Generator(Part):
        def __init__(self):
            super().__init__()
            self.fc = Part()
            self.fc.weight = torch.nn.Parameter(torch.randn(3, 5))
            self.register_buffer("turned", torch.randn(4, 2).t())

    class Discriminator(Generator):
        pass

    generator = Generator()
    path = tmp_path / "torch.pkl"
    path.write_bytes(pickle.dumps({"G_ema": generator, "D": Discriminator()}, 4))
    read, _ = read_official_pickle(path)
    assert set(read) == {"G.fc.weight", "G.turned", "D.fc.weight", "D.turned"}
    np.testing.assert_array_equal(read["G.fc.weight"], generator.fc.weight.detach().numpy())
    np.testing.assert_array_equal(read["G.turned"], generator.turned.numpy())
