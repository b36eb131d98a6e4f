"""Models whose folder holds only what differs from a model of the registry: built, saved again, refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import artgan
from artgan.errors import ArtganError, ExportError, WeightsError
from artgan.models.exporting import export_model
from artgan.models.folder import save_model
from artgan.models.loading import load_torch_model
from artgan.models.locating import ModelFile
from artgan.models.registry import read_registry
from artgan.models.torch_model import TorchModel

Install = Callable[..., Path]

NETWORKS = """
from dataclasses import dataclass

import torch
from torch import nn

from artgan.plugin import option
from artgan.toolkit import Generator


@dataclass(frozen=True)
class Config:
    size: int = option(1, "of the kernel", least=1, most=7)


class Tint(Generator):
    def __init__(self, config):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, config.size, padding="same")
        self.register_buffer("tint", torch.zeros(3))

    def forward(self, x):
        return (self.conv(x) + self.tint[:, None, None]).tanh()
"""

MANIFEST = """
from artgan.plugin import Plugin

plugin = Plugin("tint", "A test.", config="tint_plugin.networks:Config", generator="tint_plugin.networks:Tint")
"""


@dataclass
class Zoo:
    """A registry with the model tint.base, and a folder of a model that is based on it and has another tint."""

    registry: Path
    entry: dict[str, Any]
    folder: Path
    state: dict[str, Tensor]

    def register(self, **others: dict[str, Any]) -> None:
        """Write the registry's file: the model tint.base, and others of the plugin by their tags."""
        models = {"tint.base": self.entry, **{f"tint.{tag}": {**self.entry, **other} for tag, other in others.items()}}
        self.registry.write_text(json.dumps({"schema": 1, "models": models}))
        read_registry.cache_clear()

    def card(self, **changes: Any) -> None:
        """Change values in the folder's config.json."""
        path = self.folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    @property
    def base(self) -> dict[str, str]:
        return {"model": "tint.base", "sha256": self.entry["weights"]["sha256"]}

    def refusal(self) -> str:
        """What is wrong with the folder, before anything of it is read as weights."""
        with pytest.raises(WeightsError) as refused:
            artgan.load(f"local-dir:{self.folder}")
        assert "\n" not in str(refused.value)
        return str(refused.value)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_plugin: Install) -> Zoo:
    package = install_plugin("tint", MANIFEST)
    (package / "networks.py").write_text(NETWORKS)
    from tint_plugin.networks import Config, Tint  # type: ignore[import-not-found]  # installed above

    torch.manual_seed(0)
    generator = Tint(Config())
    save_model(package, generator, plugin="tint", config={}, dtype=torch.float16)
    data = (package / "model.safetensors").read_bytes()
    entry = {
        "plugin": "tint",
        "distribution": "artgan-tint",
        "license": {"weights": "cc0-1.0"},
        "weights": {
            "bundled": "tint_plugin/model.safetensors",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
        },
    }
    monkeypatch.setenv("ARTGAN_REGISTRY", str(tmp_path / "registry.yaml"))
    state = {key: value.float() for key, value in load_file(package / "model.safetensors").items()}
    state["tint"] = torch.tensor([0.5, -0.25, 0.125])
    zoo = Zoo(tmp_path / "registry.yaml", entry, tmp_path / "tinted", state)
    zoo.register()
    zoo.folder.mkdir()
    save_file({"tint": state["tint"]}, zoo.folder / "model.safetensors")
    (zoo.folder / "config.json").write_text(json.dumps({"plugin": "tint", "config": {}, "base": zoo.base}))
    return zoo


def picture() -> Tensor:
    return torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


def expected(state: dict[str, Tensor]) -> Tensor:
    """What the network makes of the picture with both parts of the weights, written down a second time."""
    mixed = nn.functional.conv2d(picture(), state["conv.weight"], state["conv.bias"])
    return (mixed + state["tint"].view(1, 3, 1, 1)).tanh()


