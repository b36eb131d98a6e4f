"""What the core reads of a checkpoint, and what it refuses, without running anything in it."""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import decimal
import fractions
import functools
import io
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
import types
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.testing._private.utils
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from artgan.errors import ArtganError, PluginError, WeightsError
from artgan.models import checkpoints
from artgan.models.checkpoints import read_state
from artgan.models.converting import convert
from artgan.models.loading import load

Install = Callable[..., Path]

MANIFEST = """
from artgan.plugin import Plugin
plugin = Plugin(
    "{name}", "A test.", config="{name}_plugin.parts:Config", generator="{name}_plugin.parts:Tint",
    convert="{name}_plugin.parts:{convert}", layouts={{"paint": "the Paint project"}},
)
"""

PARTS = """
import torch
from dataclasses import dataclass

from artgan.config import option
from artgan.models.converting import Converted
from artgan.errors import WeightsError
from artgan.interfaces import Generator


@dataclass(frozen=True)
class Config:
    size: int = option(3, "channels", least=1, most=3)


class Tint(Generator):
    def __init__(self, config):
        super().__init__()
        self.tint = torch.nn.Parameter(torch.zeros(config.size))

    def forward(self, x):
        return (x + self.tint[:, None, None]).clamp(-1, 1)


def convert(state):
    if "critic" in state:
        raise WeightsError("this is a critic")
    return Converted("paint", {"size": len(state["color"])}, {"tint": state["color"]}) if "color" in state else None


def misfit(state):
    return Converted("paint", {}, {"tint": torch.zeros(5), "other": torch.zeros(1)})


def failing(state):
    return state["nothing"]


def careless(state):
    return {"tint": torch.zeros(3)}
"""


