"""A machine for data pickles that imports nothing and calls nothing a file names.

`pickletools` cuts the file into opcodes; each opcode that plain data needs is carried out here, all
others are refused. A global is a name: it must be in a given table, and what the table holds, our
own constructor of a plain value, is what runs.
"""

from __future__ import annotations

import dataclasses
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

MAX_OPCODES = 2_000_000  # an official network has some ten thousand
MAX_DEPTH = 100  # of open containers, and of containers in containers; official networks: 30
MAX_STACK = 100_000
_SCALARS = (str, int, float, bool, type(None))
_CONTAINERS = (dict, list, tuple, set, frozenset)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_LITERALS = (
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
    + ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
    + ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
)
_NOTHING_TO_DO = ("PROTO", "FRAME")
_DAMAGE = (ValueError, LookupError, TypeError, ArithmeticError, struct.error)
_DAMAGE += (RecursionError, MemoryError)


class UnsafePickle(ValueError):
    """A pickle that is no plain data of the expected kind; nothing of it was run."""


@dataclasses.dataclass(frozen=True)
class Global:
    """The name of a class or function in a pickle. It stands for nothing but itself."""

    module: str
    name: str

    def __str__(self):
        return f"{self.module}.{self.name}"


class Buildable:
    """A value that takes a state after it was made (opcode BUILD)."""

    def build(self, state: Any) -> None:
        """Take the state of a pickle."""
        raise NotImplementedError


class PickleMachine:
    """Carries out the opcodes of one pickle.

    Args:
        constructors: what a global stands for when the pickle calls it, by module and name; None
            for one that may be named but not called. All others are refused.
        persistent: makes a value of a persistent id, or None to refuse them.
    """

    def __init__(
        self,
        constructors: Mapping[tuple[str, str], Callable[..., Any] | None],
        persistent: Callable[[Any], Any] | None = None,
    ):
        self.constructors, self.persistent = constructors, persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def load(self, stream: BinaryIO) -> Any:
        """The value of the pickle that starts at the stream's position; leaves it at its end.

        Raises:
            UnsafePickle: if the pickle is damaged, cut off, nested too deeply, too long, or uses
                an opcode or a global that is not allowed.
        """
        self.stack, self.marks, self.memo = [], [], {}
        try:
            value = self._run(stream)
        except UnsafePickle:
            raise
        except _DAMAGE as error:
            reason = str(error)[:200] or type(error).__name__
            raise UnsafePickle(
                f"Expected a whole pickle. Received a damaged or cut-off one: {reason}"
            ) from error
        check_depth(value)
        return value

    def _run(self, stream: BinaryIO) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPCODES:
                raise UnsafePickle(f"Expected at most {MAX_OPCODES:,} opcodes. Received more")
            if opcode.name == "STOP":
                break
            self._step(opcode.name, argument)
            if len(self.marks) > MAX_DEPTH or len(self.stack) > MAX_STACK:
                raise UnsafePickle(
                    f"Expected at most {MAX_DEPTH} containers within each other and "
                    f"{MAX_STACK:,} open values. Received more"
                )
        if self.marks or len(self.stack) != 1:
            raise UnsafePickle(f"Expected one value. Received: {len(self.stack)} and open marks")
        return self.stack.pop()

    def _step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _NOTHING_TO_DO:
            pass
        elif (method := getattr(self, f"_{name.lower()}", None)) and name in _METHODS:
            method() if argument is None else method(argument)
        else:
            raise UnsafePickle(f"Expected opcodes of plain data. Received: {name}")

    def _mark(self):
        self.marks.append(self.stack)
        self.stack = []

    def _pop_mark(self):
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _pop(self):
        self.stack.pop()

    def _tuple(self):
        items = self._pop_mark()  # before self.stack is looked up
        self.stack.append(tuple(items))

    def _tuple1(self):
        self._short_tuple(1)

    def _tuple2(self):
        self._short_tuple(2)

    def _tuple3(self):
        self._short_tuple(3)

    def _short_tuple(self, length: int):
        if len(self.stack) < length:
            raise UnsafePickle("Expected items of a tuple. Received: too few")
        self.stack[-length:] = [tuple(self.stack[-length:])]

    def _append(self):
        self._extend([self.stack.pop()])

    def _appends(self):
        self._extend(self._pop_mark())

    def _extend(self, items: list[Any]):
        _expect(self.stack[-1], list, "a list").extend(items)

    def _setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _setitems(self):
        self._update(self._pop_mark())

    def _update(self, items: list[Any]):
        target = _expect(self.stack[-1], dict, "a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain_key(key)] = value

    def _additems(self):
        items = self._pop_mark()
        _expect(self.stack[-1], set, "a set").update(map(plain_key, items))

    def _memoize(self):
        self.memo[len(self.memo)] = self.stack[-1]

    def _binput(self, index: int):
        self.memo[index] = self.stack[-1]

    def _binget(self, index: int):
        self.stack.append(self.memo[index])

    def _global(self, argument: str):
        self._name(*argument.split(" ", 1))

    def _stack_global(self):
        name, module = self.stack.pop(), self.stack.pop()
        self._name(_expect(module, str, "a module's name"), _expect(name, str, "a name"))

    def _name(self, module: str, name: str):
        if (module, name) not in self.constructors:
            raise UnsafePickle(
                "Expected only globals of official StyleGAN2-ADA network files. "
                f"Received: {module[:80]}.{name[:80]}"
            )
        self.stack.append(Global(module, name))

    def _reduce(self):
        arguments, called = self.stack.pop(), self.stack.pop()
        self._call(called, arguments)

    _newobj = _reduce

    def _call(self, called: Any, arguments: Any):
        called = _expect(called, Global, "the name of a constructor")
        constructor = self.constructors[called.module, called.name]
        if constructor is None:
            raise UnsafePickle(f"Expected {called} to be named only. Received: a call of it")
        self.stack.append(constructor(*_expect(arguments, tuple, "a tuple of arguments")))

    def _build(self):
        state = self.stack.pop()
        _expect(self.stack[-1], Buildable, "a value that takes a state").build(state)

    def _binpersid(self):
        if self.persistent is None:
            raise UnsafePickle("Expected no persistent ids. Received: one")
        self.stack.append(self.persistent(self.stack.pop()))

    _long_binput, _long_binget = _binput, _binget


_METHODS = frozenset(
    ("MARK", "POP", "POP_MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS")
    + ("SETITEM", "SETITEMS", "ADDITEMS", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET")
    + ("LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID")
)


def _expect(value: Any, kind: type, words: str) -> Any:
    if not isinstance(value, kind):
        raise UnsafePickle(f"Expected {words}. Received: {type(value).__name__}")
    return value


def plain_key(key: Any) -> Any:
    """A key whose hash takes no time: nested tuples can be made to take years."""
    if not isinstance(key, _SCALARS):
        raise UnsafePickle(f"Expected plain keys. Received: {type(key).__name__}")
    return key


def check_depth(value: Any) -> None:
    """Raise UnsafePickle if containers lie too deeply within each other; takes cycles."""
    level, seen = [value], set()
    for _ in range(MAX_DEPTH):
        parts = []
        for item in level:
            if isinstance(item, _CONTAINERS) and id(item) not in seen:
                seen.add(id(item))
                parts.extend(item.values() if isinstance(item, dict) else item)
            elif hasattr(item, "state") and id(item) not in seen:
                seen.add(id(item))
                parts.append(item.state)
        level = parts
        if not level:
            return
    raise UnsafePickle(f"Expected at most {MAX_DEPTH} containers within each other. Received more")
