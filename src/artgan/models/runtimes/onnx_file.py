"""Reads exported models as untrusted input: what a file holds is checked before a runtime parses it.

An ONNX file is a protocol buffers message. It is read here by the wire format alone, with the field numbers of
onnx.proto, so that neither the package
onnx nor a runtime sees a file that could make it read other files, take memory without bounds, or run operators that no
exported network needs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from artgan.data import protobuf
from artgan.errors import WeightsError, one_line

FORMAT = 1
"""Of exported files; others are refused."""

LIMIT = 2**31 - 2**20
"""The largest file, in bytes: protocol buffers hold 2 GiB."""

PICTURES, PAINTINGS, STATISTICS, FEATURES = "pictures", "paintings", "statistics", "features_{}"
"""Names in the graph: its input, its output, the statistics of instance norms, and what enters each of these."""

OPERATORS = frozenset(
    (
        *("Abs", "Add", "AveragePool", "Cast", "CastLike", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv"),
        *("ConvTranspose", "DepthToSpace", "DequantizeLinear", "Div", "Equal", "Erf", "Exp", "Expand", "Flatten"),
        *("Floor", "Gather", "Gemm", "GlobalAveragePool", "Greater", "HardSigmoid", "HardSwish", "Identity"),
        *("InstanceNormalization", "LayerNormalization", "LeakyRelu", "Less", "Log", "MatMul", "Max", "MaxPool", "Min"),
        *("Mul", "Neg", "Not", "PRelu", "Pad", "Pow", "QuantizeLinear", "Reciprocal", "ReduceMean", "ReduceSum"),
        *("Relu", "Reshape", "Resize", "Shape", "Sigmoid", "Slice", "Softmax", "Softplus", "SpaceToDepth", "Split"),
        *("Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where"),
    )
)
"""Of ONNX's own operators those that networks are made of; none holds another graph."""

_OPSETS = range(13, 27)
_MOST_NODES, _MOST_TENSORS = 20_000, 20_000
_MOST_METADATA = 4 * 2**20  # bytes
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8}  # float, uint8, int8, int32, int64, bool, half, double
_LARGEST_ATTRIBUTE = 4096  # kernels, strides, paddings, groups; axes and block sizes are smaller

_Fields: TypeAlias = "Iterator[tuple[int, int | memoryview]]"


@dataclass(frozen=True)
class Facts:
    """What painting has to know of an exported network; see :class:`artgan.painting.network.Network`.

    Attributes:
        channels: of each call of an instance norm in the forward pass.
    """

    stride: int
    minimum_size: int
    memory_per_pixel: int
    reach: int | None
    channels: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Facts:
        """Raises ValueError if the values are of other types or out of range."""
        found = {field.name: values[field.name] for field in fields(cls)}
        found["channels"] = tuple(found["channels"])
        for name, value in found.items():
            numbers = value if name == "channels" else (value,)
            least = 0 if name in ("memory_per_pixel", "reach") else 1
            for number in numbers:
                if number is None and name == "reach":
                    continue
                if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= 2**20:
                    raise ValueError(f"{name} is {number!r}")
        return cls(**found)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "channels": list(self.channels)}


@dataclass(frozen=True)
class OnnxFile:
    """A checked file.

    Attributes:
        data: its bytes.
        about: what it says of itself: the JSON text of its metadata under ``artgan``.
        facts: of the network.
    """

    data: bytes
    about: Mapping[str, Any]
    facts: Facts


