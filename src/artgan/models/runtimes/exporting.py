"""Exports generators to ONNX files for other runtimes; each is compared with PyTorch, using ONNX Runtime.

A file of a model that paints holds more than its network: the statistics of instance norms are a further input, and
what enters each norm a further output, so that a picture can be painted in tiles exactly as PyTorch paints it.
"""

from __future__ import annotations

import copy
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artgan.errors import ConfigError, ExportError, one_line
from artgan.files import atomic_write, check_writable
from artgan.interfaces import Generator
from artgan.models.runtimes.onnx_file import FEATURES, FORMAT, PAINTINGS, PICTURES, STATISTICS, Facts
from artgan.models.runtimes.pytorch import norms_computed_by, whole_picture_norms
from artgan.painting.network import usable_threads
from artgan.progress import progress

Runner = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""A network run by some runtime."""

TOLERANCE = 1e-4
"""The maximum allowed difference from PyTorch, for values in [-1, 1]."""

_MOST_BYTES = 2**31 - 2**20  # a protocol buffers file is limited to 2 GiB
_LEAST_SIDE = 24  # side of the pictures used for checking: with few pixels, instance norm amplifies rounding errors


@dataclass(frozen=True)
class Exported:
    """What :func:`export_onnx` wrote.

    Attributes:
        path: the file.
        difference: the maximum difference from PyTorch, for values in [-1, 1].
        shapes: shapes of the inputs used for the comparison.
    """

    path: Path
    difference: float
    shapes: tuple[tuple[int, ...], ...]


def export_onnx(
    generator: Generator, path: str | Path, *, about: Mapping[str, Any] | None = None, overwrite: bool = False
) -> Exported:
    """Write a generator as an ONNX file, after comparing it with PyTorch at three sizes.

    The input is named ``pictures`` and the output ``paintings``: N x 3 x H x W float32 in [-1, 1], for any N, and any H
    and W that the generator accepts. For instance norms there are an input ``statistics``, which may be left out, and
    outputs ``features_0``, ``features_1``, ...; see :class:`artgan.models.runtimes.onnxruntime.OnnxNetwork`. For a
    noise-to-image model, the input is ``noise`` (N x Z) and the output ``pictures``. Weights that float16 holds exactly
    are stored in it. The file's metadata has a key ``artgan``: JSON with ``format``, artgan's version, ``facts``
    (:class:`artgan.models.runtimes.onnx_file.Facts`) and ``about``.

    Args:
        generator: in any precision, on any device; it is not modified.
        path: the file to write; the write is atomic.
        about: additional metadata, as JSON types: plugin, config, license.
        overwrite: whether an existing file may be replaced.

    Raises:
        ExportError: the generator is more than a network, or cannot be exported; the exported model differs from
            PyTorch by more than :data:`TOLERANCE`; the file cannot be written.
        ConfigError: required packages are not installed.
    """
    refuse_what_is_no_network(generator)
    require_exporter()
    network = copy.deepcopy(generator).to("cpu", torch.float32).eval().requires_grad_(False)
    shapes = check_shapes(network)
    channels = _channels(network)
    facts = Facts(network.stride, network.minimum_size, network.memory_per_pixel, network.reach, channels)
    said = {"format": FORMAT, "artgan_version": version("artgan"), "facts": facts.to_dict(), **(about or {})}
    with atomic_export(path, overwrite=overwrite) as part, progress("exporting", 1 + len(shapes)) as advance:
        part.write_bytes(_export(network, channels, said))
        advance()
        run = running(part.read_bytes())
        found = 0.0
        for shape in shapes:
            found = max(found, difference(run, network, shape))
            advance()
    return Exported(Path(path), found, shapes)


def require_exporter() -> None:
    """Raise ConfigError unless all packages that exporting needs are installed."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "onnx", "exporting")


def refuse_what_is_no_network(generator: Generator) -> None:
    """Raise ExportError if the generator's output is more than a single forward pass of its network."""
    if generator.placed:
        raise ExportError(
            "what this model paints depends on the position in the picture, which exported networks do not receive: "
            "it cannot be exported, and runs only in PyTorch"
        )
    if type(generator).generate is not Generator.generate:
        raise ExportError(
            "this model makes a picture step by step, with options of its own, not in one pass of its network: "
            "it cannot be exported, and runs only in PyTorch"
        )


