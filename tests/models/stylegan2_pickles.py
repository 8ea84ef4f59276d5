"""Writes network files of the official structure without torch or the official code.

Stand-in modules carry the official names while Python's own pickler runs, so that the files name
the same globals as official ones; the storages inside are written byte by byte.
"""

import contextlib
import io
import pickle
import struct
import sys
import types
from collections import OrderedDict

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
SOURCE = "raise SystemExit('the source inside a network file was run')\n"


class EasyDict(dict):
    pass


class FloatStorage:
    """A storage's class, which the inner stream names."""


class HalfStorage:
    pass


class Call:
    """A value that is pickled as a call of a named function."""

    def __init__(self, module, name, *arguments):
        self.function, self.arguments = getattr(sys.modules[module], name), arguments

    def __reduce__(self):
        return self.function, self.arguments


def _function(module, name):
    def called(*arguments):
        raise AssertionError("only named")

    called.__module__, called.__name__, called.__qualname__ = module, name, name
    return called


@contextlib.contextmanager
def official_modules():
    """Modules of the official names in `sys.modules`, as long as the context lasts."""
    classes = {("dnnlib.util", "EasyDict"): EasyDict}
    classes |= {("torch", c.__name__): c for c in (FloatStorage, HalfStorage)}
    functions = [("torch_utils.persistence", "_reconstruct_persistent_obj")]
    functions += [("torch._utils", name) for name in ("_rebuild_parameter", "_rebuild_tensor_v2")]
    functions += [("torch.storage", "_load_from_bytes")]
    named = {(m, n): _function(m, n) for m, n in functions}
    modules = {}
    for (module, name), value in {**classes, **named}.items():
        for part in (module.split(".")[0], module):
            modules.setdefault(part, types.ModuleType(part))
        setattr(modules[module], name, value)
        value.__module__, value.__qualname__ = module, name
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _StorageReference:
    def __init__(self, kind, key, count, view=None):
        self.identity = ("storage", kind, key, "cpu", count, view)


class _StoragePickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.identity if isinstance(value, _StorageReference) else None


def storage_bytes(array, count=None, key="94", little_endian=True, magic=MAGIC, tail=b""):
    """The legacy stream of one storage: FORMATS of `torch.save` before zip files."""
    kind = {"f": FloatStorage, "e": HalfStorage}[array.dtype.char]
    count = array.size if count is None else count
    stream = io.BytesIO()
    for value in (magic, 1001, {"protocol_version": 1001, "little_endian": little_endian}):
        pickle.dump(value, stream, 2)
    _StoragePickler(stream, 2).dump(_StorageReference(kind, key, count))
    pickle.dump([key], stream, 2)
    stream.write(struct.pack("<q", count) + array.tobytes() + tail)
    return stream.getvalue()


def strides(shape):
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


def tensor(array, **storage):
    data = Call("torch.storage", "_load_from_bytes", storage_bytes(array, **storage))
    view = (data, 0, array.shape, strides(array.shape), False, OrderedDict())
    return Call("torch._utils", "_rebuild_tensor_v2", *view)


def parameter(array):
    return Call("torch._utils", "_rebuild_parameter", tensor(array), True, OrderedDict())


def module(class_name, state):
    meta = dict(type="class", version=6, module_src=SOURCE, class_name=class_name, state=state)
    return Call("torch_utils.persistence", "_reconstruct_persistent_obj", meta)


BUFFERS = ("resample_filter", "noise_const", "w_avg")


def network(class_name, arrays, init_kwargs, init_args=()):
    """A module tree of `arrays` by path; constructor arguments at its root."""
    parts, own = {}, {}
    for name, array in arrays.items():
        first, _, rest = name.partition(".")
        if rest:
            parts.setdefault(first, {})[rest] = array
        else:
            own[first] = array
    state = {
        "training": False,
        "_parameters": OrderedDict(
            {n: parameter(a) for n, a in own.items() if n not in BUFFERS} | {"absent": None}
        ),
        "_buffers": OrderedDict((n, tensor(a)) for n, a in own.items() if n in BUFFERS),
        "_non_persistent_buffers_set": {"a", "b"},
        "_backward_hooks": OrderedDict(),
        "_modules": OrderedDict((n, network("Part", p, {})) for n, p in parts.items()),
        "weight_gain": np.float64(0.5),
        "table": np.arange(6, dtype=np.int16).reshape(2, 3),
        "_init_args": init_args,
        "_init_kwargs": init_kwargs,
    }
    return module(class_name, state)


def snapshot(arrays, g_kwargs=None, d_kwargs=None, **replaced):
    """The dictionary of a network file."""
    parts = {
        letter: {n[2:]: a for n, a in arrays.items() if n.startswith(f"{letter}.")}
        for letter in "GD"
    }
    generator = network("Generator", parts["G"], EasyDict(g_kwargs or {}))
    return {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset"),
        "G": network("Generator", {}, {}),
        "D": network("Discriminator", parts["D"], EasyDict(d_kwargs or {})),
        "G_ema": generator,
        "augment_pipe": None,
        **replaced,
    }


def write(path, arrays, g_kwargs=None, d_kwargs=None, protocol=4, **replaced):
    """Write a network file; returns its path."""
    with official_modules():
        data = pickle.dumps(snapshot(arrays, g_kwargs, d_kwargs, **replaced), protocol)
    path.write_bytes(data)
    return path
