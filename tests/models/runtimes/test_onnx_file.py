"""Exported files are read without trust: what no exported network holds is refused before a runtime sees it."""

from __future__ import annotations

import copy
import json
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artgan_cyclegan.networks import HalfSizeGenerator
from hypothesis import given, settings
from hypothesis import strategies as st

from artgan.errors import ArtganError, WeightsError
from artgan.models.runtimes.exporting import export_onnx
from artgan.models.runtimes.onnx_file import OPERATORS, Facts, check_onnx, read_onnx
from artgan.models.runtimes.onnxruntime import OnnxNetwork

onnx = pytest.importorskip("onnx", reason='needs pip install "artgan[onnx]"')
pytestmark = pytest.mark.slow  # an export takes seconds


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small exported network with one instance norm."""
    torch.manual_seed(0)
    generator = HalfSizeGenerator(8, 1).eval()
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    return export_onnx(generator, path, about={"plugin": "cyclegan"}).path.read_bytes()


def changed(data: bytes, change: Callable[[Any], object]) -> bytes:
    model = onnx.load_model_from_string(data)
    change(model)
    return bytes(model.SerializeToString())


def about(model: Any) -> Any:
    return next(entry for entry in model.metadata_props if entry.key == "artgan")


def tell(model: Any, **facts: Any) -> None:
    said = json.loads(about(model).value)
    said["facts"] |= facts
    about(model).value = json.dumps(said)


def test_what_was_exported_is_read(data: bytes) -> None:
    file = check_onnx(data, "x")
    assert file.facts == Facts(stride=4, minimum_size=8, memory_per_pixel=32, reach=23, channels=(4,))
    assert file.about["plugin"] == "cyclegan"


def subgraph(model: Any) -> None:
    node = onnx.helper.make_node("Identity", ["pictures"], ["unused"])
    node.attribute.append(onnx.helper.make_attribute("body", onnx.GraphProto(name="inside")))
    model.graph.node.append(node)


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def typed(model: Any) -> None:
    tensor = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    values = onnx.numpy_helper.to_array(tensor)
    tensor.ClearField("raw_data")
    tensor.float_data.extend(values.ravel().tolist())


def huge(model: Any) -> None:
    model.graph.initializer[0].dims[0] = 2**40


def conv(model: Any, name: str, values: Any) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, values)])


def operator(model: Any, name: str, domain: str = "") -> None:
    model.graph.node.append(onnx.helper.make_node(name, ["pictures"], ["unused"], domain=domain))


TAMPERED: dict[str, tuple[Callable[[Any], object], str]] = {
    "external data": (external, "a part of kind 13 in a tensor"),
    "values in another form": (typed, "a part of kind 4 in a tensor"),
    "fewer values than said": (huge, "a tensor with more or fewer values"),
    "a tensor of texts": (
        lambda m: m.graph.initializer.append(onnx.TensorProto(name="t", data_type=8, dims=[1])),
        "a tensor of type 8",
    ),
    "a graph in a node": (subgraph, "a part of kind 6 in an attribute"),
    "a loop": (lambda m: operator(m, "Loop"), "the operator Loop"),
    "an operator of a vendor": (lambda m: operator(m, "Conv", "com.microsoft"), "the operator com.microsoft.Conv"),
    "a vendor's operators": (
        lambda m: m.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1)),
        "operators of com.microsoft",
    ),
    "old operators": (lambda m: setattr(m.opset_import[0], "version", 7), "operators of ONNX, version 7"),
    "functions": (lambda m: m.functions.add(name="f", domain="d"), "a part of kind 25"),
    "a training graph": (lambda m: m.training_info.add(), "a part of kind 20"),
    "a sparse tensor": (lambda m: m.graph.sparse_initializer.add(), "a part of kind 15 in its graph"),
    "a huge stride": (lambda m: conv(m, "strides", [2**40, 1]), "an attribute of 1099511627776"),
    "a negative padding": (lambda m: conv(m, "pads", [-(2**40)] * 4), "an attribute of -1099511627776"),
    "another input": (
        lambda m: m.graph.input.append(onnx.helper.make_tensor_value_info("more", 1, [1])),
        "its inputs are",
    ),
    "an input without default": (
        lambda m: m.graph.initializer.remove(next(t for t in m.graph.initializer if t.name == "statistics")),
        "its inputs are",
    ),
    "no output": (lambda m: m.graph.ClearField("output"), "its outputs are"),
    "two graphs' worth of norms": (lambda m: tell(m, channels=[4, 4]), "its outputs are"),
    "no channels": (lambda m: tell(m, channels=[0]), "channels is 0"),
    "a stride of nothing": (lambda m: tell(m, stride=0), "stride is 0"),
    "a stride of a text": (lambda m: tell(m, stride="4"), "stride is '4'"),
    "a reach of millions": (lambda m: tell(m, reach=2**40), "reach is 1099511627776"),
    "true for a number": (lambda m: tell(m, minimum_size=True), "minimum_size is True"),
    "another format": (
        lambda m: setattr(about(m), "value", about(m).value.replace('"format": 1', '"format": 2')),
        "format 2, where 1 is read",
    ),
    "no word of itself": (lambda m: m.ClearField("metadata_props"), "lacks 'artgan'"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_no_exported_network_holds_is_refused(data: bytes, what: str) -> None:
    change, told = TAMPERED[what]
    with pytest.raises(WeightsError) as caught:
        check_onnx(changed(data, change), "somewhere.onnx")
    assert str(caught.value).startswith("somewhere.onnx: not a model exported by artgan, or damaged (")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4", b"\x80\x04K\x01.", b"\xff" * 1000, b"\x0a" * 1000, b"\x3a\xff\x7f"]
)
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(WeightsError, match="not a model exported by artgan, or damaged"):
        check_onnx(content, "x")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(WeightsError, match=r"model\.onnx: larger than"):
        read_onnx(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_onnx(tmp_path / "nothing.onnx")


@settings(max_examples=300, deadline=None)
@given(source=st.data())
def test_damage_of_any_kind_is_told_in_one_way(data: bytes, source: st.DataObject) -> None:
    mutated = damaged(data, np.random.default_rng(source.draw(st.integers(0, 2**32))))
    with suppress(WeightsError):
        check_onnx(mutated, "x")


def test_no_operator_of_the_list_holds_a_graph_or_reads_a_file() -> None:
    forbidden = {"If", "Loop", "Scan", "SequenceMap", "ImageDecoder", "StringNormalizer", "TfIdfVectorizer", "Optional"}
    assert not OPERATORS & forbidden
    schemas = {schema.name: schema for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert schemas.keys() >= OPERATORS
    graphs = onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS
    assert not [n for n in OPERATORS if any(a.type in graphs for a in schemas[n].attributes.values())]


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """The bytes with some changed, removed, repeated, or cut off."""
    mutated = bytearray(data)
    for _ in range(random.integers(1, 6)):
        at = int(random.integers(0, len(mutated)))
        match random.integers(0, 6):
            case 0:
                del mutated[at:]
            case 1:
                del mutated[at : at + int(random.integers(1, 64))]
            case 2:
                mutated[at:at] = mutated[at : at + int(random.integers(1, 64))]
            case _:
                mutated[at] = int(random.integers(0, 256))
        if not mutated:
            break
    return bytes(mutated)


def attributes_changed(data: bytes, random: np.random.Generator) -> bytes:
    """A valid file whose nodes, attributes, shapes and edges have been changed at random."""
    model = onnx.load_model_from_string(data)
    nodes = model.graph.node
    for _ in range(random.integers(1, 4)):
        node = nodes[int(random.integers(len(nodes)))]
        match random.integers(0, 6):
            case 0 if node.attribute:
                attribute = node.attribute[int(random.integers(len(node.attribute)))]
                attribute.i = int(random.integers(-9, 9))
                for index in range(len(attribute.ints)):
                    attribute.ints[index] = int(random.choice([-4096, -1, 0, 1, 2, 7, 4096]))
            case 1 if node.input:
                edges = [value for other in nodes for value in other.output]
                node.input[int(random.integers(len(node.input)))] = str(random.choice(edges))
            case 2:
                node.op_type = str(random.choice(sorted(OPERATORS)))
            case 3:
                tensor = model.graph.initializer[int(random.integers(len(model.graph.initializer)))]
                tensor.dims.reverse()
            case 4:
                tensor = model.graph.initializer[int(random.integers(len(model.graph.initializer)))]
                if tensor.data_type == onnx.TensorProto.INT64:
                    size = len(tensor.raw_data) // 8
                    values = random.choice([-(2**62), -1, 0, 1, 3, 2**31, 2**62], size)
                    tensor.raw_data = np.asarray(values, np.int64).tobytes()
            case _:
                nodes.remove(copy.deepcopy(node)) if len(nodes) > 1 else None
    return bytes(model.SerializeToString())


def mutants(data: bytes, seeds: range) -> Iterator[bytes]:
    for seed in seeds:
        random = np.random.default_rng(seed)
        yield (damaged if seed % 4 == 0 else attributes_changed)(data, random)


def run_all(data: bytes, first: int, count: int, reached: Any) -> None:
    """Open and run mutated files as painting would; ends only if the runtime brings the process down."""
    pictures = np.zeros((1, 3, 16, 16), np.float32)
    for seed, mutant in enumerate(mutants(data, range(first, first + count)), start=first):
        reached.value = seed
        try:
            network = OnnxNetwork(check_onnx(mutant, "x"), threads=1)
            network.paint(pictures, {})
        except (ArtganError, MemoryError):
            pass
    reached.value = first + count


@pytest.mark.parametrize("count", [150, pytest.param(20_000, marks=pytest.mark.exhaustive)])
def test_no_mutated_file_ends_the_process(data: bytes, count: int) -> None:
    """Files whose hash would be right, as of somebody who means harm: what check_onnx lets through is run."""
    context = multiprocessing.get_context("spawn")
    reached = context.Value("q", -1)
    process = context.Process(target=run_all, args=(data, 0, count, reached))
    process.start()
    process.join()
    assert (process.exitcode, reached.value) == (0, count), f"the file of seed {reached.value} ended the process"
