"""Features by layer against networks written anew and against timm's own; weights that are not what they should be."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from artgan_gatys.networks import FeatureNetwork, build_network, trace
from safetensors.torch import load_file, save_file
from support import plain_vgg
from torch import Tensor, nn

from artgan.errors import ConfigError, PictureError, WeightsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of weights: vgg19 and vgg16 up to conv3_1 and conv5_1, and all of resnet18."""
    folder = tmp_path_factory.mktemp("weights")
    for name, last in itertools.product(("vgg16", "vgg19"), ("conv3_1", "conv5_1")):
        plain_vgg.write(folder / f"{name}-{last}.safetensors", name, last)
    torch.manual_seed(0)
    resnet = timm.create_model("resnet18", pretrained=False).train()
    resnet(torch.randn(4, 3, 64, 64))  # batch norm then has statistics of its own
    save_file(resnet.state_dict(), folder / "resnet18.safetensors")
    return folder


def pictures(height: int, width: int, count: int = 1) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, generator=source) * 2 - 1


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).abs().max() <= 1e-5 * other.abs().max())


# ---- layers


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_vggs_layers_have_their_usual_names(folder: Path, name: str, pooling: str) -> None:
    """Every layer up to relu4_2 in one run: what comes later overwrites none of them."""
    state = load_file(folder / f"{name}-conv5_1.safetensors")
    wanted = list(itertools.takewhile(lambda layer: layer != "conv4_3", plain_vgg.layers(name)))
    assert wanted[-2:] == ["conv4_2", "relu4_2"]
    network = build_network(name, wanted, pooling=pooling, weights=folder / f"{name}-conv5_1.safetensors")
    x = pictures(24, 40, 2)
    found = network(x, wanted)
    assert list(found) == wanted
    for layer, features in plain_vgg.features(state, name, x, wanted, pooling=pooling).items():
        assert close(found[layer], features), layer
    assert found["conv4_2"].min() < 0 <= found["relu4_2"].min()
    assert torch.equal(found["conv4_2"].clamp_min(0), found["relu4_2"])


def test_maxima_and_means_are_not_the_same(folder: Path) -> None:
    made = [
        build_network("vgg19", ["conv2_1"], pooling=pooling, weights=folder / "vgg19-conv3_1.safetensors")
        for pooling in ("max", "avg")
    ]
    one, other = (network(pictures(16, 16), ["conv2_1"])["conv2_1"] for network in made)
    assert (one - other).abs().max() > 0.1


def test_layers_may_be_asked_for_in_any_order_and_twice(folder: Path) -> None:
    network = build_network("vgg19", ["conv3_1", "relu1_1"], weights=folder / "vgg19-conv3_1.safetensors")
    x = pictures(16, 16)
    found = network(x, ["conv3_1", "relu1_1", "conv3_1"])
    assert found.keys() == {"conv3_1", "relu1_1"}
    assert torch.equal(found["relu1_1"], network(x, ["relu1_1"])["relu1_1"])


def test_nothing_after_the_last_layer_runs_or_is_loaded(folder: Path) -> None:
    network = build_network("vgg19", ["relu2_1", "conv3_1"], weights=folder / "vgg19-conv3_1.safetensors")
    ran: list[str] = []
    for path, module in network.network.named_modules():
        if not list(module.children()):
            module.register_forward_pre_hook(lambda module, inputs, path=path: ran.append(path))
    network(pictures(16, 16), ["relu2_1", "conv3_1"])
    last = plain_vgg.layers("vgg19").index("conv3_1")
    assert ran == [f"features.{index}" for index in range(last + 1)]
    ran.clear()
    network(pictures(16, 16), ["relu2_1"])
    assert len(ran) == plain_vgg.layers("vgg19").index("relu2_1") + 1
    held, drawn = network.network.state_dict(), plain_vgg.draw("vgg19", "conv3_1")
    assert sum(value.numel() for value in held.values()) == sum(value.numel() for value in drawn.values())


def test_a_network_is_frozen_and_passes_gradients_to_the_picture(folder: Path) -> None:
    network = build_network("vgg19", ["conv2_1"], weights=folder / "vgg19-conv3_1.safetensors")
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    x = pictures(16, 16).requires_grad_()
    network(x, ["conv2_1"])["conv2_1"].square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().min() > 0


