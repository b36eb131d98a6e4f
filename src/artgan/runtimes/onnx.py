"""Generators to ONNX files, which other runtimes run; each file is checked against PyTorch by ONNX Runtime."""

from __future__ import annotations

import copy
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artgan.errors import ConfigError, ExportError, one_line
from artgan.files import atomic_write, check_writable
from artgan.interfaces import Generator
from artgan.progress import progress

Run = Callable[[Tensor], Tensor]
"""A network as a runtime runs it: float32 tensors on the CPU to the same."""

LIMIT = 1e-4
"""The greatest difference to PyTorch that is allowed, where pictures range over [-1, 1]."""

_MOST_BYTES = 2**31 - 2**20  # one file of protocol buffers holds less than 2 GiB
_LEAST_SIDE = 24  # pixels of the pictures to check with: on a few pixels instance norm magnifies rounding


@dataclass(frozen=True)
class Exported:
    """What :func:`export_onnx` wrote.

    Attributes:
        path: the file.
        difference: the greatest to PyTorch, in numbers of [-1, 1].
        shapes: of the inputs that were compared.
    """

    path: Path
    difference: float
    shapes: tuple[tuple[int, ...], ...]


def export_onnx(
    generator: Generator, path: str | Path, *, about: Mapping[str, Any] | None = None, overwrite: bool = False
) -> Exported:
    """Write a generator as an ONNX file, after comparing it with PyTorch at three sizes.

    Pictures go in as ``pictures`` and come out as ``paintings``, N x 3 x H x W float32 in [-1, 1] for any N, and any H
    and W that the generator takes. Of pictures from noise, ``noise`` (N x Z) goes in and ``pictures`` come out. The
    file's metadata has a key ``artgan``: JSON with artgan's version, ``stride``, ``minimum_size``, and ``about``.

    Args:
        generator: in any precision, on any device; it is not changed.
        path: the file to write. It appears complete or not at all.
        about: more for the metadata, JSON types: plugin, config, license.
        overwrite: whether an existing file may be replaced.

    Raises:
        ExportError: the generator is more than a network, or cannot be exported; what was exported differs from
            PyTorch by more than :data:`LIMIT`; the file cannot be written.
        ConfigError: the packages that this needs are not installed.
    """
    refuse_what_is_no_network(generator)
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "onnx", "exporting")
    network = copy.deepcopy(generator).to("cpu", torch.float32).eval().requires_grad_(False)
    shapes = check_shapes(network)
    told = {"artgan_version": version("artgan"), "stride": network.stride, "minimum_size": network.minimum_size}
    with atomic_export(path, overwrite=overwrite) as part, progress("exporting", 1 + len(shapes)) as advance:
        part.write_bytes(_export(network, {**told, **(about or {})}))
        advance()
        run = open_onnxruntime(part)
        found = 0.0
        for shape in shapes:
            found = max(found, difference(run, network, shape))
            advance()
    return Exported(Path(path), found, shapes)


def refuse_what_is_no_network(generator: Generator) -> None:
    """Raise ExportError if the generator makes pictures otherwise than by one run of its network."""
    if type(generator).generate is not Generator.generate:
        raise ExportError(
            "this model makes a picture step by step, with options of its own, and not by one run of a network: "
            "it cannot be exported, and runs in PyTorch alone"
        )


def require(package: str, extra: str, what: str) -> Any:
    """Import a package that an extra brings.

    Raises:
        ConfigError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f'{what} needs {package}: pip install "artgan[{extra}]" ({error})') from None


def check_shapes(generator: Generator) -> tuple[tuple[int, ...], ...]:
    """Three shapes of input that a generator takes, small ones; pictures are not square, and of unlike aspects."""
    if generator.task == "noise-to-image":
        return tuple((count, generator.noise_size) for count in (1, 2, 3))
    stride = generator.stride
    least = -(-max(generator.minimum_size, _LEAST_SIDE) // stride)
    sides = ((least, least + 1), (2 * least + 1, least), (least + 2, 3 * least))
    return tuple((count, 3, rows * stride, columns * stride) for count, (rows, columns) in enumerate(sides, start=1))


def difference(run: Run, generator: Generator, shape: tuple[int, ...]) -> float:
    """The greatest difference between what a runtime and PyTorch make of random input.

    Raises:
        ExportError: it is greater than :data:`LIMIT`, or the runtime does not run at that size.
    """
    numbers = torch.Generator().manual_seed(0)
    pictures = generator.task == "image-to-image"
    x = torch.rand(shape, generator=numbers) * 2 - 1 if pictures else torch.randn(shape, generator=numbers)
    with torch.inference_mode():
        wanted: Tensor = generator(x)
    where = " x ".join(map(str, shape))
    try:
        made = run(x)
        found = float((made - wanted).abs().max())
    except Exception as error:  # of a runtime: each has its own
        raise ExportError(f"what was exported does not run at {where} ({one_line(error)})") from None
    if not found <= LIMIT:  # so that what is not a number is refused too
        raise ExportError(
            f"what was exported differs from PyTorch by {found:.1e} at {where}, where {LIMIT:g} is allowed; "
            "it is not kept"
        )
    return found


def open_onnxruntime(path: Path) -> Run:
    """An ONNX file as ONNX Runtime runs it, on the CPU, with as many threads as PyTorch uses now.

    Raises:
        Exception: of ONNX Runtime, if it is no ONNX file.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; what it warns of is for those who make runtimes
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [name] = [wanted.name for wanted in session.get_inputs()]

    def run(x: Tensor) -> Tensor:
        [made] = session.run(None, {name: x.numpy()})
        return torch.from_numpy(made)

    return run


