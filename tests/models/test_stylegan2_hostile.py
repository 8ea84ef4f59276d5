"""Hostile and damaged network files are refused: nothing runs, and the reason is said."""

import builtins
import io
import os
import pickle
import pickletools
import struct
import time
from collections import OrderedDict

import numpy as np
import pytest
import stylegan2_pickles as official

from replicate.models.stylegan2 import UnsafePickle, read_official_pickle

ARRAYS = {"G.b.weight": np.ones((2, 3), np.float32), "D.b.weight": np.ones(4, np.float32)}


def refused(tmp_path, data, match, **options):
    """Asserts that the reader refuses the bytes, with the file's name and this reason."""
    path = tmp_path / "hostile.pkl"
    path.write_bytes(data)
    with pytest.raises(UnsafePickle, match=match) as caught:
        read_official_pickle(path, **options)
    assert isinstance(caught.value, ValueError) and str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def file_bytes(tmp_path, **replaced):
    return official.write(tmp_path / "made.pkl", ARRAYS, **replaced).read_bytes()


class Gadget:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [os.system, builtins.eval, builtins.exec, os.unlink, getattr])
@pytest.mark.parametrize("protocol", [2, 4])
def test_reduce_gadgets(tmp_path, function, protocol):
    proof = tmp_path / "proof"
    proof.touch()
    argument = str(proof) if function is os.unlink else f"__import__('os').unlink({str(proof)!r})"
    data = pickle.dumps({"G_ema": Gadget(function, argument)}, protocol)
    refused(tmp_path, data, f"Expected only globals of .*{function.__name__}")
    assert proof.exists()


def test_a_gadget_inside_a_whole_network_file(tmp_path):
    data = file_bytes(tmp_path, augment_pipe=Gadget(os.system, "false"))
    refused(tmp_path, data, "Expected only globals .*system")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch.storage", "_load_from_bytes\x00"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("collections", "OrderedDict.__init__"),
        ("builtins", "getattr"),
        ("dnnlib.util", "open_url"),
    ],
)
def test_globals_near_the_allowed_ones(tmp_path, module, name):
    short = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name))
    refused(tmp_path, b"\x80\x04" + short + b"\x93.", "Expected only globals")


def test_a_gadget_inside_a_storage(tmp_path):
    inner = pickle.dumps(Gadget(os.system, "false"), 2)
    for start in (b"", pickle.dumps(official.MAGIC, 2) + pickle.dumps(1001, 2)):
        data = _storage_file(start + inner)
        refused(tmp_path, data, "Expected only globals .*system")


def _storage_file(data):
    with official.official_modules():
        return pickle.dumps({"G_ema": official.Call("torch.storage", "_load_from_bytes", data)}, 4)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04(cposix\nsystem\nX\x05\x00\x00\x00false.",
        b"\x80\x04(X\x05\x00\x00\x00falseiposix\nsystem\n.",  # INST
        b"\x80\x04(X\x05\x00\x00\x00falseo.",  # OBJ
        b"\x80\x04\x82\x01.",  # EXT1
        b"\x80\x04}}\x92.",  # NEWOBJ_EX
        b"\x80\x05\x96" + struct.pack("<Q", 3) + b"abc.",  # BYTEARRAY8
        b"\x80\x04Pstorage\n.",  # PERSID
        b"\x80\x04}Q.",  # BINPERSID
    ],
)
def test_opcodes_that_data_does_not_need(tmp_path, data):
    refused(tmp_path, data, "Expected (only globals|opcodes of plain data|no persistent ids)")


def test_every_opcode_is_carried_out_or_refused(tmp_path):
    for opcode in pickletools.opcodes:
        for before in (b"", b"}", b"}}}", b"(", b"(}}"):
            data = b"\x80\x04" + before + opcode.code.encode("latin1") + b"\x00" * 9 + b"\n\n."
            refused(tmp_path, data, "Expected")