@pytest.fixture
def paint(install_plugin: Install, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a plugin that knows files with one entry, "color"."""
    monkeypatch.setenv("ARTGAN_DISABLE_PLUGINS", "cyclegan,dcgan")

    def install(name: str = "tint", convert: str = "convert", parts: str = PARTS) -> None:
        package = install_plugin(name, MANIFEST.format(name=name, convert=convert))
        (package / "parts.py").write_text(parts)

    return install


COLOR = torch.tensor([0.5, -0.25, 1.0])


def told(file: Path, **options: Any) -> str:
    """The one line of a refusal, after which nothing is written."""
    folder = file.parent / "model"
    with pytest.raises(ArtganError) as caught:
        convert(file, folder, **options)
    assert not folder.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_refusal(file: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_state(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message.removeprefix(f"{file}: ")


# ---- what is read


def test_names_keep_their_order_and_nested_ones_are_joined(tmp_path: Path) -> None:
    tree = {"epoch": 3, "z": {"b.w": torch.ones(1), 0: torch.zeros(2)}, "list": [torch.ones(1)], "a": torch.ones(3)}
    torch.save(tree, tmp_path / "net.pth")
    state = read_state(tmp_path / "net.pth")
    assert {name: len(value) for name, value in state.items()} == {"z.b.w": 1, "z.0": 2, "a": 3}
    assert list(state) == ["z.b.w", "z.0", "a"]


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "<i4", "|u1", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpys_arrays_keep_their_values(tmp_path: Path, dtype: str, order: Any) -> None:
    array = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype, order=order)
    np.savez_compressed(tmp_path / "net.npz", first=array, second=array.T)
    state = read_state(tmp_path / "net.npz")
    assert np.array_equal(state["first"], array)
    assert np.array_equal(state["second"], array.T)
    assert state["first"].is_floating_point() == ("f" in dtype)


def test_a_mapping_in_itself_ends(tmp_path: Path) -> None:
    tree: dict[str, Any] = {"color": COLOR}
    tree |= {f"again{index}": tree for index in range(50)}
    torch.save(tree, tmp_path / "net.pth")
    assert list(read_state(tmp_path / "net.pth")) == ["color"]


def test_the_folder_loads_with_the_plugins_values(tmp_path: Path, paint: Callable[..., None]) -> None:
    paint()
    torch.save({"net": {"module": {"color": COLOR.double()}}}, tmp_path / "net.pth")
    done = convert(tmp_path / "net.pth", tmp_path / "model", license="CC0-1.0")
    assert (done.plugin, done.layout, done.about, done.parameters) == ("tint", "paint", "the Paint project", 3)
    model = load(f"local-dir:{tmp_path / 'model'}")
    assert torch.equal(model.generator.state_dict()["tint"], COLOR)
    assert model.card["license"] == {"weights": "CC0-1.0"}
    assert load_file(tmp_path / "model" / "model.safetensors")["tint"].dtype == torch.float32


def test_a_license_of_no_known_name_is_refused_before_anything_is_written(
    tmp_path: Path, paint: Callable[..., None]
) -> None:
    paint()
    torch.save({"color": COLOR}, tmp_path / "net.pth")
    assert "--license 'cc-by': neither SPDX" in told(tmp_path / "net.pth", license="cc-by")


# ---- who is asked


def test_without_a_name_all_plugins_are_asked_and_broken_ones_harm_none(
    tmp_path: Path, paint: Callable[..., None], install_plugin: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("broken", "raise RuntimeError('no luck')")
    install_plugin("plain", 'from artgan.plugin import Plugin\nplugin = Plugin("plain", "", config="x:y")')
    paint("unready", parts="import nothing_of_that_name")
    paint()
    torch.save({"color": COLOR}, tmp_path / "net.pth")
    assert convert(tmp_path / "net.pth", tmp_path / "model").plugin == "tint"
    with pytest.raises(PluginError, match="plugin plain does not convert other projects' checkpoints"):
        convert(tmp_path / "net.pth", tmp_path / "other", plugin="plain")
    monkeypatch.setenv("ARTGAN_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="no luck"):
        convert(tmp_path / "net.pth", tmp_path / "other")


def test_two_plugins_that_know_a_file_are_named(tmp_path: Path, paint: Callable[..., None]) -> None:
    paint("tint")
    paint("hue")
    torch.save({"color": COLOR}, tmp_path / "net.pth")
    assert "several plugins know it; choose one by --plugin: hue (paint), tint (paint)" in told(tmp_path / "net.pth")
    assert convert(tmp_path / "net.pth", tmp_path / "model", plugin="hue").plugin == "hue"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("failing", "plugin tint: its convert failed: KeyError: 'nothing'"),
        ("careless", "plugin tint: its convert returned a dict, not a Converted"),
        ("misfit", "another network's weights: the file has the unknown other; has another shape of tint"),
        ("missing", "parts:missing cannot be imported"),
    ],
)
def test_a_plugins_fault_is_one_line(tmp_path: Path, paint: Callable[..., None], function: str, message: str) -> None:
    paint(convert=function)
    torch.save({"color": COLOR}, tmp_path / "net.pth")
    assert message in told(tmp_path / "net.pth", plugin="tint")


def test_nobody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paint: Callable[..., None]) -> None:
    monkeypatch.setenv("ARTGAN_DISABLE_PLUGINS", "*")
    torch.save({"color": COLOR}, tmp_path / "net.pth")
    assert "no installed plugin converts" in told(tmp_path / "net.pth")
    assert "no plugin named 'watercolor'" in told(tmp_path / "net.pth", plugin="watercolor")


def test_a_refusal_counts_only_where_nothing_is_found(tmp_path: Path, paint: Callable[..., None]) -> None:
    paint()
    torch.save({"critic": torch.ones(1)}, tmp_path / "critic.pth")
    assert told(tmp_path / "critic.pth").endswith("critic.pth: this is a critic")
    torch.save({"d": {"critic": torch.ones(1)}, "g": {"color": COLOR}}, tmp_path / "both.pth")
    convert(tmp_path / "both.pth", tmp_path / "model")


def test_unknown_names_and_known_layouts_are_listed(tmp_path: Path, paint: Callable[..., None]) -> None:
    paint()
    torch.save({"shade": COLOR}, tmp_path / "net.pth")
    message = told(tmp_path / "net.pth")
    assert "the first of 1 are shade; known are paint (the Paint project)" in message


@pytest.mark.parametrize("key", ["b", "a.b.color", "", "/", "ab"])
def test_a_key_that_leads_nowhere_lists_those_that_do(tmp_path: Path, paint: Callable[..., None], key: str) -> None:
    paint()
    torch.save({"a": {"b": {"color": COLOR}}, "c": {"color": COLOR}}, tmp_path / "net.pth")
    assert f"no generator under the key {key!r}; there is a.b, c" in told(tmp_path / "net.pth", key=key)


@pytest.mark.parametrize("key", ["a", "a.b", "a/b", "a.b."])
def test_a_key_is_what_names_begin_with(tmp_path: Path, paint: Callable[..., None], key: str) -> None:
    paint()
    torch.save({"a": {"b": {"color": COLOR}}, "c": {"color": -COLOR}}, tmp_path / "net.pth")
    convert(tmp_path / "net.pth", tmp_path / "model", key=key)
    assert torch.equal(load_file(tmp_path / "model" / "model.safetensors")["tint"], COLOR)


# ---- weights that are spoilt


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, paint: Callable[..., None], value: float) -> None:
    paint()
    array = np.array([0.0, value, 0.0])
    torch.save({"color": torch.from_numpy(array)}, tmp_path / "net.pth")
    np.savez(tmp_path / "net.npz", color=array)
    for name in ("net.pth", "net.npz"):
        assert "tint holds values that are not finite" in told(tmp_path / name)


def test_integers_are_no_weights(tmp_path: Path, paint: Callable[..., None]) -> None:
    paint()
    torch.save({"color": torch.tensor([1, 2, 3])}, tmp_path / "net.pth")
    assert "has another type of tint" in told(tmp_path / "net.pth")


# ---- what is no checkpoint


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
    return stream.getvalue()


def saved(state: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream, **options)
    return stream.getvalue()


NOT_WEIGHTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": ("Ein Bild für alle".encode() * 100, "is a text file, not weights"),
    "json": (b'{"model": 1}' * 100, "is a text file, not weights"),
    "web page": (b"\n <!DOCTYPE html><html>Not found</html>", "is a web page, so the download failed"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(99), "is HDF5, as Keras writes it; save the arrays: np.savez("),
    "keras 3": (zipped(config__json=b"{}", **{"model.weights.h5": b"\x89HDF"}), "is a Keras model; load it in Keras"),
    "lua": (b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1\x0b\0\0\0nn.Sequential", "is a file of Lua Torch (.t7)"),
    "saved model": (b"\x08\x01\x12\x00\xff" + bytes(99), "is a TensorFlow SavedModel; load it in TensorFlow"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x05" + bytes(99), "is ONNX, a network without its weights' names"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is neither PyTorch's, safetensors nor .npz"),
    "zip": (zipped(readme=b"hello"), "is a zip archive without PyTorch or NumPy weights"),
    "torchscript": (
        zipped(net__data__pkl=b"", net__constants__pkl=b""),
        "is a zip archive without PyTorch or NumPy weights",
    ),
    "no names": (saved([torch.ones(3)]), "holds no weights by name"),
    "no tensors": (saved({"epoch": 3}), "holds no weights by name"),
    "sparse": (saved({"w": torch.ones(3).to_sparse()}), "holds no weights by name"),
    "complex": (saved({"w": torch.ones(3) * 1j}), "holds no weights by name"),
    "meta": (saved({"w": torch.ones(3, device="meta")}), "holds no weights by name"),
    "control characters": (saved({"a\nb": torch.ones(3)}), "holds weights under an invalid name: 'a\\nb'"),
    "long name": (saved({"a" * 257: torch.ones(3)}), "holds weights under an invalid name: 'aaa"),
    "strings": (b"\x80\x02X\x05\x00\x00\x00hello.", "is damaged, or not a weights file"),
    "length": (b"\xff" * 8 + b"{}", "is damaged, or not a weights file"),
}


@pytest.mark.parametrize("kind", NOT_WEIGHTS)
def test_what_is_no_checkpoint_is_told_in_a_line(tmp_path: Path, kind: str) -> None:
    data, message = NOT_WEIGHTS[kind]
    (tmp_path / "net.pth").write_bytes(data)
    assert read_refusal(tmp_path / "net.pth").startswith(message)


@pytest.mark.parametrize("name", ["ckpt-1.index", "ckpt-1.data-00000-of-00001"])
def test_a_part_of_tensorflows_checkpoint_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(100))
    assert read_refusal(tmp_path / name).startswith("is part of a TensorFlow checkpoint; restore it in TensorFlow")


def test_folders_are_told_apart(tmp_path: Path) -> None:
    assert read_refusal(tmp_path) == "is a folder; give the file of weights in it"
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert read_refusal(tmp_path).startswith("is a TensorFlow SavedModel")
    (tmp_path / "saved_model.pb").unlink()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"")
    assert read_refusal(tmp_path).endswith(f"it is a model: local-dir:{tmp_path}")


def test_torchscript_is_told(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(tmp_path / "net.pt"))
    assert read_refusal(tmp_path / "net.pt").startswith("is TorchScript, which is code")


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    assert read_refusal(tmp_path) == "is a folder; give the file of weights in it"
    assert read_refusal(tmp_path / "none.pth") == "cannot be read (No such file or directory)"


FORMATS = {
    "net.pth": lambda file: torch.save({"a": torch.arange(400.0), "b": torch.ones(400)}, file),
    "old.pth": lambda file: torch.save({"a": torch.arange(400.0)}, file, _use_new_zipfile_serialization=False),
    "net.safetensors": lambda file: save_file({"a": torch.arange(400.0)}, file),
    "net.npz": lambda file: np.savez(file, a=np.arange(400.0)),
    "compressed.npz": lambda file: np.savez_compressed(file, a=np.random.default_rng(0).random(400)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_told_wherever_it_ends(tmp_path: Path, name: str) -> None:
    FORMATS[name](tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for length in (1, 4, 9, 60, len(data) // 2, len(data) - 40, len(data) - 1):
        (tmp_path / name).write_bytes(data[:length])
        assert read_refusal(tmp_path / name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_told_or_read_never_a_crash(tmp_path: Path, name: str) -> None:
    FORMATS[name](tmp_path / name)
    data = (tmp_path / name).read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 3):
            damaged[place] = random.integers(256)
        (tmp_path / name).write_bytes(damaged)
        state: dict[str, Tensor] = {}
        with contextlib.suppress(WeightsError):
            state = read_state(tmp_path / name)
        for value in state.values():
            value.sum()  # what it says it has, it has


# ---- hostile files


class Trap:
    """Its pickle makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("form", ["torch", "old torch", *(f"pickle {protocol}" for protocol in range(2, 6))])
def test_a_pickle_that_asks_for_code_is_refused_with_its_name(tmp_path: Path, form: str) -> None:
    state = {"color": COLOR, "trap": Trap(tmp_path / "trap")}
    file = tmp_path / "net.pth"
    if form.startswith("pickle"):
        file.write_bytes(pickle.dumps({"trap": state["trap"]}, protocol=int(form[-1])))
    else:
        torch.save(state, file, _use_new_zipfile_serialization=form == "torch")
    message = read_refusal(file)
    assert f"asks for {os.mkdir.__module__}.mkdir, which is code and not weights; refused" in message
    assert not (tmp_path / "trap").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Linear(1, 1)), tmp_path / "net.pth")
    message = read_refusal(tmp_path / "net.pth")
    assert "asks for torch.nn.modules.container.Sequential, which is code" in message
    assert "Save the network's state_dict() instead" in message