def test_both_parts_make_the_model(zoo: Zoo) -> None:
    model = load_torch_model(f"local-dir:{zoo.folder}")
    assert torch.equal(model(picture()), expected(zoo.state))
    assert not torch.equal(model(picture()), load_torch_model("tint.base")(picture()))


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_saved_again_it_holds_what_differs(zoo: Zoo, tmp_path: Path, dtype: str | None) -> None:
    model = load_torch_model(f"local-dir:{zoo.folder}", dtype=dtype)
    model.save_pretrained(tmp_path / "again", examples=False)
    assert [*load_file(tmp_path / "again" / "model.safetensors")] == ["tint"]
    again = load_torch_model(f"local-dir:{tmp_path / 'again'}")
    assert again.card["base"] == zoo.base
    assert torch.equal(again(picture()), expected(zoo.state))
    with torch.no_grad():
        model.generator.conv.bias.add_(1)
    model.save_pretrained(tmp_path / "changed", examples=False)
    assert sorted(load_file(tmp_path / "changed" / "model.safetensors")) == ["conv.bias", "tint"]
    readme = (tmp_path / "again" / "README.md").read_text()
    assert f"## Base\n\n- model: tint.base\n- sha256: {zoo.base['sha256']}\n" in readme


def test_a_registry_and_the_hub_may_have_such_models(zoo: Zoo, tmp_path: Path) -> None:
    data = (zoo.folder / "model.safetensors").read_bytes()
    commit = "0123456789" * 4
    hub = {"repo_id": "someone/tinted", "revision": commit, "file": "model.safetensors"}
    weights = {"hub": hub, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    zoo.register(tinted={"weights": weights, "base": zoo.base})
    shutil.copytree(zoo.folder, tmp_path / "cache" / "models--someone--tinted" / "snapshots" / commit)
    for name in ("tint.tinted", f"hf-hub:someone/tinted@{commit}"):
        model = load_torch_model(name, cache_dir=tmp_path / "cache", local_files_only=True)
        assert torch.equal(model(picture()), expected(zoo.state))


@pytest.mark.parametrize(
    ("base", "told"),
    [
        (None, "must hold model, a name of the registry, and the sha256"),
        ("tint.base", "must hold model"),
        ({"model": "tint.base"}, "must hold model"),
        ({"model": ["tint.base"], "sha256": ""}, "must hold model"),
        ({"model": "tint.bas", "sha256": ""}, "no registry has a model 'tint.bas', .*did you mean 'tint.base'"),
        ({"model": "local-dir:/etc", "sha256": ""}, "no registry has a model 'local-dir:/etc'"),
        ({"model": "hf-hub:a/b", "sha256": ""}, "no registry has a model 'hf-hub:a/b'"),
        ({"model": "tinted", "sha256": ""}, "no registry has a model 'tinted'"),
        ({"model": "cyclegan.monet", "sha256": ""}, "cyclegan.monet is a model of the plugin cyclegan"),
        ({"model": "tint.base", "sha256": "0" * 64}, "other weights of tint.base .* save it again"),
        ({"model": "tint.second", "sha256": ""}, "tint.second is based on another model itself"),
        ({"model": "tint.none", "sha256": ""}, "tint.none has no weights"),
    ],
)
def test_a_base_that_cannot_be_is_told(zoo: Zoo, monkeypatch: pytest.MonkeyPatch, base: Any, told: str) -> None:
    none = {key: value for key, value in zoo.entry.items() if key != "weights"}
    zoo.register(second={"base": zoo.base})
    document = json.loads(zoo.registry.read_text())
    document["models"]["tint.none"] = none
    zoo.registry.write_text(json.dumps(document))
    monkeypatch.setenv("XDG_DATA_HOME", str(zoo.folder.parent / "data"))
    shutil.copytree(zoo.folder, zoo.folder.parent / "data" / "artgan" / "models" / "tinted")
    read_registry.cache_clear()
    zoo.card(base=base)
    monkeypatch.setattr(ModelFile, "read", lambda self: pytest.fail("read though it is refused"))
    refusal = zoo.refusal()
    assert refusal.startswith(f"local-dir:{zoo.folder}: ")
    with pytest.raises(WeightsError, match=told):
        raise WeightsError(refusal)


def test_a_model_of_ones_own_is_not_its_own_base(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(zoo.folder.parent / "data"))
    own = zoo.folder.parent / "data" / "artgan" / "models" / "tinted"
    zoo.card(base={**zoo.base, "model": "tinted"})
    shutil.copytree(zoo.folder, own)
    read_registry.cache_clear()
    with pytest.raises(WeightsError, match="no registry has a model 'tinted'"):
        artgan.load("tinted")


def test_a_base_of_another_config_is_told(zoo: Zoo) -> None:
    zoo.card(config={"size": 1})  # the default, written down: the same
    assert torch.equal(load_torch_model(f"local-dir:{zoo.folder}")(picture()), expected(zoo.state))
    zoo.card(config={"size": 3})
    assert "config: is not that of tint.base, on which this model is based" in zoo.refusal()


def test_weights_that_the_base_does_not_have_are_told(zoo: Zoo) -> None:
    save_file({"tint": zoo.state["tint"], "other": torch.zeros(2)}, zoo.folder / "model.safetensors")
    assert "the file has the unknown other" in zoo.refusal()
    save_file({"tint": torch.zeros(4)}, zoo.folder / "model.safetensors")
    assert "the file has another shape of tint" in zoo.refusal()
    (zoo.folder / "model.safetensors").write_bytes(b"x" * 40)
    assert "not a safetensors file" in zoo.refusal()


def test_a_file_that_is_larger_than_what_can_differ_is_not_read(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    with (zoo.folder / "model.safetensors").open("r+b") as file:
        file.truncate(2**30)  # of a sparse file
    monkeypatch.setattr(ModelFile, "read", lambda self: pytest.fail("read though it is refused"))
    assert "which is more than can differ from its base" in zoo.refusal()


def test_a_changed_file_of_the_base_is_told(zoo: Zoo, tmp_path: Path) -> None:
    weights = tmp_path / "site-artgan-tint" / "tint_plugin" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert zoo.refusal().startswith(f"tint.base: {weights}: has sha256 ")


@pytest.mark.exhaustive
def test_exported_it_is_a_whole_model(zoo: Zoo, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    export_model(load_torch_model(f"local-dir:{zoo.folder}"), tmp_path / "exported")
    assert "base" not in json.loads((tmp_path / "exported" / "config.json").read_text())
    shutil.rmtree(zoo.folder)
    made = artgan.load(f"local-dir:{tmp_path / 'exported'}").running_on().paint(picture().numpy(), {})
    assert np.abs(made - expected(zoo.state).numpy()).max() < 1e-4


def test_what_depends_on_the_place_in_the_picture_is_not_exported(zoo: Zoo, tmp_path: Path) -> None:
    model = load_torch_model("tint.base")
    model.generator.placed = True
    for export in (lambda: export_model(model, tmp_path / "exported"), lambda: model.running_on("onnxruntime")):
        with pytest.raises(ExportError, match=r"depends on the position in the picture.*runs only in PyTorch"):
            export()
    assert not (tmp_path / "exported").exists()


def test_a_base_that_is_gone_when_it_is_saved_is_told(zoo: Zoo, tmp_path: Path) -> None:
    model = load_torch_model(f"local-dir:{zoo.folder}")
    assert isinstance(model, TorchModel)
    zoo.registry.write_text(json.dumps({"schema": 1, "models": {}}))
    read_registry.cache_clear()
    with pytest.raises(ArtganError, match=r"no registry has a model 'tint\.base'"):
        model.save_pretrained(tmp_path / "again", examples=False)
    assert not (tmp_path / "again").exists()