def read_onnx(path: Path) -> OnnxFile:
    """Read and check a file; see :func:`check_onnx`."""
    try:
        if path.stat().st_size > LIMIT:
            raise WeightsError(f"{path}: larger than {LIMIT} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    return check_onnx(data, str(path))


def check_onnx(data: bytes, where: str) -> OnnxFile:
    """Check an exported network that paints pictures.

    Args:
        data: the file's bytes.
        where: its name, with which errors begin.

    Raises:
        WeightsError: it is damaged, was not exported by artgan, refers to other files, or holds what no exported
            network needs.
    """
    try:
        about = _check_model(memoryview(data))
        facts = Facts.of(about["facts"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else one_line(error)
        raise WeightsError(f"{where}: not a model exported by artgan, or damaged ({reason})") from None
    return OnnxFile(data, about, facts)


def _check_model(model: memoryview) -> dict[str, Any]:
    """The metadata of a model; raises ValueError if there is anything else than a graph of known operators."""
    graphs, metadata = [], {}
    for number, value in _fields(model):
        if number == 7:
            graphs.append(_bytes(value))
        elif number == 8:
            domain, version = _texts(value).get(1, ""), _numbers(value).get(2, 0)
            if domain not in ("", "ai.onnx") or version not in _OPSETS:
                raise ValueError(f"operators of {domain or 'ONNX'}, version {version}")
        elif number == 14:
            if len(_bytes(value)) > _MOST_METADATA:
                raise ValueError("its metadata are too large")
            entry = _texts(value)
            metadata[entry.get(1, "")] = entry.get(2, "")
        elif number not in (1, 2, 3, 4, 5, 6):
            raise ValueError(f"a part of kind {number}")
    if len(graphs) != 1:
        raise ValueError(f"{len(graphs)} graphs")
    about = json.loads(metadata["artgan"])
    if about.get("format") != FORMAT:
        raise ValueError(f"format {about.get('format')!r}, where {FORMAT} is read")
    _check_graph(graphs[0], len(about["facts"]["channels"]))
    return dict(about)


def _check_graph(graph: memoryview, norms: int) -> None:
    nodes = tensors = 0
    inputs, outputs, defaults = [], [], []
    for number, value in _fields(graph):
        if number == 1:
            nodes += 1
            _check_node(_bytes(value))
        elif number == 5:
            tensors += 1
            defaults.append(_check_tensor(_bytes(value)))
        elif number == 11:
            inputs.append(_texts(value, only=1).get(1))
        elif number == 12:
            outputs.append(_texts(value, only=1).get(1))
        elif number not in (2, 10, 13):
            raise ValueError(f"a part of kind {number} in its graph")
        if nodes > _MOST_NODES or tensors > _MOST_TENSORS:
            raise ValueError("too many nodes")
    if inputs != [PICTURES, STATISTICS][: 1 + bool(norms)] or (norms and STATISTICS not in defaults):
        raise ValueError(f"its inputs are {inputs}")
    if outputs != [PAINTINGS, *(FEATURES.format(call) for call in range(norms))]:
        raise ValueError(f"its outputs are {outputs[:4]}")


def _check_node(node: memoryview) -> None:
    operator = domain = ""
    for number, value in _fields(node):
        if number == 4:
            operator = _text(value)
        elif number == 7:
            domain = _text(value)
        elif number == 5:
            _check_attribute(_bytes(value))
        elif number not in (1, 2, 3, 6):
            raise ValueError(f"a part of kind {number} in a node")
    if domain not in ("", "ai.onnx") or operator not in OPERATORS:
        raise ValueError(f"the operator {domain and domain + '.'}{operator}")


def _check_attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number == 5:
            _check_tensor(_bytes(value))
        elif number in (3, 8):
            for whole in [value] if isinstance(value, int) else _packed(value):
                signed = whole - 2**64 if whole >= 2**63 else whole
                if not -_LARGEST_ATTRIBUTE <= signed <= _LARGEST_ATTRIBUTE:
                    raise ValueError(f"an attribute of {signed}")
        elif number not in (1, 2, 4, 7, 13, 20):
            raise ValueError(f"a part of kind {number} in an attribute")


def _check_tensor(tensor: memoryview) -> str:
    """The name of a tensor that lies in the file and has as many values as it says."""
    dims: list[int] = []
    kind = size = 0
    name = ""
    for number, value in _fields(tensor):
        if number == 1:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif number == 2:
            kind = _number(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            size += len(_bytes(value))
        elif number != 12:  # values in other forms, or in other files
            raise ValueError(f"a part of kind {number} in a tensor")
    if kind not in _ITEM_BYTES:
        raise ValueError(f"a tensor of type {kind}")
    if len(dims) > 8 or max(dims, default=0) > LIMIT or math.prod(dims) * _ITEM_BYTES[kind] != size:
        raise ValueError("a tensor with more or fewer values than it says")
    return name


# ---- the wire format


def _fields(message: memoryview) -> _Fields:
    """Number and value of each field: an integer, or the bytes of anything else."""
    return ((number, value) for number, _, value in protobuf.fields(message))


def _packed(value: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(value):
        number, at = protobuf.varint(value, at)
        numbers.append(number)
    return numbers


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a message where a number is expected")
    return value


def _text(value: int | memoryview) -> str:
    return str(_bytes(value), "utf-8")


def _texts(value: int | memoryview, only: int | None = None) -> dict[int, str]:
    """The texts in a message, by field."""
    found = _fields(_bytes(value))
    return {n: _text(each) for n, each in found if not isinstance(each, int) and only in (None, n)}


def _numbers(value: int | memoryview) -> dict[int, int]:
    """The numbers in a message, by field."""
    return {number: each for number, each in _fields(_bytes(value)) if isinstance(each, int)}
