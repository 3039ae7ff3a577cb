"""Reads a checkpoint's pickle without running code from it.

Python's own unpickler imports and calls what a pickle names. The machine here only keeps the pickle's stack and memo,
and knows the few names that describe tensors. Any other name, and any object made with it, becomes an inert stand-in
that is never imported, called or hashed. So a file that also holds a program's own objects, such as a configuration,
still gives its tensors.
"""

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

MAX_OPCODES = 1 << 21  # published checkpoints have under 200,000

MAX_NAME = 100  # characters of a name in a message

# PyTorch's storage types, and the names that safetensors has for their numbers.
STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    # For counters and the like; as weights they are refused.
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}


class PickleError(ValueError):
    """The pickle is damaged, or uses something that checkpoints do not need."""


class Storage(NamedTuple):
    kind: Any
    key: Any
    count: Any


class Tensor(NamedTuple):
    """A tensor as the pickle describes it, unchecked."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


class Name(NamedTuple):
    """A name that a pickle asks for, in its module."""

    module: str
    name: str


class StandIn:
    """Stands for an object of an unknown class, or for an unknown function's result."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Pickle(NamedTuple):
    root: object
    unknown: list[str]
    """The names that stand-ins were made for, in the pickle's order."""


def read(data: bytes) -> Pickle:
    """Returns the object that a pickle describes. Of dicts, only the items with text keys are kept.

    Raises PickleError.
    """
    machine = _Machine()
    count = 0
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > MAX_OPCODES:
                raise PickleError(f"has more than {MAX_OPCODES} steps")
            if opcode.name == "STOP":
                break
            machine.step(opcode.name, argument, count)
        return Pickle(machine.pop(), list(machine.unknown))
    except PickleError as error:
        raise PickleError(f"its pickle {error}") from None
    except Exception as error:  # pickletools raises nearly anything for a damaged pickle
        raise PickleError(f"its pickle is damaged: {type(error).__name__}: {error}") from error


class _Mark:
    __slots__ = ()


MARK = _Mark()
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], object]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": lambda: StandIn("builtins.set"),
}
# The opcodes that push their argument.
VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}
        self.unknown: dict[str, None] = {}

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise PickleError("is damaged: it takes more than it has made")
        return self.stack.pop()

    def pop_mark(self) -> list:
        """Takes everything above the topmost mark, and the mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                taken = self.stack[place + 1 :]
                del self.stack[place:]
                return taken
        raise PickleError("is damaged: it takes more than it has made")

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def step(self, opcode: str, argument: Any, count: int) -> None:
        push = self.stack.append
        if opcode in VALUES:
            push(argument)
        elif opcode in CONSTANTS:
            push(CONSTANTS[opcode])
        elif opcode in EMPTY:
            push(EMPTY[opcode]())
        elif opcode in TUPLES:
            values = [self.pop() for _ in range(TUPLES[opcode])]
            push(tuple(reversed(values)))
        elif handler := getattr(self, f"_{opcode.lower()}", None):
            handler(argument)
        elif opcode in ("PUT", "BINPUT", "LONG_BINPUT"):
            if argument > count:
                raise PickleError("numbers its objects out of order")
            self.memo[argument] = self.top()
        elif opcode in ("GET", "BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise PickleError("is damaged: it refers to an object that it has not made")
            push(self.memo[argument])
        else:
            raise PickleError(f"uses {opcode}, which a table of tensors does not need; refused")

    def _proto(self, _: object) -> None:
        pass

    _frame = _proto

    def _mark(self, _: object) -> None:
        self.stack.append(MARK)

    def _memoize(self, _: object) -> None:
        self.memo[len(self.memo)] = self.top()

    def _pop(self, _: object) -> None:
        if not self.stack:
            raise PickleError("is damaged: it takes more than it has made")
        self.stack.pop()

    def _pop_mark(self, _: object) -> None:
        self.pop_mark()

    def _dup(self, _: object) -> None:
        self.stack.append(self.top())

    def _tuple(self, _: object) -> None:
        self.stack.append(tuple(self.pop_mark()))

    def _list(self, _: object) -> None:
        self.stack.append(self.pop_mark())

    def _frozenset(self, _: object) -> None:
        self.pop_mark()
        self.stack.append(StandIn("builtins.frozenset"))

    def _dict(self, _: object) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._set(items)

    def _setitem(self, _: object) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def _setitems(self, _: object) -> None:
        self._set(self.pop_mark())

    def _set(self, items: list) -> None:
        target = self.top()
        if len(items) % 2 or not isinstance(target, (dict, StandIn)):
            raise PickleError("is damaged: it gives items to something that is not a dict")
        if isinstance(target, dict):
            # Other keys are not needed, and hashing nested tuples can take for ever.
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((key, value) for key, value in pairs if isinstance(key, str))

    def _append(self, _: object) -> None:
        self._extend([self.pop()])

    def _appends(self, _: object) -> None:
        self._extend(self.pop_mark())

    def _additems(self, _: object) -> None:
        self._extend(self.pop_mark())

    def _extend(self, values: list) -> None:
        target = self.top()
        if not isinstance(target, (list, StandIn)):
            raise PickleError("is damaged: it appends to something that is not a list")
        if isinstance(target, list):
            target.extend(values)

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._name(module, name)

    def _stack_global(self, _: object) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleError("is damaged: it asks for something that is not a name")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        is_storage = module == "torch" and name in STORAGES
        self.stack.append(StorageType(STORAGES[name]) if is_storage else Name(module, name))

    def _binpersid(self, _: object) -> None:
        pid = self.pop()
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise PickleError("refers to something that is not a storage")
        _, kind, key, _location, count = pid
        self.stack.append(Storage(kind, key, count))

    def _reduce(self, _: object) -> None:
        arguments, function = self.pop(), self.pop()
        self._call(function, arguments)

    def _newobj(self, _: object) -> None:
        arguments, kind = self.pop(), self.pop()
        self._call(kind, arguments)

    def _newobj_ex(self, _: object) -> None:
        self.pop()
        self._newobj(None)

    def _call(self, function: object, arguments: object) -> None:
        if not isinstance(function, (Name, StandIn)) or not isinstance(arguments, tuple):
            raise PickleError("is damaged: it calls something that is not a function")
        known = KNOWN.get(function) if isinstance(function, Name) else None
        if known is not None:
            try:
                self.stack.append(known(*arguments))
            except TypeError as error:
                raise PickleError(f"is damaged: {error}") from None
            return
        name = f"{function.module}.{function.name}"[:MAX_NAME] if isinstance(function, Name) else function.name
        self.unknown.setdefault(name)
        self.stack.append(StandIn(name))

    def _build(self, _: object) -> None:
        """Drops an object's state. Of the known classes only OrderedDict has one, and it is not needed."""
        self.pop()
        if not isinstance(self.top(), (dict, StandIn)):
            raise PickleError("is damaged: it gives a state to something that has none")


class StorageType(str):
    """The type of a storage's numbers, by its name in safetensors."""

    __slots__ = ()


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> Tensor:
    return Tensor(storage, offset, shape, strides)


def _parameter(data: Any, *_: object) -> Any:
    return data


def _ordered_dict(*_: object) -> dict:
    """The pickle adds the items afterwards."""
    return {}


KNOWN: dict[Name, Callable[..., Any]] = {
    Name("collections", "OrderedDict"): _ordered_dict,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
}