@contextmanager
def atomic_export(path: str | Path, *, overwrite: bool) -> Iterator[Path]:
    """:func:`artgan.files.atomic_write` with errors for people.

    Raises:
        ExportError: ``path`` exists and may not be replaced, or cannot be written.
    """
    path = Path(path)
    check_writable(path, overwrite=overwrite, error=ExportError)
    try:
        with atomic_write(path) as part:
            yield part
    except OSError as error:
        raise ExportError(f"{path}: cannot be written ({one_line(error)})") from None


def _export(network: Generator, about: Mapping[str, Any]) -> bytes:
    """The ONNX file of a network on the CPU."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > _MOST_BYTES:
        raise ExportError(f"the network has {size / 1e9:.1f} GB of weights, where an ONNX file holds at most 2")
    with quiet(), torch.no_grad():
        try:
            model = _export_program(network)
        except Exception as first:  # of PyTorch's exporter: there is no end of their kinds
            try:
                model = _export_trace(network)
            except Exception:
                raise ExportError(f"PyTorch cannot export this network ({one_line(first)})") from None
    _forget_where_it_was_made(model)
    model.metadata_props.add(key="artgan", value=json.dumps(about))
    importlib.import_module("onnx").checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _export_program(network: Generator) -> Any:
    """By the exporter that knows what a side must be a multiple of; its graphs are the smaller ones."""
    from torch.export import Dim

    put_in, made = _names(network)
    axes: dict[int, Any] = {0: Dim("batch")}
    if network.task == "image-to-image":
        least = -(-network.minimum_size // network.stride)
        units = {2: Dim("height", min=least), 3: Dim("width", min=least)}
        axes |= {axis: network.stride * unit if network.stride > 1 else unit for axis, unit in units.items()}
    program = torch.onnx.export(
        network,
        (_example(network),),
        dynamo=True,
        dynamic_shapes=(axes,),
        input_names=[put_in],
        output_names=[made],
        external_data=False,
        verbose=False,
    )
    assert program is not None  # as dynamo=True promises
    return program.model_proto


def _export_trace(network: Generator) -> Any:
    """By PyTorch's older exporter, where the other one cannot."""
    import onnx

    put_in, made = _names(network)
    axes = {0: "batch", **({2: "height", 3: "width"} if network.task == "image-to-image" else {})}
    buffer = io.BytesIO()
    torch.onnx.export(
        network,
        (_example(network),),
        buffer,  # type: ignore[arg-type]  # this exporter takes a file that is open
        dynamo=False,
        dynamic_axes={put_in: axes, made: axes},
        input_names=[put_in],
        output_names=[made],
    )
    return onnx.load_model_from_string(buffer.getvalue())


def _names(network: Generator) -> tuple[str, str]:
    """What goes in, and what comes out."""
    return ("noise", "pictures") if network.task == "noise-to-image" else ("pictures", "paintings")


def _example(network: Generator) -> Tensor:
    """Input of which no axis has the length 0 or 1: PyTorch would take it for a constant."""
    if network.task == "noise-to-image":
        return torch.zeros(2, network.noise_size)
    least = max(2, -(-network.minimum_size // network.stride))
    return torch.zeros(2, 3, least * network.stride, (least + 1) * network.stride)


def _forget_where_it_was_made(model: Any) -> None:
    """Remove the traces of the source that PyTorch leaves at each node: they hold paths of this machine."""
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of exporters, which are about what they do themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
