"""Reading checkpoints: files as torch.save writes them, and hostile ones."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import mutate
from golden import DATA
from vidtok_export import checkpoint
from vidtok_export.checkpoint import CheckpointError

FLOATS = np.arange(8, dtype="<f4")


def test_a_file_of_torch_save() -> None:
    """`make_checkpoint.py` beside the file made it; the values are its formulas."""
    tensors = checkpoint.read(DATA / "tiny.ckpt")
    eighths = np.arange(6, dtype=np.float32).reshape(2, 3) / 8
    expected = {
        "encoder.plain": eighths,
        "encoder.transposed": eighths.T,
        "encoder.slice": np.arange(4, 8),
        "encoder.offset": np.arange(4, 12),
        "encoder.scalar": np.float32(0.5),
        "decoder.half": np.arange(4) / 4,
        "decoder.bfloat16": np.arange(-2, 2) / 4,
        "decoder.double": (np.arange(3) / 3).astype(np.float32),
    }
    assert set(tensors) == set(expected)
    for name, value in expected.items():
        assert tensors[name].dtype == np.float32
        np.testing.assert_array_equal(tensors[name], value, err_msg=name)


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(
        save({"encoder.a": FLOATS.astype(np.float16), "decoder.b": FLOATS.reshape(2, 4), "loss.c": FLOATS})
    )
    tensors = checkpoint.read(path)
    assert set(tensors) == {"encoder.a", "decoder.b"}
    np.testing.assert_array_equal(tensors["encoder.a"], FLOATS)
    np.testing.assert_array_equal(tensors["decoder.b"], FLOATS.reshape(2, 4))
    assert tensors["encoder.a"].dtype == np.float32


def test_bfloat16_safetensors(tmp_path: Path) -> None:
    header = b'{"decoder.b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes.fromhex("803f 00c0"))
    np.testing.assert_array_equal(checkpoint.read(path)["decoder.b"], [1, -2])


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x10\0\0\0\0\0\0\0{}", b"\x07\0\0\0\0\0\0\0" + b'{"a":1}'])
def test_files_that_are_not_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        checkpoint.read(path)


def test_safetensors_that_are_longer_or_shorter_than_their_header_says(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused before it is read."""
    path = tmp_path / "weights.safetensors"
    weights = save({"encoder.a": FLOATS})
    for size in [1 << 40, len(weights) - 1]:
        path.write_bytes(weights)
        os.truncate(path, size)
        message = f"not a safetensors file: its header describes {len(weights)} bytes, and it has {size}"
        with pytest.raises(CheckpointError, match=message):
            checkpoint.read(path)


# torch.save's format written by hand, so that tests can write it wrong


class Global:
    """Pickles as a reference to a name, which need not exist here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *_: object) -> None:
        raise AssertionError("only for pickling")


class Call:
    def __init__(self, function: Global, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


class Stored:
    def __init__(self, *pid: object) -> None:
        self.pid = pid


class Pickler(pickle._Pickler):  # the one written in Python, as its `save_global` can be replaced
    def persistent_id(self, value: object) -> object:
        return value.pid if isinstance(value, Stored) else None

    def save_global_reference(self, value: Global) -> None:
        self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())

    dispatch = pickle._Pickler.dispatch | {Global: save_global_reference}


FLOAT_STORAGE = Global("torch", "FloatStorage")
REBUILD = Global("torch._utils", "_rebuild_tensor_v2")


def tensor(
    shape: object = (2, 4),
    strides: object = (4, 1),
    offset: object = 0,
    count: object = 8,
    key: object = "0",
    kind: object = FLOAT_STORAGE,
) -> Call:
    return Call(REBUILD, Stored("storage", kind, key, "cpu", count), offset, shape, strides, False, {})


def archive(
    path: Path, root: object, storages: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED
) -> Path:
    """Writes a `.ckpt` that holds an object, or a pickle's bytes unchanged."""
    if not isinstance(root, bytes):
        stream = io.BytesIO()
        Pickler(stream, protocol=2).dump(root)
        root = stream.getvalue()
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", root)
        for key, raw in ({"0": FLOATS.tobytes()} if storages is None else storages).items():
            file.writestr(f"archive/data/{key}", raw)
    return path


