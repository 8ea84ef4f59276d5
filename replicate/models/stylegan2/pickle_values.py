"""Plain values for the globals that official network files name: NumPy's, torch's and their own.

Every constructor checks its arguments; none of them makes anything but data.
"""

from __future__ import annotations

import dataclasses
import io
import math
import re
import struct
import sys
from typing import Any

import numpy as np

from replicate.models.stylegan2.pickle_machine import (
    Buildable,
    Global,
    PickleMachine,
    UnsafePickle,
    plain_key,
)

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_STORAGE_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<b1",
}


@dataclasses.dataclass(frozen=True)
class Persistent:
    """A module of the official code: its class name and its attributes. Its source is dropped."""

    class_name: str
    state: dict[str, Any]


def persistent(meta: dict[str, Any]) -> Persistent:
    """Stand-in for `torch_utils.persistence._reconstruct_persistent_obj`."""
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise UnsafePickle("Expected a description of a class. Received: another persistent object")
    class_name, state = meta.get("class_name"), meta.get("state")
    if not isinstance(class_name, str) or not isinstance(state, dict):
        raise UnsafePickle("Expected the class name and state of a module. Received: neither")
    return Persistent(class_name, state)


def dictionary() -> dict:
    """Stand-in for `collections.OrderedDict` and `dnnlib.util.EasyDict`, always empty at first."""
    return {}


def parameter(data: np.ndarray, requires_grad: bool, hooks: dict) -> np.ndarray:
    """Stand-in for `torch._utils._rebuild_parameter`: the tensor."""
    if not isinstance(data, np.ndarray) or hooks:
        raise UnsafePickle("Expected a tensor without hooks as parameter. Received: another value")
    return data


def tensor(storage, offset, size, stride, requires_grad, hooks, metadata=None) -> np.ndarray:
    """Stand-in for `torch._utils._rebuild_tensor_v2`: a view of the storage, no copy.

    Raises:
        UnsafePickle: if the view does not lie within the storage or has more elements than it.
    """
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or hooks or metadata:
        raise UnsafePickle("Expected a storage without hooks. Received: another value")
    numbers = [offset, *size, *stride]
    if len(size) != len(stride) or len(size) > 8:
        raise UnsafePickle(f"Expected a stride for each axis. Received: {len(size)} axes")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise UnsafePickle(
            "Expected whole numbers from 0 as offset, size and stride. "
            f"Received: {', '.join(map(_shown, numbers))}"
        )
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count > storage.size or offset > storage.size or (count and last >= storage.size):
        raise UnsafePickle(
            f"Expected a tensor within its storage of {storage.size} elements. "
            f"Received: offset={offset}, size={tuple(size)}, stride={tuple(stride)}"
        )
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)


