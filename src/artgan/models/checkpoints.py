"""Reads other projects' checkpoint files, which are not trusted: tensors by name, and no code."""

from __future__ import annotations

import io
import math
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from artgan.errors import WeightsError, one_line
from artgan.models.formats import HEAD, unconvertible, unconvertible_folder

_MAX_BYTES = 4 * 2**30  # for the file, for the sizes that an archive declares, and for all weights in float32


_MAX_PICKLE_BYTES = 64 * 2**20  # for the pickled structure in a PyTorch archive, without the weights


MAX_DEPTH = 8


_MAX_NAME = 256


_MAX_STAND_INS = 200

# What checkpoints often hold beside weights: figures, arguments, paths, times, configurations. Full names.
_HARMLESS = re.compile(
    r"numpy\.(dtype|ndarray|bool|bool_|str_|bytes_|void|u?int\d+|float\d+|complex\d+|datetime64|timedelta64|"
    r"c?longdouble|u?intc|u?longlong)"
    r"|numpy\._?core\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)"
    r"|numpy\.dtypes\.\w+|numpy\.random\.(_\w+|bit_generator)\.\w+"
    r"|argparse\.Namespace|types\.SimpleNamespace|functools\.partial"
    r"|datetime\.(datetime|date|time|timedelta|timezone)|time\.struct_time"
    r"|pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path"
    r"|decimal\.Decimal|fractions\.Fraction|uuid\.(UUID|SafeUUID)|typing\.Any"
    r"|builtins\.(int|float|bool|str|bytes|bytearray|list|tuple|dict|set|frozenset|complex|range|slice|type|object)"
    r"|torch\.(nn|optim)\.[\w.]+|torch\.(version|torch_version)\.\w+"
    r"|omegaconf\.[\w.]+"
)
_DICTS = re.compile(r"collections\.defaultdict|(pytorch_lightning|lightning|lightning_fabric)\.[\w.]+\.AttributeDict")
_COLLECTIONS = ("collections.OrderedDict", "collections.Counter")  # PyTorch reads them itself
# Protocol 2 writes Python 2's names.
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg", "long": "int", "unicode": "str", "xrange": "range"}


class _Inert:
    """Stands in for a harmless object in a pickle: holds nothing, and runs nothing whatever it is given."""

    def __new__(cls, *values: Any, **named: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *values: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _PlainDict:
    """Stands in for a subclass of dict, which may hold weights: a new, empty dict."""

    def __new__(cls, *values: Any) -> Any:
        return {}


class _PlainList:
    """Stands in for what PyTorch fills like a list, and refuses to fill if it is none: a new, empty list."""

    def __new__(cls, *values: Any) -> Any:
        return []


def read_state(file: Path) -> dict[str, Tensor]:
    """Read all dense tensors of a checkpoint by name, in file order, nested names joined by "."; runs no code.

    The format is recognized by content: a PyTorch archive or pickle (read with ``weights_only``), an .npz archive of
    plain arrays, or safetensors. Memory is allocated only for data that is actually present, up to 4 GiB.

    Raises:
        WeightsError: the file does not exist, has another format, is damaged or too large, or asks to run code.
    """
    try:
        if file.is_dir():
            raise WeightsError(f"{file}: {unconvertible_folder(file)}")
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(HEAD)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror})") from None
    if size > _MAX_BYTES:
        raise WeightsError(f"{file}: larger than {_MAX_BYTES} bytes, more than artgan reads")
    reason = unconvertible(file, head)
    if reason is not None:
        raise WeightsError(f"{file}: {reason}")
    if head.startswith(b"PK\x03\x04"):
        tree = _read_zip(file)
    elif head.startswith(b"\x80"):
        tree = _read_torch(file, mapped=False)
    else:
        tree = _read_safetensors(file)
    state = dict(_flatten(tree, file))
    if not state:
        raise WeightsError(f"{file}: holds no weights by name; save the network's state_dict()")
    if 4 * sum(value.numel() for value in state.values()) > _MAX_BYTES:  # views may share storage
        raise WeightsError(f"{file}: its weights take more than {_MAX_BYTES} bytes, more than artgan reads")
    return state


