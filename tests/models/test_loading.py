"""From a name to a model: what loads, what is refused, and that the message says why."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor

import artgan
from artgan.errors import ArtganError, ConfigError, ModelNotFoundError, PluginError, RegistryError, WeightsError
from artgan.models import registry
from artgan.models.loading import Model, load, split_seed
from artgan.models.locating import locate, plugin_of
from artgan.models.registry import read_registry
from artgan.testing import check_output

Install = Callable[..., Any]

NETWORKS = """
from dataclasses import dataclass

import torch
from torch import nn

from artgan.config import option
from artgan.interfaces import Generator, Networks


@dataclass(frozen=True)
class Config:
    size: int = option(3, "of the kernel", least=1, most=7)


class Tiny(Generator):
    def __init__(self, config):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, config.size, padding="same")
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)

    def forward(self, x):
        return (self.conv(x) * self.scale).tanh()


def networks(config):
    return Networks({"painting": Tiny(config), "photo": Tiny(config)})


def no_generator(config):
    return nn.Conv2d(3, 3, 1)
"""


@dataclass
class Zoo:
    """A fake plugin "tiny", installed, and a fake registry with its model tiny.one, alias one."""

    package: Path
    module: str
    registry: Path
    state: dict[str, Tensor]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> Path:
        return self.package / "weights" / "one.safetensors"

    def put(self, data: bytes | None = None, **more: Any) -> None:
        """Put the weights' file in place and register it; ``more`` replaces values of the entry's weights."""
        if data is not None:
            self.weights.parent.mkdir(exist_ok=True)
            self.weights.write_bytes(data)
        data = self.weights.read_bytes() if data is None else data
        weights = {
            "bundled": f"{self.module}/weights/one.safetensors",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            **more,
        }
        self.register(weights={key: value for key, value in weights.items() if value is not None})

    def register(self, **more: Any) -> None:
        """Write the registry; ``more`` replaces values of the entry, those of earlier calls kept."""
        defaults = {"plugin": "tiny", "distribution": "artgan-tiny", "alias": "one", "license": {"weights": "CC0-1.0"}}
        self.more |= more
        entry = {**defaults, **self.more}
        self.registry.write_text(yaml.safe_dump({"schema": 1, "models": {f"{entry['plugin']}.one": entry}}))
        read_registry.cache_clear()


def manifest(module: str, **parts: str) -> str:
    """Source of a manifest "tiny" whose parts are attributes of ``module``.networks."""
    named = "".join(f", {key}='{module}.networks:{name}'" for key, name in parts.items())
    return (
        "from artgan.plugin import Plugin\n"
        f"plugin = Plugin('tiny', 'A test.', config='{module}.networks:Config'{named})\n"
    )


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_plugin: Install) -> Zoo:
    module = f"artgan_test_tiny_{abs(hash(tmp_path))}"
    source = manifest(module, generator="Tiny", networks="networks")
    package = install_plugin("tiny", source, package=module)
    (package / "networks.py").write_text(NETWORKS)
    path = tmp_path / "registry.yaml"
    monkeypatch.setattr(registry, "_own_file", lambda: path)
    shapes = {"conv.weight": (3, 3, 3, 3), "conv.bias": (3,)}
    generator = torch.Generator().manual_seed(1)
    zoo = Zoo(
        package,
        module,
        path,
        {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()},
    )
    zoo.put(save_tensors(zoo.state))
    return zoo


def expected(state: Mapping[str, Tensor], pictures: Tensor) -> Tensor:
    """What the tiny network makes of pictures, written down a second time."""
    out = torch.nn.functional.conv2d(pictures, state["conv.weight"], state["conv.bias"], padding="same")
    return (out * 0.5).tanh()


def equal(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def same(model: Model, state: Mapping[str, Tensor]) -> bool:
    return equal(model.generator.state_dict(), state)


def refusal(name: str, **options: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        load(name, **options)
    return str(caught.value)


# What loads


@pytest.mark.parametrize("name", ["one", "tiny.one"])
def test_a_model_loads_ready_for_use(zoo: Zoo, name: str) -> None:
    model = artgan.load(name)
    assert isinstance(model, artgan.Model)
    assert model.name == "tiny.one"
    assert same(model, zoo.state)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}


def test_a_buffer_that_no_file_holds_is_there(zoo: Zoo) -> None:
    model = load("one")
    pictures = torch.rand(2, 3, 5, 6) * 2 - 1
    torch.testing.assert_close(model(pictures), expected(zoo.state, pictures))


def test_the_card_is_the_registry_entry(zoo: Zoo) -> None:
    zoo.register(summary="Tiny", training={"steps": 3}, metrics=[{"name": "fd", "value": 2.0}])
    card = load("one").card
    assert card == read_registry().entry("one").to_dict()
    assert (card["summary"], card["license"], card["training"]) == ("Tiny", {"weights": "CC0-1.0"}, {"steps": 3})
    assert card["metrics"] == [{"name": "fd", "value": 2.0}]
    assert card["weights"]["sha256"] == hashlib.sha256(zoo.weights.read_bytes()).hexdigest()
    json.dumps(card)


def test_the_config_of_the_registry_builds_the_network(zoo: Zoo) -> None:
    state = {**zoo.state, "conv.weight": torch.randn(3, 3, 5, 5)}
    zoo.put(save_tensors(state))
    zoo.register(config={"size": 5})
    assert same(load("one"), state)
    zoo.register(config={"size": 9})
    with pytest.raises(ConfigError, match=r"tiny\.one: config: size: must be at most 7"):
        load("one")


def test_a_half_precision_file_loads_as_float32(zoo: Zoo) -> None:
    half = {key: value.half() for key, value in zoo.state.items()}
    zoo.put(save_tensors(half))
    assert same(load("one"), {key: value.float() for key, value in half.items()})


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_dtype_can_be_chosen_by_name_or_object(zoo: Zoo, dtype: str) -> None:
    wanted = getattr(torch, dtype)
    for choice in (dtype, wanted):
        assert same(load("one", dtype=choice), {key: value.to(wanted) for key, value in zoo.state.items()})


@pytest.mark.parametrize("dtype", ["float64", torch.int8, "half", "", 16])
def test_a_dtype_that_there_is_not_is_refused(zoo: Zoo, dtype: Any) -> None:
    with pytest.raises(ArtganError, match=r"dtype .* available: float32, float16, bfloat16"):
        load("one", dtype=dtype)


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_the_device_can_be_chosen_by_name_or_object(zoo: Zoo, device: Any) -> None:
    assert {tensor.device.type for tensor in load("one", device=device).state_dict().values()} == {"cpu"}


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "cpu:x", 3.5])
def test_a_device_that_there_is_not_is_refused(zoo: Zoo, device: Any) -> None:
    with pytest.raises(ArtganError) as caught:
        load("one", device=device)
    assert str(caught.value).startswith(f"device {device!r} cannot be used here")
    assert "\n" not in str(caught.value)


def test_without_a_generator_the_first_of_the_networks_is_loaded(zoo: Zoo) -> None:
    (zoo.package / "__init__.py").write_text(manifest(zoo.module, networks="networks"))
    assert same(load("one"), zoo.state)


def test_what_is_no_generator_is_refused(zoo: Zoo) -> None:
    (zoo.package / "__init__.py").write_text(manifest(zoo.module, generator="no_generator"))
    with pytest.raises(PluginError, match="plugin tiny: built a Conv2d, which is not a Generator"):
        load("one")


# Which is refused: damaged files


def test_a_changed_file_is_refused_with_both_hashes(zoo: Zoo) -> None:
    data = bytearray(zoo.weights.read_bytes())
    promised = hashlib.sha256(data).hexdigest()
    data[-1] ^= 1
    zoo.weights.write_bytes(data)
    told = refusal("one")
    found = hashlib.sha256(data).hexdigest()
    for part in ("tiny.one", str(zoo.weights), promised, found, 'pip install "artgan[tiny]"'):
        assert part in told


@pytest.mark.parametrize("by", [-1, 1, 100])
def test_a_file_of_another_size_is_refused_with_both_sizes(zoo: Zoo, by: int) -> None:
    data = zoo.weights.read_bytes()
    zoo.weights.write_bytes(data[:by] if by < 0 else data + bytes(by))
    told = refusal("one")
    assert f"has {len(data) + by} bytes, expected {len(data)}" in told
    assert str(zoo.weights) in told


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, -1])
def test_a_truncated_file_is_refused_even_if_the_registry_promises_it(zoo: Zoo, length: int) -> None:
    data = zoo.weights.read_bytes()[:length]
    if data:
        zoo.put(data)
        assert "not a safetensors file, or damaged" in refusal("one")
    else:
        zoo.weights.write_bytes(data)
        assert "has 0 bytes" in refusal("one")


@pytest.mark.parametrize("payload", ["pickle", "torch", "zeros", "length"])
def test_what_is_no_safetensors_file_is_refused(zoo: Zoo, tmp_path: Path, payload: str) -> None:
    """Nothing in the file is run: the pickle would make a folder."""
    trap = tmp_path / "trap"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(trap),)

    torch.save(zoo.state, tmp_path / "state.pt")
    payloads = {
        "pickle": pickle.dumps(Trap()),
        "torch": (tmp_path / "state.pt").read_bytes(),
        "zeros": bytes(64),
        "length": b"\xff" * 8 + b"{}",
    }
    zoo.put(payloads[payload])
    told = refusal("one")
    assert "not a safetensors file, or damaged" in told
    assert str(zoo.weights) in told
    assert not trap.exists()


def test_weights_of_another_network_are_refused_with_their_keys(zoo: Zoo) -> None:
    layers = {f"layer.{index}": torch.zeros(1) for index in range(5)}
    zoo.put(save_tensors({"conv.weight": torch.zeros(3, 3, 5, 5), **layers}))
    told = refusal("one")
    assert "another network's weights" in told
    assert "lacks conv.bias" in told
    assert "has the unknown layer.0, layer.1, layer.2 ..." in told
    assert "has another shape of conv.weight" in told


def test_weights_that_are_integers_are_refused(zoo: Zoo) -> None:
    zoo.put(save_tensors({key: value.to(torch.int32) for key, value in zoo.state.items()}))
    assert "conv." in refusal("one")


# Which is refused: paths and plugins


def test_a_missing_file_says_to_install_again(zoo: Zoo) -> None:
    zoo.weights.unlink()
    told = refusal("one")
    assert f"{zoo.weights} is missing; install artgan-tiny again" in told


def test_a_path_out_of_the_package_is_refused_by_the_registry(zoo: Zoo) -> None:
    outside = zoo.package.parent / "outside.safetensors"
    outside.write_bytes(zoo.weights.read_bytes())
    zoo.put(bundled=f"{zoo.module}/../outside.safetensors")
    with pytest.raises(RegistryError, match=r"tiny\.one: weights: bundled"):
        load("one")


def test_a_link_out_of_the_package_is_refused(zoo: Zoo) -> None:
    outside = zoo.package.parent / "outside.safetensors"
    zoo.weights.rename(outside)
    zoo.weights.symlink_to(outside)
    assert f"tiny.one: {zoo.module}/weights/one.safetensors leads out of the package" in refusal("one")
    zoo.weights.unlink()
    zoo.weights.parent.rmdir()
    elsewhere = zoo.package.parent / "elsewhere"
    elsewhere.mkdir()
    outside.rename(elsewhere / "one.safetensors")
    zoo.weights.parent.symlink_to(elsewhere)
    assert "leads out of the package" in refusal("one")


@pytest.mark.parametrize(
    ("distribution", "command"), [("artgan-oil", 'pip install "artgan[oil]"'), ("oil-paints", "pip install oil-paints")]
)
def test_a_missing_plugin_says_what_to_install(zoo: Zoo, distribution: str, command: str) -> None:
    zoo.register(plugin="oil", distribution=distribution)
    with pytest.raises(PluginError) as caught:
        load("one")
    told = str(caught.value)
    assert told.startswith("oil.one needs the plugin 'oil', which is not installed")
    assert told.endswith(command)


def test_a_package_of_weights_that_is_not_there_says_what_to_install(zoo: Zoo) -> None:
    zoo.put(bundled="artgan_test_not_there/one.safetensors")
    told = refusal("one")
    assert "the package artgan_test_not_there" in told
    assert told.endswith('pip install "artgan[tiny]"')


def test_a_disabled_or_broken_plugin_is_told(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTGAN_DISABLE_PLUGINS", "tiny")
    with pytest.raises(PluginError, match="disabled by ARTGAN_DISABLE_PLUGINS"):
        load("one")
    monkeypatch.delenv("ARTGAN_DISABLE_PLUGINS")
    (zoo.package / "__init__.py").write_text("raise RuntimeError('no tea')")
    with pytest.raises(PluginError, match="RuntimeError: no tea"):
        load("one")


def test_an_unknown_name_is_told(zoo: Zoo) -> None:
    with pytest.raises(ModelNotFoundError, match=r"did you mean one\?"):
        load("tiny.on")
    with pytest.raises(ModelNotFoundError, match="local-dir:/models/x"):
        load("/models/x")


# Folders, and the Hub as far as it needs no network: the rest is in test_hub.py


@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
def test_a_saved_model_comes_back_bit_by_bit(zoo: Zoo, tmp_path: Path, dtype: str | None) -> None:
    model = load("one", dtype=dtype)
    folder = tmp_path / "new" / "folder"
    model.save_pretrained(folder)
    pictures = {"example-input.png", "example-output.png"}
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "README.md", *pictures}
    saved = load_file(folder / "model.safetensors")
    assert equal(saved, model.generator.state_dict())
    again = load(f"local-dir:{folder}", dtype=dtype)
    assert same(again, model.generator.state_dict())
    assert again.name == f"local-dir:{folder}"
    assert not again.training
    pictures = torch.rand(1, 3, 4, 4).to(model.generator.state_dict()["conv.bias"].dtype)
    assert torch.equal(again(pictures), model(pictures))


def test_a_saved_model_keeps_its_card_and_can_be_saved_again(zoo: Zoo, tmp_path: Path) -> None:
    zoo.register(config={"size": 3})
    load("one").save_pretrained(tmp_path / "a")
    model = load(f"local-dir:{tmp_path / 'a'}")
    assert model.card == {
        "name": "tiny.one",
        "plugin": "tiny",
        "config": {"size": 3},
        "artgan_version": artgan.__version__,
        "license": {"weights": "CC0-1.0"},
    }
    model.save_pretrained(str(tmp_path / "b"))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.fixture
def folder(zoo: Zoo, tmp_path: Path) -> Path:
    load("one").save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "must name the plugin"),
        (b"null", "must name the plugin"),
        (b"{}", "must name the plugin"),
        (b'{"plugin": "tiny"}', "must name the plugin"),
        (b'{"plugin": 3, "config": {}}', "must name the plugin"),
        (b'{"plugin": "tiny", "config": []}', "must name the plugin"),
        (b" " * (2**20 + 1), "larger than"),
    ],
)
def test_a_bad_config_file_is_refused_with_its_path(folder: Path, content: bytes, told: str) -> None:
    (folder / "config.json").write_bytes(content)
    message = refusal(f"local-dir:{folder}")
    assert str(folder / "config.json") in message
    assert told in message


@pytest.mark.parametrize("config", ['{"sise": 3}', '{"size": "3"}', '{"size": 0}', '{"size": NaN}', '{"size": 1e999}'])
def test_bad_values_in_a_config_file_are_refused_with_path_and_option(folder: Path, config: str) -> None:
    (folder / "config.json").write_text(f'{{"plugin": "tiny", "config": {config}}}')
    with pytest.raises(ConfigError) as caught:
        load(f"local-dir:{folder}")
    assert str(caught.value).startswith(f"{folder / 'config.json'}: config: ")
    assert config[2:6] in str(caught.value)


def test_a_config_file_of_an_unknown_plugin_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"plugin": "tinny", "config": {}}')
    with pytest.raises(PluginError, match="no plugin named 'tinny'; did you mean 'tiny'"):
        load(f"local-dir:{folder}")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_incomplete_folder_is_refused(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    assert f"{folder}: holds no {missing}" in refusal(f"local-dir:{folder}")


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    assert "no such folder" in refusal(f"local-dir:{folder / 'absent'}")
    assert "no such folder" in refusal(f"local-dir:{folder / 'config.json'}")


def test_a_home_that_there_is_not_is_refused(zoo: Zoo) -> None:
    assert "no-such-user" in refusal("local-dir:~no-such-user/model")


def test_a_damaged_file_in_a_folder_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    assert f"{path}: not a safetensors file, or damaged" in refusal(f"local-dir:{folder}")


@pytest.mark.parametrize("revision", [None, "v1"])
def test_what_is_of_the_hub_and_not_in_the_cache_is_refused(zoo: Zoo, tmp_path: Path, revision: str | None) -> None:
    offline: dict[str, Any] = {"cache_dir": tmp_path / "cache", "local_files_only": True, "revision": revision}
    assert "not in the cache, and local_files_only is set" in refusal("hf-hub:some-org/tiny", **offline)
    hub = {"repo_id": "some-org/tiny", "revision": "0" * 40, "file": "one.safetensors"}
    zoo.put(bundled=None, hub=hub)
    assert "not in the cache, and local_files_only is set" in refusal("one", **offline)


def test_what_is_bundled_alone_has_no_revisions(zoo: Zoo) -> None:
    assert refusal("one", revision="v1").startswith("tiny.one: its weights are not on the Hub")


# Saving where one cannot


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("place", ["taken", "taken/deep/er"])
def test_saving_where_a_file_is_leaves_nothing_behind(zoo: Zoo, tmp_path: Path, place: str) -> None:
    model = load("one")
    (tmp_path / "taken").write_bytes(b"mine")
    before = everything(tmp_path)
    with pytest.raises(WeightsError, match="cannot be written here"):
        model.save_pretrained(tmp_path / place)
    assert everything(tmp_path) == before
    assert (tmp_path / "taken").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_no_partial_file_is_left_where_one_cannot_be_put_in_place(zoo: Zoo, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "saved"
    (folder / name / "inside").mkdir(parents=True)
    with pytest.raises(WeightsError, match="cannot be written here"):
        load("one").save_pretrained(folder)
    left = everything(folder)
    assert not any(path.endswith(".part") for path in left)
    assert name in left


def test_a_failing_save_keeps_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = load("one", dtype="float16")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WeightsError, match="No space left on device"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# The model that comes with artgan


def test_the_registrys_model_paints_what_its_card_promises() -> None:
    model = artgan.load("monet")
    check = model.card["check"]
    difference = torch.tensor(check_output(model, check["seed"])) - torch.tensor(check["output"])
    assert difference.abs().max() <= check["tolerance"]
    assert torch.tensor(check_output(model, check["seed"] + 1)).sub(torch.tensor(check["output"])).abs().max() > 20


# ---- a file of weights in the place of a model


@pytest.mark.parametrize("prefix", ["", "./", "local-dir:", "local-dir:./"])
@pytest.mark.parametrize("name", ["latest_net_G_A.pth", "epoch 3.ckpt", "net.pt", "net.safetensors", "w.npz"])
def test_a_file_of_weights_is_to_be_converted_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, prefix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(1)}, name)
    shown = str(Path(name))
    quoted = f"'{shown}'" if " " in shown else shown
    wanted = f"{prefix}{name}: is a weights file, not a model; convert it first: artgan convert {quoted} --to FOLDER, "
    for find in (locate, plugin_of):
        with pytest.raises(WeightsError) as caught:
            find(f"{prefix}{name}")
        assert str(caught.value) == f"{wanted}then --model local-dir:FOLDER"
    Path(name).unlink()
    with pytest.raises(WeightsError, match="no such file; name a model by"):
        locate(f"{prefix}{name}")


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("net.t7", b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1", "is a file of Lua Torch"),
        ("net.onnx", b"\x08\x08\x12\x07pytorch", "is ONNX"),
        ("net.h5", b"\x89HDF\r\n\x1a\n", "is HDF5, as Keras writes it"),
    ],
)
def test_a_file_that_cannot_be_converted_says_so_at_once(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match=told):
        locate(f"local-dir:{tmp_path / name}")


def test_one_file_of_a_model_leads_to_its_folder(tmp_path: Path) -> None:
    artgan.load("monet").save_pretrained(tmp_path / "model")
    with pytest.raises(WeightsError, match=re.escape(f"name its folder: local-dir:{tmp_path / 'model'}")):
        locate(str(tmp_path / "model" / "model.safetensors"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("dcgan.monet", ("dcgan.monet", None)),
        ("dcgan.monet#7", ("dcgan.monet", 7)),
        ("hf-hub:org/name@main#0", ("hf-hub:org/name@main", 0)),
        (f"dcgan.monet#{2**62}", ("dcgan.monet", 2**62)),
        ("local-dir:a#b/run#7", ("local-dir:a#b/run", 7)),
        ("local-dir:a#b", ("local-dir:a#b", None)),
    ],
)
def test_a_name_may_end_in_a_seed(name: str, parts: tuple[str, int | None]) -> None:
    assert split_seed(name) == parts


def test_a_folder_may_be_named_as_if_it_had_a_seed(tmp_path: Path) -> None:
    (tmp_path / "run#7").mkdir()
    name = f"local-dir:{tmp_path / 'run#7'}"
    assert split_seed(name) == (name, None)
    assert split_seed(f"{name}#3") == (name, 3)


@pytest.mark.parametrize("name", ["x#", "x#-1", "x#1.5", f"x#{2**62 + 1}", "x#७", "x#" + "9" * 5000, "x #1 "])
def test_what_is_no_seed_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=r"write MODEL#SEED, with a whole number of 0 to 2\^62"):
        split_seed(name)


def test_a_painter_has_no_seed() -> None:
    with pytest.raises(ConfigError, match=r"monet#7: a seed names a picture from noise; .* paints photos, omit #7"):
        artgan.load("monet#7")
