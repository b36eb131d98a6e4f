"""Exported files: what they paint, what they say, and when there is none. Sides and batches are free."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artgan_cyclegan.networks import ResNetGenerator, SubpixelGenerator, UNetGenerator
from artgan_dcgan import networks as dcgan
from artgan_dcgan.config import DCGANConfig
from artgan_fastgan.config import FastGANConfig
from artgan_fastgan.generator import FastGANGenerator
from artgan_sngan import networks as sngan
from artgan_sngan.config import SNGANConfig
from PIL import Image
from support.data import DATA
from support.processes import artgan as run_artgan
from torch import Tensor, nn

import artgan
from artgan.errors import ExportError
from artgan.interfaces import Generator
from artgan.models.runtimes.exporting import TOLERANCE, export_onnx
from artgan.models.runtimes.int8 import quantize


def run_by_onnxruntime(path: Path) -> Callable[[Tensor], Tensor]:
    """A model's first output for its only input that has no default."""
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    [put_in] = session.get_inputs()
    return lambda x: torch.from_numpy(session.run([session.get_outputs()[0].name], {put_in.name: x.numpy()})[0])


class Shuffled(Generator):
    """A network that works at a quarter of the size and has no norm."""

    stride = 4
    minimum_size = 8
    reach = 12

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, 16, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(16, 48, 3, padding=1, padding_mode="reflect"),
            nn.PixelShuffle(4),
        )

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.inside(x)).clamp(-1, 1)


class Stubborn(Shuffled):
    """What it adds depends on the picture's width in a way that an exporter takes for a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + float(np.sin(int(x.shape[3])))


NETWORKS = {
    "resnet, transposed": lambda: ResNetGenerator(8, 1, "transposed"),
    "resnet, nearest, skip": lambda: ResNetGenerator(8, 1, "nearest", skip=True),
    "resnet, antialiased": lambda: ResNetGenerator(8, 1, "antialiased", downsample="antialiased"),
    "subpixel": lambda: SubpixelGenerator(8, 1),
    "without grid": lambda: SubpixelGenerator(8, 1, smooth_colors=True, remove_grid=True),
    "unet": lambda: UNetGenerator(2),
    "shuffled": Shuffled,
    "dcgan": lambda: dcgan.build_generator(DCGANConfig(width=8)),
    "fastgan": lambda: FastGANGenerator(FastGANConfig(size=64, width=28)),
    "sngan": lambda: sngan.build_generator(SNGANConfig(architecture="resnet", width=16)),
}
PER_CHANGE = ("resnet, nearest, skip", "without grid", "sngan")  # the others are left to make test-all


@pytest.fixture
def small() -> ResNetGenerator:
    torch.manual_seed(0)
    return ResNetGenerator(4, 1, "resize", skip=True)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network."""
    torch.manual_seed(0)
    return export_onnx(ResNetGenerator(4, 1, "resize", skip=True), tmp_path_factory.mktemp("exact") / "x.onnx").path