def test_state_for_something_that_takes_none(tmp_path):
    named = b"ctorch._utils\n_rebuild_parameter\n"
    refused(tmp_path, b"\x80\x04" + named + b"}X\x01\x00\x00\x00aNsb.", "takes a state")
    refused(tmp_path, b"\x80\x04}}b.", "takes a state")


@pytest.mark.parametrize("depth", [200, 200_000])
@pytest.mark.parametrize(
    "nested",
    [
        lambda n: b"]" * n + b"a" * (n - 1),
        lambda n: b"(" * n + b"t" * n,
        lambda n: b")" + b"\x85" * n,
    ],
)
def test_deep_nesting(tmp_path, nested, depth):
    data = b"\x80\x04}X\x01\x00\x00\x00a" + nested(depth) + b"s."
    refused(tmp_path, data, "Expected at most .*within each other|Expected one value")


def test_deep_modules(tmp_path):
    with official.official_modules():
        part = official.module("Part", {})
        for _ in range(60):
            part = official.module("Generator", {"_modules": {"a": part}})
        data = pickle.dumps({"G_ema": part, "D": official.module("Discriminator", {})}, 4)
    refused(tmp_path, data, "within each other")


def test_a_module_within_itself_and_many_times(tmp_path):
    state = {"_modules": {}}
    with official.official_modules():
        shared = official.module("Part", {"_parameters": {}})
        state["_modules"] = {"a": shared, "b": shared}
        twice = official.module("Generator", state)
        data = pickle.dumps({"G_ema": twice, "D": official.module("Discriminator", {})}, 4)
    refused(tmp_path, data, "every module once")


def test_containers_that_grow_when_they_are_shown_or_hashed(tmp_path):
    doubling = b")" + b"".join(b"\x94h" + bytes([k]) + b"\x86" for k in range(60))
    start = time.monotonic()
    refused(tmp_path, b"\x80\x04}" + doubling + b"Ns.", "Expected plain keys")
    refused(tmp_path, b"\x80\x04" + doubling + b".", "Expected a dictionary")
    named = b"cnumpy\ndtype\n"
    memo = b"".join(b"q" + bytes([k]) + b"h" + bytes([k]) + b"\x86" for k in range(60))
    refused(tmp_path, b"\x80\x04" + named + b")" + memo + b"\x85R.", "dtype of a number")
    assert time.monotonic() - start < 10


def test_every_truncation(tmp_path):
    data = file_bytes(tmp_path)
    for end in [*range(0, 200, 7), *range(200, len(data), 97), len(data) - 1]:
        refused(tmp_path, data[:end], "Expected")
    refused(tmp_path, data[: len(data) // 2], "cut-off")


def test_every_changed_byte_is_refused_or_harmless(tmp_path):
    data = file_bytes(tmp_path)
    rng = np.random.default_rng(0)
    path = tmp_path / "changed.pkl"
    refusals = 0
    for place in rng.integers(0, len(data), 300):
        path.write_bytes(data[:place] + bytes([rng.integers(256)]) + data[place + 1 :])
        try:
            arrays, _ = read_official_pickle(path)
        except UnsafePickle:
            refusals += 1
        else:
            assert all(array.size <= 6 for array in arrays.values())
    assert refusals > 100


def test_a_cut_storage(tmp_path):
    with official.official_modules():
        stream = official.storage_bytes(np.ones(6, np.float32))
    for data in (stream[:-1], stream + b"\x00", stream[:-24], stream[:-32], stream[:20], b""):
        refused(tmp_path, _storage_file(data), "Expected")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"magic": 1}, "magic number"),
        ({"little_endian": False}, "little-endian"),
        ({"count": 1 << 40}, "elements of float32"),
        ({"count": -1}, "whole storage"),
    ],
)
def test_storages_of_another_kind(tmp_path, options, match):
    with official.official_modules():
        stream = official.storage_bytes(np.ones(6, np.float32), **options)
    refused(tmp_path, _storage_file(stream), match)