HARMLESS: dict[str, Callable[[], Any]] = {
    "NumPy's numbers": lambda: [np.float64(0.5), np.float32(1), np.int64(3), np.bool_(True), np.str_("a")],
    "NumPy's arrays": lambda: {"losses": np.zeros(10), "empty": np.zeros((0, 2)), "fortran": np.eye(3, order="F")},
    "NumPy's types": lambda: [np.dtype("f4"), np.dtype([("a", "i4")]), np.float32, np.longdouble, np.intc],
    "arrays of objects": lambda: np.array([None, "a", {"b": 1}, np.zeros(2)], dtype=object),
    "NumPy's random states": lambda: [np.random.get_state(), np.random.default_rng(0), np.random.RandomState(0)],
    "arguments": lambda: argparse.Namespace(lr=1e-4, folder=Path("/x"), inner=types.SimpleNamespace(a=1)),
    "paths": lambda: [Path("/x/y"), PurePosixPath("a"), PureWindowsPath("C:/a")],
    "times": lambda: [
        datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone.utc),
        datetime.date(2024, 1, 2),
        datetime.timedelta(1),
        time.gmtime(0),
    ],
    "collections": lambda: [
        collections.defaultdict(list, {"a": [1.0]}),
        collections.OrderedDict(a=1),
        collections.Counter("ab"),
        collections.deque([1]),
        {1, 2},
        frozenset([3]),
        range(3),
        slice(1),
        1j,
        b"abc",
        bytearray(b"abc"),
    ],
    "PyTorch's": lambda: [torch.Size([1, 2]), torch.float16, torch.device("cpu"), torch.strided],
    "partial": lambda: functools.partial(torch.nn.InstanceNorm2d, affine=False),
    "classes": lambda: [torch.nn.BatchNorm2d, torch.optim.Adam, int, dict],
    "keys": lambda: {Path("/x"): 1, np.dtype("f4"): 2, datetime.date(2024, 1, 2): 3},
    "numbers": lambda: [decimal.Decimal("0.1"), fractions.Fraction(1, 3), uuid.UUID(int=5)],
}