def storage(data: bytes) -> np.ndarray:
    """Stand-in for `torch.storage._load_from_bytes`: a legacy `torch.save` stream of one storage.

    The stream is magic number, protocol version, system information, the storage as a persistent
    id, the list of keys, then for each an element count and the little-endian elements.

    Returns:
        The elements, one axis, read-only.
    """
    if not isinstance(data, bytes):
        raise UnsafePickle(f"Expected bytes of a storage. Received: {type(data).__name__}")
    stream = io.BytesIO(data)
    plain = PickleMachine({})
    if plain.load(stream) != _LEGACY_MAGIC or plain.load(stream) != _LEGACY_PROTOCOL:
        raise UnsafePickle("Expected a legacy torch stream. Received: another magic number")
    system = plain.load(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnsafePickle("Expected a storage of a little-endian machine. Received: another")
    named = {("torch", name): None for name in _STORAGE_TYPES}
    described = PickleMachine(named, persistent=_describe_storage).load(stream)
    if not isinstance(described, _Storage) or plain.load(stream) != [described.key]:
        raise UnsafePickle("Expected one storage and its key. Received: another value")
    dtype = np.dtype(_STORAGE_TYPES[described.kind])
    start = stream.tell() + 8
    if len(data) - start != described.count * dtype.itemsize:
        raise UnsafePickle(
            f"Expected {described.count} elements of {dtype} in a storage. "
            f"Received: {max(0, len(data) - start)} bytes (cut off or too long)"
        )
    if struct.unpack_from("<q", data, start - 8)[0] != described.count:
        raise UnsafePickle("Expected the count of the storage's description. Received: another")
    return np.frombuffer(data, dtype, described.count, start)


@dataclasses.dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    count: int


def _describe_storage(identity: Any) -> _Storage:
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise UnsafePickle("Expected the persistent id of a storage. Received: another value")
    kind, key, _, count, *view = identity[1:]
    if not isinstance(kind, Global) or type(key) is not str or type(count) is not int:
        raise UnsafePickle("Expected type, key and count of a storage. Received: other values")
    if count < 0 or any(part is not None for part in view):
        raise UnsafePickle("Expected a whole storage. Received: a view or a negative count")
    return _Storage(kind.name, key, count)


class DType(Buildable):
    """Stand-in for `numpy.dtype` of a plain number type."""

    def __init__(self, code: str, align: bool = False, copy: bool = True):
        if not isinstance(code, str) or not re.fullmatch(r"[fiu][1248]|b1", code):
            raise UnsafePickle(f"Expected the dtype of a number. Received: {_shown(code)}")
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take NumPy's state, of which only the byte order matters."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise UnsafePickle("Expected the byte order of a dtype. Received: another state")
        if state[1] == ">" or (state[1] == "=" and sys.byteorder == "big"):
            raise UnsafePickle("Expected little-endian numbers. Received: big-endian ones")


def scalar(dtype: DType, data: bytes) -> Any:
    """Stand-in for `numpy.core.multiarray.scalar`: a Python number."""
    if not isinstance(dtype, DType) or not isinstance(data, bytes):
        raise UnsafePickle("Expected dtype and bytes of a number. Received: other values")
    if len(data) != dtype.dtype.itemsize:
        raise UnsafePickle(f"Expected one {dtype.dtype}. Received: {len(data)} bytes")
    return np.frombuffer(data, dtype.dtype)[0].item()


class Array(Buildable):
    """Stand-in for `numpy.core.multiarray._reconstruct`: an array, once it has its state."""

    def __init__(self, kind: Global, shape: tuple, code: bytes):
        if kind != Global("numpy", "ndarray"):
            raise UnsafePickle("Expected a plain NumPy array. Received: a subclass")
        self.value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Take NumPy's state: version, shape, dtype, order, bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnsafePickle("Expected the state of a NumPy array. Received: another value")
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, DType) or not isinstance(data, bytes):
            raise UnsafePickle("Expected an array of numbers. Received: other elements")
        array = np.frombuffer(data, dtype.dtype)
        self.value = array.reshape(shape, order="F" if fortran else "C")


def encode(text: str, encoding: str) -> bytes:
    """Stand-in for `_codecs.encode`, which old pickles use for bytes: Latin-1 only."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickle(f"Expected text in latin1. Received: {_shown(encoding)}")
    return text.encode("latin1")


def items(values: list = ()) -> set:
    """Stand-in for `builtins.set`, which pickles before protocol 4 use."""
    return set(map(plain_key, values))


def _shown(value: Any) -> str:
    """A short text; not that of containers, whose text can be endless."""
    return repr(value)[:80] if isinstance(value, str | int) else type(value).__name__


_NUMPY = {"scalar": scalar, "_reconstruct": Array}
CONSTRUCTORS = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): persistent,
    ("torch._utils", "_rebuild_parameter"): parameter,
    ("torch._utils", "_rebuild_tensor_v2"): tensor,
    ("torch.storage", "_load_from_bytes"): storage,
    ("builtins", "set"): items,
    ("__builtin__", "set"): items,
    ("collections", "OrderedDict"): dictionary,
    ("dnnlib.util", "EasyDict"): dictionary,
    ("numpy", "dtype"): DType,
    ("numpy", "ndarray"): None,
    ("_codecs", "encode"): encode,
    **{("numpy.core.multiarray", name): value for name, value in _NUMPY.items()},
    **{("numpy._core.multiarray", name): value for name, value in _NUMPY.items()},
}