def require(package: str, extra: str, what: str) -> Any:
    """Import a package that an extra installs.

    Raises:
        ConfigError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f'{what} needs {package}: pip install "artgan[{extra}]" ({error})') from None


def check_shapes(generator: Generator) -> tuple[tuple[int, ...], ...]:
    """Three small input shapes that a generator accepts; pictures are not square and differ in aspect ratio."""
    if generator.task == "noise-to-image":
        return tuple((count, generator.noise_size) for count in (1, 2, 3))
    stride = generator.stride
    least = -(-max(generator.minimum_size, _LEAST_SIDE) // stride)
    sides = ((least, least + 1), (2 * least + 1, least), (least + 2, 3 * least))
    return tuple((count, 3, rows * stride, columns * stride) for count, (rows, columns) in enumerate(sides, start=1))


def difference(run: Runner, generator: Generator, shape: tuple[int, ...]) -> float:
    """The maximum difference between a runtime's and PyTorch's output for random input.

    Raises:
        ExportError: the difference exceeds :data:`TOLERANCE`, or the runtime fails at this size.
    """
    numbers = torch.Generator().manual_seed(0)
    pictures = generator.task == "image-to-image"
    x = torch.rand(shape, generator=numbers) * 2 - 1 if pictures else torch.randn(shape, generator=numbers)
    with torch.inference_mode():
        wanted = generator(x).numpy()
    where = " x ".join(map(str, shape))
    try:
        found = float(np.abs(run(x.numpy()) - wanted).max())
    except Exception as error:  # each runtime has its own exceptions
        raise ExportError(f"the exported network does not run at {where} ({one_line(error)})") from None
    if not found <= TOLERANCE:  # this form also rejects NaN
        raise ExportError(
            f"the exported network differs from PyTorch by {found:.1e} at {where}, more than {TOLERANCE:g}; "
            "it was discarded"
        )
    return found


def running(data: bytes) -> Runner:
    """An exported model run by ONNX Runtime, on the CPU.

    Raises:
        Exception: ONNX Runtime's own, if it is not an ONNX file.
    """
    from artgan.models.runtimes.onnxruntime import open_session

    session = open_session(data, usable_threads())
    [put_in], made = (wanted.name for wanted in session.get_inputs()), session.get_outputs()[0].name

    def run(x: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        [result] = session.run([made], {put_in: x})
        return result  # type: ignore[no-any-return]  # of an untyped package

    return run


@contextmanager
def atomic_export(path: str | Path, *, overwrite: bool) -> Iterator[Path]:
    """:func:`artgan.files.atomic_write`, with errors meant for users.

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