@pytest.mark.parametrize(
    "view",
    [
        (0, (7,), (1,)),
        (4, (3,), (1,)),
        (0, (2,), (6,)),
        (0, (1 << 40,), (0,)),
        (0, (1 << 33, 1 << 33), (0, 0)),
        (-1, (1,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (2.0,), (1,)),
        (0, 3, (1,)),
        (0, (1,) * 9, (1,) * 9),
    ],
)
def test_tensors_beyond_their_storage(tmp_path, view):
    with official.official_modules():
        data = official.Call(
            "torch.storage", "_load_from_bytes", official.storage_bytes(np.ones(6, np.float32))
        )
        arguments = (data, *view, False, OrderedDict())
        tensor = official.Call("torch._utils", "_rebuild_tensor_v2", *arguments)
        data = pickle.dumps({"G_ema": tensor}, 4)
    refused(tmp_path, data, "Expected")


def test_oversized_files_are_not_read(tmp_path):
    path = tmp_path / "sparse.pkl"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnsafePickle, match="bytes at most. Received: 1,099,511,627,776"):
        read_official_pickle(path)


def test_a_length_beyond_the_file(tmp_path):
    for opcode, size in ((b"\x8e", "<Q"), (b"B", "<I"), (b"\x8d", "<Q"), (b"X", "<I")):
        refused(tmp_path, b"\x80\x04" + opcode + struct.pack(size, 2**31) + b"a.", "cut-off")


def test_many_views_of_one_storage_do_not_fill_the_memory(tmp_path):
    with official.official_modules():
        big = official.tensor(np.zeros(25_000, np.float32))
        buffers = {f"a{k}": big for k in range(1000)}
        generator = official.module("Generator", {"_buffers": buffers})
        data = pickle.dumps({"G_ema": generator, "D": official.module("Discriminator", {})}, 4)
    assert len(data) < 200_000
    refused(tmp_path, data, "arrays of 50,000,000 bytes at most", max_bytes=50_000_000)


def test_too_many_opcodes(tmp_path, monkeypatch):
    monkeypatch.setattr("replicate.models.stylegan2.pickle_machine.MAX_OPCODES", 1000)
    refused(tmp_path, b"\x80\x04" + b"N0" * 600 + b"}.", "at most 1,000 opcodes")
    monkeypatch.setattr("replicate.models.stylegan2.pickle_machine.MAX_STACK", 100)
    refused(tmp_path, b"\x80\x04" + b"N" * 200 + b"}.", "100 open values")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "another kind of file"),
        (b"PK\x03\x04", "another kind of file"),
        (b"\x80\x04}.", "Generator as G_ema"),
        (b"\x80\x04].", "Expected a dictionary"),
        (b"\x80\x03cdnnlib.tflib.network\nNetwork\n.", "TensorFlow generation"),
    ],
)
def test_other_files(tmp_path, data, match):
    refused(tmp_path, data, match)


@pytest.mark.parametrize(
    ("g_kwargs", "d_kwargs", "match"),
    [
        ({"synthesis_kwargs": {"architecture": "resnet"}}, {}, "architecture skip"),
        ({"mapping_kwargs": {"lr_multiplier": 0.1}}, {}, "lr_multiplier=0.01"),
        ({}, {"block_kwargs": {"activation": "relu"}}, "activation='lrelu'"),
        ({}, {"block_kwargs": {"resample_filter": [1, 1]}}, "resample_filter="),
        ({"synthesis_kwargs": {"conv_clamp": 256}}, {}, "same conv_clamp"),
        ({}, {"epilogue_kwargs": {"mbstd_group_size": "4"}}, "mbstd_group_size of another type"),
        ({}, {"epilogue_kwargs": None}, "epilogue_kwargs of another type"),
    ],
)
def test_networks_that_differ_from_these_here(tmp_path, g_kwargs, d_kwargs, match):
    path = official.write(tmp_path / "made.pkl", ARRAYS, g_kwargs, d_kwargs)
    refused(tmp_path, path.read_bytes(), match)


def test_python_itself_would_have_run_the_gadget(tmp_path):
    proof = tmp_path / "proof"
    proof.touch()
    pickle.load(io.BytesIO(pickle.dumps(Gadget(os.unlink, str(proof)))))
    assert not proof.exists()
