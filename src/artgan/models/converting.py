"""Other projects' checkpoints to model folders: read without trust, recognised by a plugin, checked, written."""

from __future__ import annotations

import math
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from artgan import config as configs
from artgan.errors import ArtganError, PluginError, WeightsError
from artgan.files import sha256
from artgan.models.loading import assemble, save_model
from artgan.plugin import Plugin, find_plugins, load_plugin, resolve, strict

_MAX_BYTES = 4 * 2**30  # of a file, of what an archive declares, and of all weights in float32
_MAX_PICKLE_BYTES = 64 * 2**20  # of the structure in an archive of PyTorch, without the weights
_MAX_DEPTH = 8
_MAX_NAME = 256


@dataclass(frozen=True)
class Converted:
    """What a plugin's ``convert`` makes of another project's weights.

    ``convert`` takes tensors by name, in the file's order, on the CPU, and returns None for what is no layout of its
    own. It raises :class:`artgan.WeightsError` for what it knows but cannot use, saying why. It is called for parts of
    a checkpoint too, so it must be quick to say no.

    Attributes:
        layout: the layout's name, a key of the manifest's ``layouts``.
        config: values that build the plugin's generator.
        state: the generator's state dict, of any floating dtype.
    """

    layout: str
    config: Mapping[str, Any]
    state: Mapping[str, Tensor]


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` did.

    Attributes:
        folder: the model's folder.
        plugin: the name of the plugin that recognised the file.
        layout: the layout's name.
        about: the plugin's line about the layout.
        config: what builds the generator.
        parameters: how many numbers the generator has learned.
    """

    folder: Path
    plugin: str
    layout: str
    about: str
    config: Mapping[str, Any]
    parameters: int


@dataclass(frozen=True)
class _Found:
    """A generator in a checkpoint: under which names, and who knows it."""

    key: str
    plugin: Plugin
    converted: Converted


def convert(
    file: str | Path,
    folder: str | Path,
    *,
    plugin: str | None = None,
    key: str | None = None,
    license: str | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Write a model folder, loadable as ``local-dir:FOLDER``, from another project's checkpoint.

    Args:
        file: of PyTorch (no pickled code is run), safetensors, or NumPy (.npz).
        folder: to write; it must not exist or be empty.
        plugin: whose layouts to look for; None asks all that are installed.
        key: which generator, where the checkpoint holds several: what the names of its weights begin with.
        license: of the weights, for the model's card.
        overwrite: whether a model in the folder may be replaced.

    Raises:
        WeightsError: the file cannot be read, is of no known layout, or does not fit its layout; the folder is not
            empty. Nothing is written then.
        PluginError: the plugin is missing or converts nothing.
    """
    file, folder = Path(file), Path(folder)
    _check_folder(folder, overwrite)
    converters = _converters(plugin)
    found = _choose(_recognise(read_state(file), converters, file), key, file)
    parsed = configs.parse(
        resolve(found.plugin, "config"), found.converted.config, where=f"{file}: as {found.converted.layout}"
    )
    weights = {
        name: value.float().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in found.converted.state.items()
    }
    for name, value in weights.items():
        if not value.isfinite().all():
            raise WeightsError(f"{file}: {name} holds values that are not finite; these weights are spoilt")
    generator = assemble(found.plugin.name, parsed, weights, str(file))
    origin = {"converted_from": file.name, "layout": found.converted.layout, "sha256": sha256(file)}
    save_model(
        folder,
        generator,
        plugin=found.plugin.name,
        config=found.converted.config,
        extra={**({"license": {"weights": license}} if license else {}), "training": origin},
    )
    return Conversion(
        folder,
        found.plugin.name,
        found.converted.layout,
        found.plugin.layouts.get(found.converted.layout, ""),
        found.converted.config,
        sum(parameter.numel() for parameter in generator.parameters()),
    )


def _check_folder(folder: Path, overwrite: bool) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise WeightsError(f"{folder}: is a file, where the model's folder is to be")
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise WeightsError(f"{folder}: is not empty; give another folder, or --overwrite")
    except OSError as error:
        raise WeightsError(f"{folder}: the model cannot be written here ({error.strerror})") from None


# ---- who knows the layout


_Converter = tuple[Plugin, Callable[[Mapping[str, Tensor]], Any]]


def _converters(name: str | None) -> list[_Converter]:
    """The plugin of that name, or all that work, with what converts."""
    if name is not None:
        plugin = load_plugin(name)
        if plugin.convert is None:
            raise PluginError(f"plugin {name} converts no other project's checkpoints")
        return [(plugin, resolve(plugin, "convert"))]
    converters = []
    for found in find_plugins():
        try:
            plugin = load_plugin(found)
            if plugin.convert is not None:
                converters.append((plugin, resolve(plugin, "convert")))
        except PluginError:  # artgan plugins tells of it
            if strict():
                raise
    if not converters:
        raise PluginError("no installed plugin converts other projects' checkpoints; artgan plugins lists what works")
    return converters


def _recognise(state: Mapping[str, Tensor], converters: list[_Converter], file: Path) -> list[_Found]:
    """Every generator in the checkpoint that a plugin knows, at whatever depth of names; at least one."""
    refusals: list[str] = []
    found: list[_Found] = []

    def look(part: Mapping[str, Tensor], key: str, depth: int) -> None:
        known = []
        for plugin, converter in converters:
            try:
                converted = _call(plugin, converter, part)
            except WeightsError as error:
                refusals.append(f"{key}: {error}" if key else str(error))
                continue
            if converted is not None:
                known.append(_Found(key, plugin, converted))
        found.extend(known)
        if known or depth == _MAX_DEPTH:
            return
        inner: dict[str, dict[str, Tensor]] = {}
        for name, value in part.items():
            head, separator, rest = _partition(name)
            if separator:
                inner.setdefault(head, {})[rest] = value
        for head, group in inner.items():
            look(group, f"{key}.{head}" if key else head, depth + 1)

    look(state, "", 0)
    if found:
        return found
    if refusals:
        raise WeightsError(f"{file}: {refusals[0]}")
    names = list(state)
    layouts = [f"{name} ({about})" for plugin, _ in converters for name, about in plugin.layouts.items()]
    raise WeightsError(
        f"{file}: weights of no layout that is known; the first of {len(names)} are {', '.join(names[:4])}; "
        f"known are {', '.join(layouts) or 'none'}"
    )


def _partition(name: str) -> tuple[str, str, str]:
    """A name's first part, its separator ("." as in PyTorch or "/" as in TensorFlow, "" if none) and the rest."""
    head, separator, rest = name.partition(".")
    return name.partition("/") if "/" in head else (head, separator, rest)


def _call(plugin: Plugin, converter: Callable[[Mapping[str, Tensor]], Any], part: Mapping[str, Tensor]) -> Any:
    try:
        converted = converter(part)
    except ArtganError:
        raise
    except Exception as error:  # a stranger's module may raise anything
        raise PluginError(
            f"plugin {plugin.name}: its convert failed: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if converted is not None and not isinstance(converted, Converted):
        raise PluginError(f"plugin {plugin.name}: its convert returned a {type(converted).__name__}, not a Converted")
    return converted


def _choose(found: list[_Found], key: str | None, file: Path) -> _Found:
    """The one generator there is, or that ``key`` names."""
    wanted = found
    if key is not None:
        prefix = key.replace("/", ".").strip(".")
        wanted = [one for one in found if f"{one.key}.".startswith(f"{prefix}.")]
    keys = list(dict.fromkeys(one.key for one in wanted))
    if len(keys) > 1:
        raise WeightsError(f"{file}: holds {len(keys)} generators; choose one by --key: {', '.join(keys)}")
    if len(wanted) > 1:
        both = ", ".join(f"{one.plugin.name} ({one.converted.layout})" for one in wanted)
        raise WeightsError(f"{file}: several plugins know it; choose one by --plugin: {both}")
    if not wanted:
        there = ", ".join(one.key for one in found if one.key) or "one without a key"
        raise WeightsError(f"{file}: holds no generator under the key {key!r}; there is {there}")
    return wanted[0]


# ---- reading


def read_state(file: Path) -> dict[str, Tensor]:
    """All dense tensors of a checkpoint by name, in its order, nested names joined by "."; runs nothing in the file.

    What the file is, is told by its content: an archive or a pickle of PyTorch (read with ``weights_only``), an .npz
    archive of plain arrays, or safetensors. Memory is taken for what is really there, within 4 GiB.

    Raises:
        WeightsError: there is no such file, it is something else, damaged, too large, or asks for code to be run.
    """
    try:
        if file.is_dir():
            raise WeightsError(f"{file}: is a folder; give the file of weights in it")
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(512)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror})") from None
    if not size:
        raise WeightsError(f"{file}: is empty")
    if size > _MAX_BYTES:
        raise WeightsError(f"{file}: larger than {_MAX_BYTES} bytes, more than artgan reads")
    if head.startswith(b"PK\x03\x04"):
        tree = _read_zip(file)
    elif head.startswith(b"\x80"):
        tree = _read_torch(file, mapped=False)
    elif head[8:9] == b"{":
        tree = _read_safetensors(file)
    else:
        raise WeightsError(f"{file}: {_what_else(head)}")
    state = dict(_flatten(tree, file))
    if not state:
        raise WeightsError(f"{file}: holds no weights by name")
    if 4 * sum(value.numel() for value in state.values()) > _MAX_BYTES:  # a view may repeat what is stored once
        raise WeightsError(f"{file}: its weights take more than {_MAX_BYTES} bytes, more than artgan reads")
    return state


def _what_else(head: bytes) -> str:
    """What a file is that holds no weights, by how it begins, and what to do."""
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself; fetch that with git lfs pull"
    if head.startswith(b"\x89HDF\r\n"):
        return 'is HDF5, as Keras writes it; save the arrays: np.savez("generator.npz", *generator.get_weights())'
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, so the download failed; fetch the file again"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else the text was cut within a letter
            return "is neither PyTorch's, safetensors nor .npz; artgan converts these"
    return "is a text, not weights"


def _read_zip(file: Path) -> Any:
    """What a zip archive holds, if it is PyTorch's or NumPy's; what it declares is checked before it is read."""
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
            if len(pickles) != 1:
                raise WeightsError(f"{file}: is a zip archive without weights of PyTorch or NumPy; unpack it first")
            if pickles[0].file_size > _MAX_PICKLE_BYTES:
                raise WeightsError(f"{file}: its structure takes more than {_MAX_PICKLE_BYTES} bytes")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise WeightsError(f"{file}: is compressed, which PyTorch's files are not; save it again by torch.save")
    except WeightsError:
        raise
    except Exception as error:  # whatever a damaged archive makes its readers stumble over
        raise _damaged(file, error) from None
    # Mapped, no more memory can be had than the file has bytes, whatever its tensors declare.
    return _read_torch(file, mapped=True)


def _read_torch(file: Path, *, mapped: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice to programmers
            return torch.load(str(file), map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever a damaged file makes the unpickler stumble over
        asked = re.search(r"GLOBAL (\S+)", str(error))
        name = asked[1] if asked else next(_unusual_globals(file), None)
        if name is not None:
            raise WeightsError(
                f"{file}: asks for {name[:_MAX_NAME]}, which is code and not weights; refused. "
                "Save the network's state_dict() instead"
            ) from None
        raise _damaged(file, error) from None


def _unusual_globals(file: Path) -> Iterator[str]:
    """What a refused pickle asks to import, other than PyTorch's own; nothing of it is run."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for entry in archive.namelist():
                    if entry.rpartition("/")[2] == "data.pkl":
                        with archive.open(entry) as stream:
                            yield from _globals(stream)
        else:
            with file.open("rb") as stream:
                for _ in range(4):  # PyTorch's older files begin with four pickles
                    yield from _globals(stream)
    except Exception:  # where it is damaged: it was refused already, only a name was to be found
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
        if module.split(".")[0] != "torch" and (module, name) != ("collections", "OrderedDict"):
            yield f"{module}.{name}"


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
        with np.errstate(over="ignore"):  # what is too large is found later, as not finite
            state[name] = torch.from_numpy(array.astype(np.float32 if dtype.kind == "f" else np.int64))
    return state


def _damaged(file: Path, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())[:120]
    return WeightsError(f"{file}: is damaged, or no file of weights ({reason or type(error).__name__})")


def _flatten(tree: Any, file: Path) -> Iterator[tuple[str, Tensor]]:
    """The dense tensors in nested mappings; lists, and what else a checkpoint keeps, are passed over."""
    seen: set[int] = set()  # a pickle may put a mapping into itself

    def walk(node: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
        if isinstance(node, Tensor):
            dense = node.layout is torch.strided and node.device.type == "cpu" and not node.is_quantized
            if dense and not node.is_complex():
                if not name.isprintable() or len(name) > _MAX_NAME:
                    raise WeightsError(f"{file}: holds weights under a name that is none: {name[:40]!r}")
                yield name, node.detach()
        elif isinstance(node, Mapping) and id(node) not in seen and depth <= _MAX_DEPTH:
            seen.add(id(node))
            for key, value in node.items():
                if isinstance(key, (str, int)):
                    yield from walk(value, f"{name}.{key}" if name else str(key), depth + 1)

    yield from walk(tree, "", 0)
