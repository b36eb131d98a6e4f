"""Extractors: what identifies their weights, files that are not theirs, and downloads that fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
import torch_fidelity.feature_extractor_inceptionv3 as published
from safetensors.torch import save_file
from torch import Tensor

from artgan import images
from artgan.errors import WeightsError
from artgan.features import VGG19_LAYERS
from artgan.metrics import extractors
from artgan.metrics.extractors import Extractor, Inception, load_extractor
from artgan.metrics.perceptual import load_perceptual

# ---- what identifies weights


def vgg19_state() -> dict[str, Tensor]:
    state, channels = {}, 3
    for layer, index in VGG19_LAYERS.items():
        wider = min(64 * 2 ** (int(layer[4]) - 1), 512)
        state[f"features.{index}.weight"] = torch.zeros(wider, channels, 3, 3, dtype=torch.float16)
        state[f"features.{index}.bias"] = torch.zeros(wider, dtype=torch.float16)
        channels = wider
        if layer == "conv5_1":
            break
    return state


def test_features_are_known_by_the_weights_and_not_by_their_files_name(tmp_path: Path) -> None:
    state = vgg19_state()
    save_file(state, tmp_path / "a.safetensors")
    (tmp_path / "other").mkdir()
    save_file(state, tmp_path / "other" / "b.safetensors", metadata={"made": "elsewhere"})
    state["features.5.weight"][0, 0, 0, 0] = 1
    save_file(state, tmp_path / "other" / "a.safetensors")

    def load(name: str, size: int = 64) -> Extractor:
        return load_extractor("vgg19", {"vgg19": tmp_path / name}, size=size)

    first = load("a.safetensors")
    assert first.weights.startswith("a.safetensors, SHA-256 ")
    assert load("other/b.safetensors").digest == first.digest
    assert load("other/a.safetensors").digest != first.digest
    assert load("a.safetensors", 65).digest != first.digest
    assert load_perceptual(tmp_path / "a.safetensors").source == first.weights


# ---- DINOv2, in small


@pytest.fixture
def small_dinov2(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Random weights of its smallest relative, which stands in for it, as they are published: for 518 x 518."""
    import timm  # here, as it takes seconds, and every worker imports every module

    monkeypatch.setattr(extractors, "DINOV2_NAME", "vit_small_patch14_dinov2.lvd142m")
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch14_dinov2.lvd142m", pretrained=False, num_classes=0)
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.slow
def test_a_published_file_is_read_as_timm_reads_it(small_dinov2: dict[str, Tensor], tmp_path: Path) -> None:
    import timm

    path = tmp_path / "model.safetensors"
    assert small_dinov2["pos_embed"].shape == (1, 37**2 + 1, 384)
    save_file(small_dinov2, path)
    theirs = timm.create_model(
        "vit_small_patch14_dinov2.lvd142m",
        pretrained=True,
        pretrained_cfg_overlay={"file": str(path)},
        num_classes=0,
        img_size=224,
    ).eval()
    extractor = load_extractor("dinov2", {"dinov2": path})
    for name, value in theirs.state_dict().items():
        assert torch.equal(extractor.network.state_dict()[name], value), name
    pictures = torch.rand(1, 3, 224, 224) * 2 - 1
    with torch.inference_mode():
        expected = theirs(((pictures + 1) / 2 - extractor.mean) / extractor.std)
        torch.testing.assert_close(extractor(pictures), expected)
    assert expected[:, extractor.parts["class token"]].shape == expected.shape


@pytest.mark.slow
def test_it_sees_patches_one_by_one(small_dinov2: dict[str, Tensor], tmp_path: Path) -> None:
    weights = {"dinov2": tmp_path / "model.safetensors"}
    save_file(small_dinov2, weights["dinov2"])
    alone, patches = load_extractor("dinov2", weights), load_extractor("dinov2-patches", weights, size=128)
    picture = images.to_rgb(torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    with torch.inference_mode():
        found = patches(patches.prepare(picture)[None]).reshape(4, 384)
        expected = alone(alone.prepare(picture.crop((64, 0, 128, 64)))[None])[0]
    torch.testing.assert_close(found[1], expected, atol=1e-4, rtol=1e-4)
    assert patches.resize.endswith("(Pillow), to 224 x 224, bicubic, antialiased (Pillow)")


def test_a_file_of_other_positions_or_shapes_is_refused(small_dinov2: dict[str, Tensor], tmp_path: Path) -> None:
    for name, wrong in (("pos_embed", (1, 37**2 + 2, 384)), ("norm.bias", (7,))):
        path = tmp_path / f"{name}.safetensors"
        save_file({**small_dinov2, name: torch.zeros(wrong)}, path)
        with pytest.raises(WeightsError, match=rf"{name}\.safetensors: not the weights of timm's vit_small"):
            load_extractor("dinov2", {"dinov2": path})


def test_another_networks_file_is_refused_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    made: list[torch.device] = []
    create = timm.create_model

    def seen(*args: object, **options: object) -> torch.nn.Module:
        network = create(*args, **options)
        made.extend({parameter.device for parameter in network.parameters()})
        return network

    monkeypatch.setattr(timm, "create_model", seen)
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "nonsense").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match=r"other\.safetensors: not the weights of timm's vit_large"):
        load_extractor("dinov2", {"dinov2": tmp_path / "other.safetensors"})
    with pytest.raises(WeightsError, match="nonsense: cannot read DINOv2's weights as safetensors"):
        load_extractor("dinov2", {"dinov2": tmp_path / "nonsense"})
    with pytest.raises(WeightsError, match="none: cannot read"):
        load_extractor("dinov2", {"dinov2": tmp_path / "none"})
    assert set(made) == {torch.device("meta")}


@pytest.mark.parametrize("network", ["vgg19", "dinov2"])
def test_what_the_hub_does_not_give_can_be_given_by_hand(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ARTGAN_VGG19", raising=False)
    loads = [lambda: load_extractor(network)]
    if network == "vgg19":
        loads.append(load_perceptual)
    for load in loads:
        with pytest.raises(
            WeightsError, match=rf"no route to host.*, or give its model.safetensors: --{network} FILE$"
        ) as told:
            load()
        assert "\n" not in str(told.value)


# ---- the Inception network's download


class _Garbage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"garbage")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[dict[str, int]]:
    """Ports, by what happens there."""
    garbage = HTTPServer(("127.0.0.1", 0), _Garbage)
    thread = threading.Thread(target=garbage.serve_forever)
    thread.start()
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # and does not listen
        yield {
            "garbage": garbage.server_address[1],
            "silence": silent.getsockname()[1],
            "refusal": refusing.getsockname()[1],
        }
    garbage.shutdown()
    thread.join()
    garbage.server_close()


@pytest.mark.parametrize(
    ("kind", "reason"), [("refusal", "refused"), ("garbage", "invalid hash value"), ("silence", "timed out")]
)
def test_a_download_that_fails_is_one_line_and_leaves_nothing(
    kind: str,
    reason: str,
    servers: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = f"http://127.0.0.1:{servers[kind]}/inception.pth"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(published, "URL_INCEPTION_V3", address)
    monkeypatch.setattr(extractors, "_TIMEOUT", 0.5)
    with pytest.raises(WeightsError, match=reason) as told:
        Inception(None)
    assert f"fetch {address} by hand and give it with --inception FILE" in str(told.value)
    assert "\n" not in str(told.value)
    assert f"fetching the Inception network's weights (95 MB) from {address}" in caplog.text
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert socket.getdefaulttimeout() is None