class _Exportable(nn.Module):
    """A generator with the statistics of its instance norms among its inputs, and what enters them among its outputs.

    Args:
        network: the generator.
        channels: of each call of an instance norm.
    """

    def __init__(self, network: Generator, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.channels = channels

    def forward(self, pictures: Tensor, statistics: Tensor) -> tuple[Tensor, ...]:
        # Slices, as torch.split becomes a sequence of tensors in PyTorch 2.6, which ONNX Runtime 1.20 cannot quantize.
        ends = list(accumulate(self.channels, initial=0))
        given = iter([statistics[:, begin:end] for begin, end in pairwise(ends)])
        seen = []

        def normalized(norm: nn.InstanceNorm2d, x: Tensor) -> Tensor:
            seen.append(x)
            mean, variance = next(given)[:, None, :, None, None]
            unknown = variance < 0
            mean = torch.where(unknown, x.mean((2, 3), keepdim=True), mean)
            off = x - mean
            variance = torch.where(unknown, (off * off).mean((2, 3), keepdim=True), variance)
            result = off * torch.rsqrt(variance + norm.eps)
            if norm.weight is not None:
                result = result * norm.weight[:, None, None] + norm.bias[:, None, None]
            return result

        with norms_computed_by(self.network, normalized):
            made = self.network(pictures)
        return (made, *seen)


def _channels(network: Generator) -> tuple[int, ...]:
    """Channels of each call of an instance norm in a forward pass."""
    found: list[int] = []

    def noted(norm: nn.InstanceNorm2d, x: Tensor) -> Tensor:
        found.append(x.shape[1])
        return type(norm).forward(norm, x)

    if whole_picture_norms(network):
        with norms_computed_by(network, noted), torch.inference_mode():
            network(_example(network))
    return tuple(found)


def _export(network: Generator, channels: tuple[int, ...], about: Mapping[str, Any]) -> bytes:
    """A network on the CPU as the bytes of an ONNX file."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > _MOST_BYTES:
        raise ExportError(f"the network has {size / 1e9:.1f} GB of weights, where an ONNX file holds at most 2")
    noise = network.task == "noise-to-image"
    put_in, made = (["noise"], ["pictures"]) if noise else ([PICTURES], [PAINTINGS])
    example: tuple[Tensor, ...] = (_example(network),)
    module: nn.Module = network
    if channels:
        put_in.append(STATISTICS)
        made += [FEATURES.format(call) for call in range(len(channels))]
        example += (torch.full((2, sum(channels)), -1.0),)
        module = _Exportable(network, channels)
    with quiet(), torch.no_grad():
        try:
            model = _export_program(module, network, example, put_in, made)
        except Exception as first:  # PyTorch's exporter may raise anything
            try:
                model = _export_trace(module, network, example, put_in, made)
            except Exception:
                raise ExportError(f"PyTorch cannot export this network ({one_line(first)})") from None
    _remove_stack_traces(model)
    if channels:
        _add_default(model, STATISTICS, example[1].numpy())
    store_compactly(model)
    model.metadata_props.add(key="artgan", value=json.dumps(about))
    importlib.import_module("onnx").checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _export_program(
    module: nn.Module, network: Generator, example: tuple[Tensor, ...], put_in: list[str], made: list[str]
) -> Any:
    """Use the exporter that can express that a side must be a multiple of the stride; its graphs are smaller."""
    from torch.export import Dim

    axes: dict[int, Any] = {0: Dim("batch")}
    names = {0: "batch"}
    if network.task == "image-to-image":
        stride = network.stride
        least = -(-network.minimum_size // stride)
        for axis, side in {2: "height", 3: "width"}.items():
            unit = Dim(side, min=least)
            axes[axis] = stride * unit if stride > 1 else unit
            names[axis] = f"{stride}*{side}" if stride > 1 else side
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        dynamic_shapes=(axes, None)[: len(example)],
        input_names=put_in,
        output_names=made,
        external_data=False,
        verbose=False,
    )
    assert program is not None  # as dynamo=True promises
    model = program.model_proto
    _name_axes(model, names)
    return model


def _name_axes(model: Any, names: Mapping[int, str]) -> None:
    """Give the free axes of the input and the output our names, if PyTorch gave them others.

    PyTorch 2.6 names axes after symbols (``s0``) or after their lengths in the example (``2``, ``16``), so that axes of
    equal length there would seem to be equal always. The shapes of intermediate results, which an ONNX file need not
    have, are then removed.
    """
    put_in, made = (value.type.tensor_type.shape.dim for value in (model.graph.input[0], model.graph.output[0]))
    if all(put_in[axis].dim_param == name for axis, name in names.items()):
        return
    if any(put_in[axis].HasField("dim_value") for axis in names):
        return  # fixed indeed: the comparison with PyTorch at other sizes refuses it
    del model.graph.value_info[:]
    for features in model.graph.output[1:]:
        for dimension in features.type.tensor_type.shape.dim:
            dimension.Clear()  # unknown; a shape is required, its lengths are not
    for axis, name in names.items():
        put_in[axis].dim_param = name
        made[axis].dim_param = name  # paintings have the size of their pictures


def _export_trace(
    module: nn.Module, network: Generator, example: tuple[Tensor, ...], put_in: list[str], made: list[str]
) -> Any:
    """Use PyTorch's older exporter, if the newer one fails."""
    import onnx

    axes = {0: "batch", **({2: "height", 3: "width"} if network.task == "image-to-image" else {})}
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        example,
        buffer,  # type: ignore[arg-type]  # this exporter accepts an open file
        dynamo=False,
        dynamic_axes={put_in[0]: axes, **dict.fromkeys(made, axes)},
        input_names=put_in,
        output_names=made,
    )
    return onnx.load_model_from_string(buffer.getvalue())


def _example(network: Generator) -> Tensor:
    """An example input without axes of length 0 or 1, which PyTorch would treat as constants."""
    if network.task == "noise-to-image":
        return torch.zeros(2, network.noise_size)
    least = max(2, -(-network.minimum_size // network.stride))
    return torch.zeros(2, 3, least * network.stride, (least + 1) * network.stride)


def _add_default(model: Any, name: str, values: NDArray[np.float32]) -> None:
    """Let an input have a value that is used where none is given."""
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(values, name))


def store_compactly(model: Any) -> None:
    """Store all tensors as raw bytes, and float32 ones that float16 holds exactly in float16, which halves the file."""
    from onnx import TensorProto, helper, numpy_helper

    inputs = {value.name for value in model.graph.input}
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        name = tensor.name
        half = values.astype(np.float16) if values.dtype == np.float32 and values.size > 64 else values
        if half is not values and name not in inputs and np.array_equal(half.astype(np.float32), values):
            values, name = half, f"{name}_half"
            casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t)))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def store_plainly(model: Any) -> None:
    """Undo :func:`store_compactly`: tools that change graphs expect weights in float32."""
    from onnx import numpy_helper

    halves = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name.endswith("_half")}
    nodes = []
    for node in model.graph.node:
        half = halves.get(node.input[0]) if node.op_type == "Cast" else None
        if half is None:
            nodes.append(node)
        else:
            half.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(half).astype(np.float32), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _remove_stack_traces(model: Any) -> None:
    """Remove the stack traces that PyTorch attaches to each node: they contain paths of this machine."""
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters' warnings and prints, which only concern their internals."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