def _read_zip(file: Path) -> Any:
    """Read a zip archive, if it is PyTorch's or NumPy's; the declared sizes are checked before reading."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > _MAX_BYTES:
                raise WeightsError(f"{file}: declares more than {_MAX_BYTES} bytes, more than artgan reads")
            if any(entry.filename.endswith(".npy") for entry in entries):
                return _read_npz(archive, file)
            pickles = [entry for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"]
            if any(entry.filename.endswith("/constants.pkl") for entry in entries):
                raise WeightsError(f"{file}: is TorchScript, which is code; save the network's state_dict() instead")
            if any(entry.filename == "model.weights.h5" for entry in entries):
                raise WeightsError(
                    f"{file}: is a Keras model; load it in Keras, and save the arrays: "
                    'np.savez("generator.npz", *generator.get_weights())'
                )
            if len(pickles) != 1:
                raise WeightsError(f"{file}: is a zip archive without PyTorch or NumPy weights; unpack it first")
            if pickles[0].file_size > _MAX_PICKLE_BYTES:
                raise WeightsError(f"{file}: its structure takes more than {_MAX_PICKLE_BYTES} bytes")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise WeightsError(f"{file}: is compressed, which PyTorch's files are not; save it again by torch.save")
    except WeightsError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise _damaged(file, error) from None
    # Memory-mapped, tensors cannot take more memory than the file has bytes, whatever size they declare.
    return _read_torch(file, mapped=True)


def _read_torch(file: Path, *, mapped: bool) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_stand_ins(file)):
            warnings.simplefilter("ignore")  # meant for programmers
            tree = torch.load(str(file), map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file may raise anything
        asked = re.search(r"GLOBAL (\S+)", str(error))
        name = asked[1] if asked else next(_unusual_globals(file), None)
        if name is None and "persistent_load of storage" in str(error):  # PyTorch's old format, with source text
            name = "a network's class"
        if name is not None:
            raise _code(file, name) from None
        raise _damaged(file, error) from None
    if isinstance(tree, _Inert):  # for example a whole network of PyTorch's own layers
        raise _code(file, f"{type(tree).__module__}.{type(tree).__name__}")
    return tree


def _code(file: Path, name: str) -> WeightsError:
    return WeightsError(
        f"{file}: asks for {name[:_MAX_NAME]}, which is code and not weights; refused. "
        "Save the network's state_dict() instead"
    )


def _stand_ins(file: Path) -> list[Any]:
    """The stand-ins for the harmless names in a pickle, up to a number that no honest one reaches."""
    kinds: dict[str, type] = {}
    for name in _globals_in(file):
        kind = _stand_in(name)
        if kind is not None and len(kinds) < _MAX_STAND_INS:
            kinds[name] = kind
    return [*kinds.values()]


@lru_cache(maxsize=_MAX_STAND_INS)
def _stand_in(name: str) -> type | None:
    """A class under the name of a harmless one, by which PyTorch finds it; None if the name is of no harmless one."""
    base: type
    if _DICTS.fullmatch(name):
        base = _PlainDict
    elif name == "collections.deque":
        base = _PlainList
    elif _HARMLESS.fullmatch(name):
        base = _Inert
    else:
        return None
    module, _, own = name.rpartition(".")
    return type(own, (base,), {"__module__": module})


def _unusual_globals(file: Path) -> Iterator[str]:
    """What a rejected pickle asks to import, other than PyTorch's own names and harmless ones; nothing is run."""
    for name in _globals_in(file):
        if not name.startswith("torch.") and name not in _COLLECTIONS and _stand_in(name) is None:
            yield name


def _globals_in(file: Path) -> Iterator[str]:
    """The full names that a pickle, or the one in a PyTorch archive, asks to import; nothing is run."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for entry in archive.namelist():
                    if entry.rpartition("/")[2] == "data.pkl":
                        with archive.open(entry) as stream:
                            yield from _globals(stream)
        else:
            with file.open("rb") as opened:
                stream = io.BytesIO(opened.read(min(file.stat().st_size, _MAX_PICKLE_BYTES)))
            for _ in range(4):  # PyTorch's legacy files begin with four pickles
                yield from _globals(stream)
    except Exception:  # the file is damaged: reading it says so
        return


def _globals(stream: IO[bytes]) -> Iterator[str]:
    texts = ["", ""]
    for opcode, argument, _ in pickletools.genops(stream):
        if "UNICODE" in opcode.name:
            texts = [texts[-1], str(argument)]
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
        elif opcode.name == "STACK_GLOBAL":
            module, name = texts
        else:
            continue
        yield f"{_RENAMED.get(module, module)}.{_RENAMED.get(name, name)}"


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(file, error) from None


def _read_npz(archive: zipfile.ZipFile, file: Path) -> dict[str, Tensor]:
    state = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        with archive.open(entry) as member:
            version = np.lib.format.read_magic(member)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
            else:
                shape, _, dtype = np.lib.format.read_array_header_2_0(member)
            if dtype.hasobject:
                raise WeightsError(f"{file}: {name} asks for pickled objects, which may be code; refused")
            if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > entry.file_size:
                raise WeightsError(f"{file}: is damaged ({name} declares more than it holds)")
            if dtype.kind not in "fiub":
                raise WeightsError(f"{file}: {name} is an array of {dtype}, not of numbers")
            member.seek(0)
            array = np.lib.format.read_array(member, allow_pickle=False)
        with np.errstate(over="ignore"):  # values too large become infinite, which is detected later
            state[name] = torch.from_numpy(array.astype(np.float32 if dtype.kind == "f" else np.int64))
    return state


def _damaged(file: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{file}: is damaged, or not a weights file ({one_line(error)})")


def _flatten(tree: Any, file: Path) -> Iterator[tuple[str, Tensor]]:
    """The dense tensors in nested mappings; lists and everything else in a checkpoint are ignored."""
    seen: set[int] = set()  # a mapping in a pickle may contain itself

    def walk(node: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
        if isinstance(node, Tensor):
            dense = node.layout is torch.strided and node.device.type == "cpu" and not node.is_quantized
            if dense and not node.is_complex():
                if not name.isprintable() or len(name) > _MAX_NAME:
                    raise WeightsError(f"{file}: holds weights under an invalid name: {name[:40]!r}")
                yield name, node.detach()
        elif isinstance(node, Mapping) and id(node) not in seen and depth <= MAX_DEPTH:
            seen.add(id(node))
            for key, value in node.items():
                if isinstance(key, (str, int)):
                    yield from walk(value, f"{name}.{key}" if name else str(key), depth + 1)

    yield from walk(tree, "", 0)