def test_weights_of_half_precision_become_float32(tmp_path: Path) -> None:
    drawn = {key: value.half() for key, value in plain_vgg.draw("vgg19", "conv2_1").items()}
    save_file(drawn, tmp_path / "half.safetensors")
    network = build_network("vgg19", ["conv2_1"], weights=tmp_path / "half.safetensors")
    x = pictures(16, 16)
    wanted = plain_vgg.features(drawn, "vgg19", x, ["conv2_1"])["conv2_1"]
    assert close(network(x, ["conv2_1"])["conv2_1"], wanted)


def test_another_network_of_timm_by_the_names_of_its_modules(folder: Path) -> None:
    """Against timm's own extraction of features."""
    weights = folder / "resnet18.safetensors"
    wanted = {"act1": 0, "layer1": 1, "layer2": 2, "layer3": 3}
    network = build_network("resnet18", [*wanted, "layer2.0.bn2", "layer2.0"], weights=weights)
    theirs = timm.create_model("resnet18", pretrained=False, features_only=True).eval()
    theirs.load_state_dict(load_file(weights), strict=False)  # all but the classifier
    x = pictures(48, 64)
    found = network(x, [*wanted, "layer2.0.bn2", "layer2.0"])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        features = theirs(((x + 1) / 2 - mean) / std)
    for layer, index in wanted.items():
        assert close(found[layer], features[index]), layer
    assert found["layer2.0.bn2"].min() < 0 <= found["layer2.0"].min()  # neither sum nor rectifier overwrote it


# ---- what it would take