def test_the_hand_made_format_is_right(tmp_path: Path) -> None:
    for root in ({"encoder.a": tensor()}, {"state_dict": {"encoder.a": tensor()}}):
        tensors = checkpoint.read(archive(tmp_path / "a.ckpt", root))
        np.testing.assert_array_equal(tensors["encoder.a"], FLOATS.reshape(2, 4))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (tensor(shape=(3, 4)), "reaches beyond"),
        (tensor(offset=1), "reaches beyond"),
        (tensor(strides=(1 << 39, 1)), "reaches beyond"),
        (tensor(shape=(0, 4)), "empty"),
        (tensor(strides=(-4, 1)), "no proper shape"),
        (tensor(offset=-1), "no proper shape"),
        (tensor(offset=True), "no proper shape"),
        (tensor(shape=(1 << 62, 1)), "no proper shape"),
        (tensor(shape=[2, 4]), "no proper shape"),
        (tensor(shape=(2, 4, 1)), "no proper shape"),
        (tensor(shape=(2.0, 4)), "no proper shape"),
        (tensor(shape=(1 << 30, 8), strides=(0, 1)), "overlap"),
        (tensor(count=9), "has 8 numbers, not 9"),
        (tensor(key="1"), "lacks data/1"),
        (tensor(key="../data.pkl"), "lacks"),
        (tensor(key=0), "no proper storage"),
        (tensor(kind=Global("torch", "LongStorage")), "of type I64"),
        (tensor(kind=7), "no proper storage"),
        (Call(REBUILD, "no storage", 0, (1,), (1,)), "not a tensor"),
        (Stored("storage", FLOAT_STORAGE, "0", "cpu", 8), "not a tensor"),
        (Stored("module", FLOAT_STORAGE, "0", "cpu", 8), "not a storage"),
        ("text", "not a tensor"),
        (None, "not a tensor"),
        (Call(Global("os", "system"), "true"), r"asks for os\.system"),
        (Call(Global("builtins", "eval"), "1"), r"asks for builtins\.eval"),
        (Call(Global("collections", "namedtuple"), "a"), r"asks for collections\.namedtuple"),
        (Call(Global("torch", "load"), "x"), r"asks for torch\.load"),
        (Call(FLOAT_STORAGE, 1), "damaged"),
    ],
)
def test_hostile_tensors(tmp_path: Path, wrong: object, message: str) -> None:
    path = archive(tmp_path / "bad.ckpt", {"encoder.a": wrong})
    with pytest.raises(CheckpointError, match=message) as error:
        checkpoint.read(path)
    assert "bad.ckpt" in str(error.value)


class Touch:
    """A typical attack: an object whose unpickling runs code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_code_of_a_pickle_runs(tmp_path: Path, protocol: int) -> None:
    attack = pickle.dumps({"state_dict": {}, "other": Touch(tmp_path / "pwned")}, protocol)
    with pytest.raises(CheckpointError, match="refused"):
        checkpoint.read(archive(tmp_path / "bad.ckpt", attack))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged"),
        (b"\x80\x02}", "damaged"),
        (b"\x80\x02.", "damaged"),
        (b"\x80\x02K\x01.", "neither a state_dict"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "out of order"),  # a memo of 2³¹ objects
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),  # bytes longer than memory
        (b"\x80\x02(ios\nsystem\n.", "uses INST"),
        (b"\x80\x02\x82\x01.", "uses EXT1"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "holds no tensor"),
        (b"\x80\x02cos\nsystem\n.", "neither a state_dict"),
        (b"\x80\x02}q\0X\x01\0\0\0aK\x01K\x02K\x03u.", "damaged"),
        (b"\x80\x02" + b"N0" * (1 << 20) + b"N.", "steps"),
        # sets `__call__` of the object that stands for PyTorch's function
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\0\0\0__call__K\x01s\x86b.", "damaged"),
        (b"\x80\x02ctorch\nFloatStorage\n}X\x05\0\0\0upperK\x01sb.", "damaged"),
        (b"(" * 100_000, "damaged"),
    ],
)
def test_hostile_pickles(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(archive(tmp_path / "bad.ckpt", data))


def test_files_that_are_not_archives(tmp_path: Path) -> None:
    path = archive(tmp_path / "bad.ckpt", {"encoder.a": tensor()}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        checkpoint.read(path)
    whole = archive(path, {"encoder.a": tensor()}).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            checkpoint.read(path)
    path.write_bytes(whole.replace(FLOATS.tobytes(), FLOATS[::-1].tobytes()))
    with pytest.raises(CheckpointError, match="CRC"):
        checkpoint.read(path)
    path.write_bytes(pickle.dumps({"encoder.a": 1}))
    with pytest.raises(CheckpointError, match="not a zip archive"):
        checkpoint.read(path)
    with zipfile.ZipFile(archive(path, {"encoder.a": tensor()}), "a") as file:
        file.writestr("archive/byteorder", "big")
    with pytest.raises(CheckpointError, match="little endian"):
        checkpoint.read(path)


class Configuration(dict):
    """An object of another program, as of omegaconf, with a state, items and a constructor's arguments."""

    def __init__(self, *values: object) -> None:
        super().__init__(a=1)
        self.values = values

    def __reduce_ex__(self, _: object) -> tuple:
        return type(self), (1,), {"values": [Path("x"), frozenset({2}), {3}, b"raw"]}, iter([]), iter(self.items())