@pytest.mark.parametrize(
    "name", [name if name in PER_CHANGE else pytest.param(name, marks=pytest.mark.exhaustive) for name in NETWORKS]
)
@pytest.mark.slow
@pytest.mark.numerical
def test_an_exported_network_makes_what_pytorch_makes_at_sizes_it_was_not_exported_at(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    generator = NETWORKS[name]()
    for module in generator.modules():  # statistics that change something
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]  # it tracks them
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]  # the same
    exported = export_onnx(generator, tmp_path / "network.onnx")
    assert exported.difference <= TOLERANCE
    assert len(set(exported.shapes)) == 3
    assert generator.training, "the generator is as it was"
    run = run_by_onnxruntime(exported.path)
    generator.eval()
    if generator.task == "noise-to-image":
        inputs = [torch.randn(count, generator.noise_size) for count in (1, 5)]
    else:
        stride, least = generator.stride, -(-generator.minimum_size // generator.stride)
        sides = [(least, least), (least, 3 * least + 1), (2 * least + 1, least)]
        inputs = [torch.rand(n, 3, h * stride, w * stride) * 2 - 1 for n, (h, w) in enumerate(sides, start=1)]
    for x in inputs:
        made = run(x)
        with torch.inference_mode():
            wanted = generator(x)
        assert made.shape == wanted.shape
        assert made.std() > 1e-4, "a picture"
        assert (made - wanted).abs().max() <= TOLERANCE


@pytest.mark.slow
def test_a_file_says_what_it_holds_and_nothing_of_where_it_was_made(small: ResNetGenerator, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    about = {"plugin": "cyclegan", "config": {"width": 4}, "license": {"weights": "cc0-1.0"}}
    path = export_onnx(small, tmp_path / "small.onnx", about=about).path
    model = onnx.load(path)
    told = json.loads({entry.key: entry.value for entry in model.metadata_props}["artgan"])
    channels = [4, 8, 16, 16, 16, 8, 4]  # of each instance norm of a network with one block
    facts = {"stride": 4, "minimum_size": 16, "memory_per_pixel": 132, "reach": 40, "channels": channels}
    assert told == {"format": 1, "artgan_version": artgan.__version__, "facts": facts, **about}
    put_in, made = model.graph.input[0], model.graph.output[0]
    assert (put_in.name, made.name) == ("pictures", "paintings")
    for value in (put_in, made):
        sides = [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        assert sides == ["batch", 3, "4*height", "4*width"]
    inside = {axis.dim_param for value in model.graph.value_info for axis in value.type.tensor_type.shape.dim}
    assert not any(name.isdecimal() for name in inside)  # PyTorch 2.6 names axes after their lengths in the example
    for folder in (Path(artgan.__file__).parents[2], Path(torch.__file__).parents[1]):
        assert str(folder).encode() not in path.read_bytes()


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.numerical
def test_a_generator_in_half_precision_is_exported_in_float32_and_stays_as_it_is(
    small: ResNetGenerator, tmp_path: Path
) -> None:
    small.to(torch.bfloat16)
    path = export_onnx(small, tmp_path / "small.onnx").path
    assert next(small.parameters()).dtype == torch.bfloat16
    x = torch.rand(1, 3, 32, 40) * 2 - 1
    with torch.inference_mode():
        assert (run_by_onnxruntime(path)(x) - small.float()(x)).abs().max() <= TOLERANCE


@pytest.mark.slow
def test_what_does_not_agree_with_pytorch_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"differs from PyTorch by|cannot export|does not run"):
        export_onnx(Stubborn(), tmp_path / "network.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_network_that_is_not_finite_is_not_written(small: ResNetGenerator, tmp_path: Path) -> None:
    with torch.no_grad():
        small.model[1].bias.fill_(math.nan)  # type: ignore[union-attr, operator]  # a convolution
    with pytest.raises(ExportError, match="differs from PyTorch by nan"):
        export_onnx(small, tmp_path / "network.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_model_that_optimises_the_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="step by step"):
        export_onnx(artgan.load("gatys").generator, tmp_path / "gatys.onnx")


@pytest.mark.slow
def test_a_file_that_exists_is_replaced_on_request_only(small: ResNetGenerator, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(ExportError, match="exists already"):
        export_onnx(small, path)
    assert path.read_bytes() == b"mine"
    export_onnx(small, path, overwrite=True)
    assert path.read_bytes() != b"mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", "missing/small.onnx"])
def test_a_name_that_cannot_be_written_is_told_before_the_work(
    small: ResNetGenerator, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ExportError, match=r"is a folder|there is no folder"):
        export_onnx(small, tmp_path / name)


# ---- 8-bit integers


def _photos(folder: Path, count: int) -> Path:
    """Smooth pictures, which an odd seed each makes unlike the others."""
    folder.mkdir()
    for seed in range(count):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((70, 50), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


@pytest.mark.slow
def test_integers_of_too_few_photos_or_of_too_poor_paintings_are_refused(exact: Path, tmp_path: Path) -> None:
    photos = _photos(tmp_path / "photos", 5)
    with pytest.raises(ExportError, match="has 5 photos, at least 6"):
        quantize(exact, tmp_path / "int8.onnx", photos)
    with pytest.raises(ExportError, match=r"reach \d+\.\d dB, less than 200"):
        quantize(exact, tmp_path / "int8.onnx", _photos(tmp_path / "more", 6), least_psnr=200)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "photos"]


@pytest.mark.parametrize("content", [b"", b"not a protocol buffer" * 100])
def test_a_file_that_artgan_did_not_export_is_not_quantised(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="not an ONNX file exported by artgan"):
        quantize(path, tmp_path / "int8.onnx", tmp_path)


@pytest.mark.slow
@pytest.mark.numerical
def test_the_psnr_that_is_told_is_that_of_photos_that_were_not_calibrated_with(exact: Path, tmp_path: Path) -> None:
    """The photos 0, 3, 6 are measured; computed here from pictures as a user would."""
    photos = _photos(tmp_path / "photos", 9)
    done = quantize(exact, tmp_path / "int8.onnx", photos, least_psnr=0)
    assert done.photos == (6, 3)
    errors = []
    for name in ("0.png", "3.png", "6.png"):
        rgb = np.asarray(Image.open(photos / name).convert("RGB"), np.float32) / 127.5 - 1
        x = torch.from_numpy(np.pad(rgb, ((0, 2), (0, 2), (0, 0)), "reflect")).permute(2, 0, 1)[None].contiguous()
        errors.append((run_by_onnxruntime(done.path)(x) - run_by_onnxruntime(exact)(x)).double().square())
    psnr = 10 * math.log10(4 / float(torch.cat(errors).mean()))
    assert done.psnr == pytest.approx(psnr, abs=0.01)


@pytest.mark.exhaustive
@pytest.mark.skipif(not (DATA / "photo").is_dir(), reason="needs the photos of shared/data")
@pytest.mark.numerical
def test_the_bundled_monet_keeps_38_db_in_integers(tmp_path: Path) -> None:
    exact = export_onnx(artgan.load("monet").generator, tmp_path / "monet.onnx").path
    (tmp_path / "photos").mkdir()
    for photo in sorted((DATA / "photo").iterdir())[:: 2000 // 12][:12]:
        (tmp_path / "photos" / photo.name).symlink_to(photo)
    done = quantize(exact, tmp_path / "int8.onnx", tmp_path / "photos")
    assert done.psnr >= 38
    assert done.path.stat().st_size < 0.6 * exact.stat().st_size  # where weights are in float16


# ---- the command


@pytest.mark.slow
def test_the_command_writes_the_file_and_says_how_near_it_is(tmp_path: Path) -> None:
    out = tmp_path / "monet.onnx"
    done = run_artgan("export", "monet", "--onnx", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    assert "from PyTorch" in done.stderr
    assert done.stderr.count("\n") == 1, "no library has a word of its own"
    x = torch.rand(1, 3, 52, 36) * 2 - 1
    model: Any = artgan.load("monet")
    with torch.inference_mode():
        assert (run_by_onnxruntime(out)(x) - model(x)).abs().max() <= TOLERANCE
    again = run_artgan("export", "monet", "--onnx", out)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == f"artgan: {out}: exists already; give another name, or --overwrite\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["monet", "--int8"], "--int8 and --photos DIR go together"),
        (["monet", "--photos", "x"], "--int8 and --photos DIR go together"),
        (["gatys"], "step by step"),
        (["dcgan.monet", "--int8", "--photos", "x"], "from noise"),
        (["nobody.at-all"], "nobody.at-all"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, arguments: list[str], why: str) -> None:
    done = run_artgan("export", *arguments, "--onnx", tmp_path / "x.onnx")
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