@pytest.mark.parametrize(
    ("name", "file", "pooling", "wanted"),
    [
        ("vgg19", "vgg19-conv5_1", "max", ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "conv5_1"]),
        ("vgg19", "vgg19-conv5_1", "max", ["conv1_1", "conv3_1"]),
        ("vgg16", "vgg16-conv5_1", "avg", ["conv1_2", "relu3_1"]),
        ("resnet18", "resnet18", "max", ["act1", "layer1.0.act1", "layer3"]),
    ],
)
@pytest.mark.parametrize("size", [(48, 64), (37, 91)])
def test_a_trace_tells_the_shapes_and_the_bytes_that_a_gradient_keeps(
    folder: Path, name: str, file: str, pooling: str, wanted: list[str], size: tuple[int, int]
) -> None:
    """Against the tensors that PyTorch really saves for the way back."""
    network = build_network(name, wanted, pooling=pooling, weights=folder / f"{file}.safetensors")
    shapes, kept, largest = trace(network, wanted, *size)
    own = {tensor.untyped_storage().data_ptr() for tensor in itertools.chain(network.parameters(), network.buffers())}
    saved: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no two have one address

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        features = network(pictures(*size).requires_grad_(), wanted)
    assert shapes == {layer: found.shape for layer, found in features.items()}
    # What is not computed keeps statistics of batch norm too, two numbers a channel, which evaluation does without.
    norms = (len(module.weight) for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert kept == sum(saved.values()) + 2 * 4 * sum(norms) > 0
    assert largest == max(saved.values())


@pytest.mark.parametrize(
    ("size", "layer"),
    [((3, 40), "conv3_1"), ((40, 7), "conv3_1"), ((1, 1), "relu1_1"), ((1, 64), "conv2_1")],
)
def test_too_small_a_picture_is_told(folder: Path, size: tuple[int, int], layer: str) -> None:
    network = build_network("vgg19", [layer], weights=folder / "vgg19-conv3_1.safetensors")
    with pytest.raises(PictureError) as refused:
        trace(network, [layer], *size)
    assert str(refused.value) == f"{size[1]} x {size[0]} pixels are too few for the layer {layer}"


def test_the_smallest_picture_that_a_trace_lets_through_has_features(folder: Path) -> None:
    network = build_network("vgg19", ["conv3_1"], weights=folder / "vgg19-conv3_1.safetensors")
    assert trace(network, ["conv3_1"], 8, 8)[0] == {"conv3_1": (1, 256, 2, 2)}
    assert network(pictures(8, 8), ["conv3_1"])["conv3_1"].shape == (1, 256, 2, 2)


def test_a_layer_without_positions_is_told(folder: Path) -> None:
    network = build_network("resnet18", ["layer1", "fc"], weights=folder / "resnet18.safetensors")
    with pytest.raises(ConfigError) as refused:
        trace(network, ["layer1", "fc"], 64, 64)
    assert str(refused.value) == "the layer fc has no positions; use an earlier one"


# ---- what cannot be built


@pytest.mark.parametrize("name", ["hf-hub:someone/monet-net", "local-dir:folder", ":"])
def test_a_network_from_elsewhere_than_timm_is_told(name: str) -> None:
    """timm would take code and weights from there."""
    with pytest.raises(ConfigError) as refused:
        build_network(name, ["conv1_1"])
    assert str(refused.value) == f"network {name!r}: must be the name of one of timm's networks"


def test_an_unknown_network_is_told() -> None:
    with pytest.raises(ConfigError) as refused:
        build_network("vgg1999", ["conv1_1"])
    assert str(refused.value) == "network 'vgg1999': timm cannot build it (Unknown model (vgg1999))"


@pytest.mark.parametrize(
    ("name", "layer", "some"), [("vgg19", "conv6_1", "conv4_2, relu4_2"), ("resnet18", "conv4_2", "layer2.0.act1")]
)
def test_an_unknown_layer_is_told_with_those_that_there_are(name: str, layer: str, some: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_network(name, ["relu1_1" if name == "vgg19" else "act1", layer])
    told = str(refused.value)
    assert told.startswith(f"{name} has no layer '{layer}'; it has ")
    assert some in told
    assert "\n" not in told


def cut(folder: Path, path: Path) -> None:
    data = (folder / "vgg19-conv3_1.safetensors").read_bytes()
    path.write_bytes(data[: len(data) // 2])


class Evil:
    """Would leave a trace if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (Path(f"{self.path}.run"),)


WRONG: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "no file": (lambda folder, path: None, "cannot be read as safetensors (No such file or directory"),
    "a folder": (lambda folder, path: path.mkdir(), "cannot be read as safetensors ("),
    "an empty file": (lambda folder, path: path.touch(), "cannot be read as safetensors ("),
    "a truncated file": (cut, "cannot be read as safetensors ("),
    "a pickle": (lambda folder, path: path.write_bytes(pickle.dumps(Evil(path))), "cannot be read as safetensors ("),
    "a checkpoint of torch": (
        lambda folder, path: torch.save(plain_vgg.draw("vgg19", "conv2_1"), path),
        "cannot be read as safetensors (",
    ),
    "a file that ends too early": (
        lambda folder, path: plain_vgg.write(path, "vgg19", "conv2_2"),
        "lacks features.10.weight; are these the weights of another network?",
    ),
    "ResNet's weights": (
        lambda folder, path: path.symlink_to(folder / "resnet18.safetensors"),
        "lacks features.0.weight; are these the weights of another network?",
    ),
    "weights of another width": (
        lambda folder, path: save_file(
            {
                key: value[:32].contiguous() if key == "features.0.weight" else value
                for key, value in plain_vgg.draw("vgg19", "conv3_1").items()
            },
            path,
        ),
        "features.0.weight has the shape (32, 3, 3, 3), not (64, 3, 3, 3): these are another network's weights",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_weights_that_are_none_are_refused_in_one_line(tmp_path: Path, folder: Path, kind: str) -> None:
    make, reason = WRONG[kind]
    path = tmp_path / "weights.safetensors"
    make(folder, path)
    with pytest.raises(WeightsError) as refused:
        build_network("vgg19", ["conv3_1"], weights=path)
    told = str(refused.value)
    assert told.startswith(f"{path}: {reason}")
    assert "\n" not in told
    assert not Path(f"{path}.run").exists()


def test_vgg16s_weights_are_not_vgg19s(folder: Path) -> None:
    """Up to conv3_3 they have the same names and shapes; one layer on, they do not."""
    with pytest.raises(WeightsError, match=r"lacks features\.16\.weight; are these the weights of another network\?"):
        build_network("vgg19", ["conv3_4"], weights=folder / "vgg16-conv5_1.safetensors")


def test_without_a_file_and_without_a_network_it_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as refused:
        build_network("resnet18.a1_in1k", ["act1"])
    assert str(refused.value) == (
        "timm/resnet18.a1_in1k: not in the cache, and HF_HUB_OFFLINE is set, "
        "or give its model.safetensors: --network-file FILE"
    )


def test_features_are_those_of_the_weights_that_were_given(folder: Path, tmp_path: Path) -> None:
    """Two files, two networks: nothing is kept from one to the next."""
    other = plain_vgg.write(tmp_path / "other.safetensors", "vgg19", "conv3_1", seed=1)
    x = pictures(16, 16)
    made: list[FeatureNetwork] = [
        build_network("vgg19", ["conv1_1"], weights=path) for path in (folder / "vgg19-conv3_1.safetensors", other)
    ]
    one, two = (network(x, ["conv1_1"])["conv1_1"] for network in made)
    assert (one - two).abs().max() > 0.1