@pytest.mark.parametrize("zipped_form", [True, False])
@pytest.mark.parametrize("kind", HARMLESS)
def test_harmless_objects_beside_the_weights_are_read_over(tmp_path: Path, kind: str, zipped_form: bool) -> None:
    if kind in ("partial", "classes") and not zipped_form:
        pytest.skip("PyTorch's old format writes the source of a network's class beside its name")
    tree = {"before": HARMLESS[kind](), "net": {"color": COLOR}, "after": HARMLESS[kind]()}
    torch.save(tree, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped_form)
    state = read_state(tmp_path / "net.pth")
    assert list(state) == ["net.color"]
    assert torch.equal(state["net.color"], COLOR)


def test_a_networks_class_in_the_old_format_is_refused(tmp_path: Path) -> None:
    tree = {"color": COLOR, "norm": torch.nn.BatchNorm2d}
    torch.save(tree, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    assert read_refusal(tmp_path / "net.pth").startswith("asks for a network's class, which is code and not weights")


def test_weights_in_a_defaultdict_are_weights(tmp_path: Path) -> None:
    torch.save(collections.defaultdict(dict, {"net": {"color": COLOR}}), tmp_path / "net.pth")
    assert torch.equal(read_state(tmp_path / "net.pth")["net.color"], COLOR)


class Asking:
    """Its pickle calls what it is given with what it is given, by name, whatever this process can import."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.answer = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.answer


def hostile(folder: Path) -> dict[str, Any]:
    """Objects that make a folder when a trusting reader reads them."""
    make = f"__import__('os').mkdir({str(folder)!r})"
    trap = Trap(folder)
    return {
        "os.system": Asking(os.system, f"mkdir {folder}"),
        "builtins.eval": Asking(eval, make),
        "builtins.exec": Asking(exec, make),
        "builtins.getattr": Asking(getattr, Asking(__import__, "os"), "mkdir"),
        "an object in an array": np.array([trap], dtype=object),
        "an object in a Namespace": argparse.Namespace(trap=trap),
        "an object in a partial": functools.partial(os.mkdir, str(folder)),
        "a factory": collections.defaultdict(functools.partial(eval, make)),
        "an argument of a Path": Asking(Path, Asking(os.mkdir, str(folder))),
        "a state of a Path": Asking(Path, "x", state={"trap": trap}),
        "a subclass of Path": Walled("x"),
        "NumPy's own runner": Asking(numpy.testing._private.utils.runstring, make, {}),
    }


class Walled(type(Path())):  # type: ignore[misc]  # the class of this system
    """A path of another project."""


@pytest.mark.parametrize("zipped_form", [True, False])
@pytest.mark.parametrize("name", [*hostile(Path("x"))])
def test_hostile_objects_beside_the_weights_run_nothing(tmp_path: Path, name: str, zipped_form: bool) -> None:
    tree = {"net": {"color": COLOR}, "more": hostile(tmp_path / "made")[name]}
    torch.save(tree, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped_form)
    assert "which is code and not weights; refused. Save the network's state_dict()" in read_refusal(
        tmp_path / "net.pth"
    )
    assert not (tmp_path / "made").exists()


def test_harmless_names_take_no_memory_and_are_no_longer_allowed_afterwards(tmp_path: Path) -> None:
    torch.save({"color": COLOR, "more": Asking(range, 10**15)}, tmp_path / "net.pth")
    before = torch.serialization.get_safe_globals()
    assert list(read_state(tmp_path / "net.pth")) == ["color"]
    assert torch.serialization.get_safe_globals() == before


def test_pickled_objects_in_an_npz_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", trap=np.array([Trap(tmp_path / "trap")], dtype=object))
    assert "trap asks for pickled objects, which may be code; refused" in read_refusal(tmp_path / "net.npz")
    np.savez(tmp_path / "net.npz", words=np.array(["hello"]))
    assert "words is an array of <U5, not of numbers" in read_refusal(tmp_path / "net.npz")
    assert not (tmp_path / "trap").exists()


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fails a test that takes more than 50 MB of Python's memory."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
def test_a_pickle_of_very_many_harmless_names_is_refused(tmp_path: Path) -> None:
    names = b"".join(b"ctorch.nn\nName%d\n" % number for number in range(20_000))
    (tmp_path / "net.pth").write_bytes(b"\x80\x02(" + names + b"t.")
    assert read_refusal(tmp_path / "net.pth").startswith("asks for torch.nn.Name200, which is code")


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("shape", ["(1000000000000,)", "(4294967296, 4294967296, 16)", "(-1,)", "(-3, -100)"])
def test_an_array_that_declares_more_than_it_holds_is_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    with zipfile.ZipFile(tmp_path / "net.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", array)
    assert "is damaged (a declares more than it holds)" in read_refusal(tmp_path / "net.npz")


@pytest.mark.usefixtures("little_memory")
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", **{f"a{index}": np.zeros(500_000) for index in range(5)})
    monkeypatch.setattr(checkpoints, "_MAX_BYTES", 10**7)
    assert (tmp_path / "bomb.npz").stat().st_size < 10**5
    assert "declares more than 10000000 bytes" in read_refusal(tmp_path / "bomb.npz")


def rewrite(file: Path, compression: int = zipfile.ZIP_STORED, **changes: Callable[[bytes], bytes]) -> None:
    """Write an archive of PyTorch again, members changed by their last name."""
    with zipfile.ZipFile(file) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            change = changes.get(name.rpartition("/")[2].replace(".", "_"), lambda unchanged: unchanged)
            archive.writestr(name, change(data))


class AttributeDict(dict[str, Any]):
    """As Lightning keeps hyperparameters."""


# The module's name in NumPy 2 and in NumPy 1; this process's first.
NUMPY = [b"numpy._core.multiarray", b"numpy.core.multiarray"][:: 1 if np.__version__ >= "2" else -1]


@pytest.mark.parametrize(
    ("written", "name", "other"),
    [
        (np.zeros(3), *NUMPY),
        (np.float64(1), *NUMPY),
        (PurePosixPath("a"), b"pathlib\nPurePosixPath", b"pathlib._local\nPosixPath"),  # Python 3.13
        (PurePosixPath("a"), b"pathlib\nPurePosixPath", b"pathlib\nWindowsPath"),
        (AttributeDict(lr=1.0), f"{__name__}\n".encode(), b"lightning.fabric.utilities.data\n"),
        (AttributeDict(lr=1.0), f"{__name__}\n".encode(), b"pytorch_lightning.utilities.parsing\n"),
        (argparse.Namespace(lr=1.0), b"argparse\nNamespace", b"omegaconf.dictconfig\nDictConfig"),
    ],
)
def test_harmless_names_of_other_versions_and_systems(tmp_path: Path, written: Any, name: bytes, other: bytes) -> None:
    torch.save({"more": written, "color": COLOR}, tmp_path / "net.pth")

    def renamed(data: bytes) -> bytes:
        assert name in data
        return data.replace(name, other)

    rewrite(tmp_path / "net.pth", data_pkl=renamed)
    assert torch.equal(read_state(tmp_path / "net.pth")["color"], COLOR)


def test_a_compressed_archive_of_pytorch_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "net.pth")
    rewrite(tmp_path / "net.pth", zipfile.ZIP_DEFLATED)
    assert "is compressed, which PyTorch's files are not" in read_refusal(tmp_path / "net.pth")


def test_a_tensor_that_declares_more_than_is_stored_is_refused(tmp_path: Path) -> None:
    """Its number of values is raised from 64 to 2**31 - 1, both of the storage and of the tensor."""
    torch.save({"a": torch.arange(64.0)}, tmp_path / "net.pth")
    more = b"J" + (2**31 - 1).to_bytes(4, "little")
    rewrite(tmp_path / "net.pth", data_pkl=lambda data: data.replace(b"K\x40", more))
    assert "is damaged, or not a weights file" in read_refusal(tmp_path / "net.pth")


def test_a_small_storage_repeated_without_end_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(2**20, 2**20)}, tmp_path / "net.pth")
    assert (tmp_path / "net.pth").stat().st_size < 10**5
    assert "its weights take more than" in read_refusal(tmp_path / "net.pth")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "net.pth").open("wb") as file:
        file.truncate(4 * 2**30 + 1)  # sparse: it takes no room on the disk
    assert "larger than 4294967296 bytes" in read_refusal(tmp_path / "net.pth")


# ---- the folder


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, paint: Callable[..., None]) -> None:
    paint()
    torch.save({"color": COLOR}, tmp_path / "net.pth")
    folder = tmp_path / "model"
    folder.mkdir()
    convert(tmp_path / "net.pth", folder)
    torch.save({"color": -COLOR}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="is not empty; give another folder, or --overwrite"):
        convert(tmp_path / "net.pth", folder)
    assert torch.equal(load_file(folder / "model.safetensors")["tint"], COLOR)
    convert(tmp_path / "net.pth", folder, overwrite=True)
    assert torch.equal(load_file(folder / "model.safetensors")["tint"], -COLOR)


@pytest.mark.parametrize("place", ["file", "file/model"])
def test_a_folder_that_cannot_be_is_told(tmp_path: Path, paint: Callable[..., None], place: str) -> None:
    paint()
    (tmp_path / "file").write_text("")
    torch.save({"color": COLOR}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"is a file; give a folder for the model|cannot be written here"):
        convert(tmp_path / "net.pth", tmp_path / place)


# ---- the command


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["net.pth"], ["net.pth", "--to", "model"]])
def test_a_wrong_call_ends_with_status_2_and_no_traceback(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "net.pth").write_bytes(pickle.dumps(Trap(tmp_path / "trap")))
    command = [sys.executable, "-m", "artgan", "convert", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert "--to" in done.stderr or "asks for" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.slow
def test_help_waits_for_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['artgan', 'convert', '--help']\n"
        "from artgan.cli import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--key" in done.stdout