class Slotted:
    """An object that pickles by `__new__` with keywords."""

    def __getnewargs_ex__(self) -> tuple:
        return (1,), {"b": 2}

    def __new__(cls, a: int = 0, b: int = 0) -> "Slotted":
        return super().__new__(cls)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_objects_of_unknown_classes_are_stand_ins(tmp_path: Path, protocol: int) -> None:
    stream = io.BytesIO()
    others = {"hyper_parameters": Configuration(), "slots": Slotted(), "paths": [Path("a"), {Path("b"): 1}]}
    parameter = Call(Global("torch._utils", "_rebuild_parameter"), tensor(key="1"), True, {})
    root = {**others, "state_dict": {"encoder.a": tensor(), "encoder.b": parameter, "loss.c": Slotted()}}
    Pickler(stream, protocol=protocol).dump(root)
    path = archive(tmp_path / "a.ckpt", stream.getvalue(), {key: FLOATS.tobytes() for key in "01"})
    tensors = checkpoint.read(path)
    assert set(tensors) == {"encoder.a", "encoder.b"}
    for value in tensors.values():
        np.testing.assert_array_equal(value, FLOATS.reshape(2, 4))


def test_an_object_in_the_place_of_a_tensor_is_named(tmp_path: Path) -> None:
    wanted = Call(Global("library.of.mine", "Quantized"), tensor())
    with pytest.raises(CheckpointError, match=r"encoder\.a is not a tensor.*library\.of\.mine\.Quantized"):
        checkpoint.read(archive(tmp_path / "a.ckpt", {"encoder.a": wanted}))


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_an_attack_beside_tensors_is_not_run(tmp_path: Path, protocol: int) -> None:
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump({"encoder.a": tensor()})
    # The same dict gets another item: the attack.
    attack = pickle.dumps(Touch(tmp_path / "pwned"), protocol)
    attack = attack[2:] if protocol >= 2 else attack
    root = stream.getvalue()[:-1] + b"X\x05\0\0\0other" + attack[:-1] + b"s."
    tensors = checkpoint.read(archive(tmp_path / "a.ckpt", root))
    assert set(tensors) == {"encoder.a"}
    assert not (tmp_path / "pwned").exists()


def test_keys_that_take_for_ever_to_hash(tmp_path: Path) -> None:
    """A tuple that holds the same tuple twice, nested sixty times: its hash has 2⁶⁰ parts."""
    key = b")" + b"".join(b"2\x86" for _ in range(60))
    data = b"\x80\x02}" + key + b"K\x01s."
    with pytest.raises(CheckpointError, match="holds no tensor"):
        checkpoint.read(archive(tmp_path / "bad.ckpt", data))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.ckpt")
    os.mkfifo(tmp_path / "fifo.safetensors")
    (tmp_path / "folder.ckpt").mkdir()
    for name, message in [
        ("nothing.ckpt", "No such file"),
        ("fifo.ckpt", "not a regular file"),
        ("fifo.safetensors", "not a regular file"),
        ("folder.ckpt", "not a regular file|Is a directory"),
    ]:
        with pytest.raises(CheckpointError, match=message) as error:
            checkpoint.read(tmp_path / name)
        assert name in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(tmp_path: Path, value: float) -> None:
    raw = np.full(8, value, "<f4").tobytes()
    with pytest.raises(CheckpointError, match="holds numbers that are not finite"):
        checkpoint.read(archive(tmp_path / "bad.ckpt", {"encoder.a": tensor()}, {"0": raw}))


def assert_read_or_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        tensors = checkpoint.read(path)
    except CheckpointError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 2000
    else:
        assert all(tensor.dtype == np.float32 for tensor in tensors.values())


def seeds(tmp_path: Path) -> dict[str, list[bytes]]:
    """Files of each kind, and bare pickles."""
    tiny = (DATA / "tiny.ckpt").read_bytes()
    hand_made = archive(tmp_path / "seed", {"state_dict": {"encoder.a": tensor()}, "other": Slotted()})
    with zipfile.ZipFile(DATA / "tiny.ckpt") as file:
        pickled = file.read("tiny/data.pkl")
    stream = io.BytesIO()
    Pickler(stream, protocol=4).dump({"encoder.a": tensor(), "other": [Configuration(), Slotted(), {1.5, None}]})
    weights = save({"encoder.a": FLOATS.astype(np.float16), "decoder.b": FLOATS.reshape(2, 4), "loss.c": FLOATS})
    return {
        "ckpt": [tiny, hand_made.read_bytes()],
        "safetensors": [weights],
        "pickle": [pickled, stream.getvalue()],
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of escapes in a pickle's texts
@pytest.mark.parametrize("kind", ["ckpt", "safetensors", "pickle"])
def test_a_changed_file_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    for data in mutate.mutations(seeds(tmp_path)[kind]):
        if kind == "pickle":  # in an archive with right checksums
            data = archive(tmp_path / "wrapped", data, {key: FLOATS.tobytes() for key in "0123"}).read_bytes()
        assert_read_or_refused(tmp_path / f"a.{'ckpt' if kind == 'pickle' else kind}", data)
