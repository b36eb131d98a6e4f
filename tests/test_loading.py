"""Loading with a fake plugin and real safetensors files: what is verified, and what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import InstallPlugin
from PIL import Image
from safetensors.torch import save

import artgan
from artgan import registry
from artgan.errors import ArtganError, ConfigError, PluginError, WeightsError

CODE = """
from dataclasses import dataclass
import torch
from artgan.config import option
from artgan.interfaces import Generator, Networks
from artgan.plugin import Plugin

plugin = Plugin(name="dots", summary="", config="dots_plugin:Config", networks="dots_plugin:build")

@dataclass(frozen=True)
class Config:
    kernel: int = option(1, "size", least=1)

class Dots(Generator):
    def __init__(self, kernel):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, kernel, padding=kernel // 2)
        self.register_buffer("limit", torch.tensor(1.0), persistent=False)
    def forward(self, x):
        return self.conv(x).clamp(-self.limit, self.limit)

def build(config):
    return Networks({"paintings": Dots(config.kernel)})
"""
STATE = {"conv.weight": torch.randn(3, 3, 1, 1).half(), "conv.bias": torch.randn(3).half()}

Zoo = Callable[..., Path]


@pytest.fixture
def zoo(install_plugin: InstallPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """A function that makes the model ``dots.a``: its weights file, and its entry, which ``changes`` alter."""
    package = install_plugin("dots", CODE)

    def make(data: bytes = save(STATE), *, promised: bytes | None = None, **changes: Any) -> Path:
        path = package / "a.safetensors"
        path.write_bytes(data)
        promised = data if promised is None else promised
        weights = {"bundled": "dots_plugin/a.safetensors", "sha256": hashlib.sha256(promised).hexdigest()}
        weights["size"] = len(promised)  # type: ignore[assignment]
        entry = {"plugin": "dots", "distribution": "artgan-dots", "alias": "dotty", "weights": weights, **changes}
        (tmp_path / "registry.yaml").write_text(yaml.safe_dump({"schema": 1, "models": {"dots.a": entry}}))
        return path

    monkeypatch.setattr(registry, "_own_file", lambda: tmp_path / "registry.yaml")
    return make


def test_a_model_is_loaded_ready_for_use(zoo: Zoo) -> None:
    zoo(license={"weights": "apache-2.0"})
    model = artgan.load("dotty")
    assert model.name == "dots.a"
    assert model.card["license"] == {"weights": "apache-2.0"}
    assert not model.training
    assert not model.generator.training
    for key, value in model.generator.state_dict().items():
        assert value.dtype == torch.float32  # stored in float16
        assert torch.equal(value, STATE[key].float())
        assert not value.requires_grad
    x = torch.rand(2, 3, 5, 7) * 2 - 1
    assert torch.equal(model(x), model.generator(x))
    assert model.paint(Image.new("RGB", (5, 7))).size == (5, 7)


def test_dtype_and_device(zoo: Zoo) -> None:
    zoo()
    for dtype in ("bfloat16", torch.bfloat16):
        model = artgan.load("dotty", dtype=dtype, device="cpu")
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
        assert model.paint(Image.new("RGB", (4, 4))).size == (4, 4)
    for dtype in ("float64", "int8", torch.int8, "x"):
        with pytest.raises(ArtganError, match="there are float32, float16, bfloat16"):
            artgan.load("dotty", dtype=dtype)
    for device in ("warp", "cpu:x") + (() if torch.cuda.is_available() else ("cuda",)):
        with pytest.raises(ArtganError, match=f"device '{device}' cannot be used here"):
            artgan.load("dotty", device=device)


def test_changed_weights_are_refused_with_both_hashes(zoo: Zoo) -> None:
    good = save(STATE)
    bad = good[:-1] + bytes([good[-1] ^ 1])
    zoo(bad, promised=good)
    with pytest.raises(WeightsError) as caught:
        artgan.load("dotty")
    assert hashlib.sha256(good).hexdigest() in str(caught.value)
    assert hashlib.sha256(bad).hexdigest() in str(caught.value)
    assert 'pip install "artgan[dots]"' in str(caught.value)


def test_weights_of_another_size_are_refused_before_they_are_read(zoo: Zoo) -> None:
    zoo(save(STATE)[:-1], promised=save(STATE))
    with pytest.raises(WeightsError, match=f"has {len(save(STATE)) - 1} bytes, expected {len(save(STATE))}"):
        artgan.load("dotty")


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"conv.weight": STATE["conv.weight"]}, "lacks conv.bias"),
        ({**STATE, "more": torch.zeros(1)}, "has the unknown more"),
        ({**STATE, "conv.weight": torch.zeros(3, 3, 3, 3)}, "has another shape of conv.weight"),
    ],
)
def test_another_networks_weights_are_refused(zoo: Zoo, state: dict[str, torch.Tensor], told: str) -> None:
    zoo(save(state))
    with pytest.raises(WeightsError, match=f"another network's weights: the file {told}"):
        artgan.load("dotty")


@pytest.mark.parametrize("data", [pickle.dumps({"a": 1}), b"\0" * 64, save(STATE)[:40], b"PK\3\4" + b"\0" * 40])
def test_only_safetensors_are_read(zoo: Zoo, data: bytes) -> None:
    zoo(data)
    with pytest.raises(WeightsError, match="not a safetensors file, or damaged"):
        artgan.load("dotty")


def test_a_link_out_of_the_package_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    path = zoo()
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(WeightsError, match="leads out of the package dots_plugin"):
        artgan.load("dotty")


def test_what_is_missing_is_told(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo().unlink()
    with pytest.raises(WeightsError, match=r"a.safetensors is missing; install artgan-dots again"):
        artgan.load("dotty")
    zoo(config={"kernel": 0})
    registry.read_registry.cache_clear()
    with pytest.raises(ConfigError, match=r"dots.a: config: kernel: must be at least 1"):
        artgan.load("dotty")


@pytest.mark.parametrize(
    ("distribution", "told"), [("artgan-lines", 'pip install "artgan\\[lines\\]"'), ("strange", "pip install strange")]
)
def test_a_missing_plugin_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distribution: str, told: str
) -> None:
    weights = {"bundled": "lines_plugin/a", "sha256": "0" * 64, "size": 1}
    entry = {"plugin": "lines", "distribution": distribution, "weights": weights}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"schema": 1, "models": {"lines.a": entry}}))
    monkeypatch.setattr(registry, "_own_file", lambda: tmp_path / "r.yaml")
    with pytest.raises(PluginError, match=told):
        artgan.load("lines.a")


def test_saved_and_loaded_again_it_is_the_same(zoo: Zoo, tmp_path: Path) -> None:
    zoo(license={"weights": "apache-2.0"})
    model = artgan.load("dotty")
    model.save_pretrained(tmp_path / "saved")
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == ["config.json", "model.safetensors"]
    again = artgan.load(f"local-dir:{tmp_path / 'saved'}")
    for key, value in model.generator.state_dict().items():
        assert torch.equal(value, again.generator.state_dict()[key])
    assert again.card["license"] == {"weights": "apache-2.0"}
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written here"):
        model.save_pretrained(tmp_path / "file")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("{", "not valid JSON"),
        ("[]", "must name the plugin"),
        ('{"plugin": "dots"}', "must name the plugin"),
        ('{"plugin": "nosuch", "config": {}}', "no plugin named 'nosuch'"),
        ('{"plugin": "dots", "config": {"size": 1}}', "unknown option 'size'"),
        ("[" * 100_000, "not valid JSON"),
        ('"' + "x" * 2**20 + '"', "larger than"),
    ],
)
def test_a_folder_with_a_faulty_config_is_refused(zoo: Zoo, tmp_path: Path, config: str, told: str) -> None:
    zoo()
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(save(STATE))
    with pytest.raises(WeightsError, match=r"holds no config.json"):
        artgan.load(f"local-dir:{folder}")
    (folder / "config.json").write_text(config)
    with pytest.raises(ArtganError, match=told):
        artgan.load(f"local-dir:{folder}")


def test_the_hub_is_not_there_yet() -> None:
    with pytest.raises(WeightsError, match="does not fetch from the Hub yet"):
        artgan.load("hf-hub:org/repo@" + "a" * 40)


def test_the_registrys_model_paints_what_its_card_promises() -> None:
    """The entry's ``check``: a picture that anyone can make, and the painting's pixels within a tolerance."""
    card = artgan.load("monet").card
    assert json.dumps(card)
    check = card["check"]
    generator = torch.Generator().manual_seed(check["seed"])
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    picture = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear")[0] * 2 - 1
    painted = torch.tensor(list(artgan.load("monet").paint(picture).resize((4, 4), Image.Resampling.BOX).getdata()))
    expected = torch.tensor(check["output"])
    assert (painted - expected).abs().max() <= check["tolerance"]
