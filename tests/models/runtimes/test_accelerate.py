"""Other runtimes paint what PyTorch paints, from a cache that may be missing, damaged, shared or read-only."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artgan_cyclegan.networks import ResNetGenerator
from PIL import Image
from support.painting import paint
from support.processes import artgan as run_artgan
from torch import Tensor, nn

import artgan
from artgan import images
from artgan.errors import ArtganError, ConfigError, ExportError
from artgan.interfaces import Generator
from artgan.models.runtimes import accelerate as runtimes
from artgan.models.runtimes import exporting
from artgan.models.runtimes.accelerate import accelerate
from artgan.models.runtimes.exporting import TOLERANCE
from artgan.models.runtimes.opening import RUNTIMES
from artgan.models.runtimes.pytorch import TorchNetwork
from artgan.painting import Tiling
from artgan.painting.network import Network

OTHERS = [name for name in RUNTIMES if name != "torch"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the folder of exported networks in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/artgan/onnx"


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for tests that may find a network in it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def warm(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_home))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files in a cache of Plain(0) and of Plain(1)."""
    files: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        for seed in (0, 1):
            home = tmp_path_factory.mktemp("exported")
            patch.setenv("XDG_CACHE_HOME", str(home))
            accelerate(Plain(seed), "onnxruntime")
            files += home.rglob("*.onnx")
    return files[0], files[1]


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is exported while the test runs."""
    made: list[Path] = []

    def export(generator: Generator, path: str | Path, **options: Any) -> exporting.Exported:
        made.append(Path(path))
        return exporting.export_onnx(generator, path, **options)

    monkeypatch.setattr(runtimes, "export_onnx", export)
    return made


def network(seed: int = 0) -> ResNetGenerator:
    torch.manual_seed(seed)
    return ResNetGenerator(4, 1, "resize", skip=True).eval().requires_grad_(False)


class Plain(Generator):
    """A network that is exported quickly."""

    minimum_size = 4
    reach = 1

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.inside = nn.Conv2d(3, 3, 3, padding=1)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.inside(x))


def painted(other: Network, x: Tensor) -> Tensor:
    return torch.from_numpy(other.paint(x.numpy(), {}))


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", OTHERS)
@pytest.mark.usefixtures("warm")
@pytest.mark.numerical
def test_a_painting_is_that_of_pytorch_at_any_size(runtime: str) -> None:
    generator = network()
    other = accelerate(generator, runtime)
    # Not of one color: instance norm divides by a spread of nothing, and PyTorch's own float32 is noise there.
    for width, height in [(3, 2), (17, 61), (64, 64), (101, 30), (16, 200)]:
        photo = picture(width, height)
        mine, theirs = paint(generator, photo), paint(other, photo)
        assert mine.size == theirs.size == (width, height)
        x = torch.rand(2, 3, 4 * height + 12, 4 * width + 12) * 2 - 1
        made = painted(other, x)
        assert made.dtype == x.dtype
        assert (made - generator.generate(x)).abs().max() <= TOLERANCE
        assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 1  # a number near a half is rounded


@pytest.mark.slow
@pytest.mark.parametrize("runtime", OTHERS)
@pytest.mark.usefixtures("warm")
@pytest.mark.numerical
def test_a_painting_stays_what_it_is_when_the_next_is_painted_and_when_several_threads_paint(runtime: str) -> None:
    generator = network()
    other = accelerate(generator, runtime)
    inputs = [torch.rand(1, 3, 32, 32 + 4 * i) * 2 - 1 for i in range(4)]
    wanted = [generator.generate(x) for x in inputs]
    made: list[list[Tensor]] = [[] for _ in inputs]

    def work(i: int) -> None:
        made[i] = [painted(other, inputs[i]) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for several, right in zip(made, wanted, strict=True):
        assert len(several) == 10
        assert all((one - right).abs().max() <= TOLERANCE for one in several)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_runtime_takes_over_what_a_generator_says_of_itself() -> None:
    generator = network()
    other = accelerate(generator, "onnxruntime")
    for name in ("stride", "minimum_size", "memory_per_pixel", "reach"):
        assert getattr(other, name) == getattr(generator, name)
    assert other.norms == 7
    assert isinstance(accelerate(generator, "torch"), TorchNetwork)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_openvino_cannot_hold_statistics_and_so_paints_no_tiles_where_there_are_norms() -> None:
    assert accelerate(network(), "openvino").reach is None
    assert accelerate(Plain(), "openvino").reach == 1


@pytest.mark.usefixtures("warm")
@pytest.mark.numerical
@pytest.mark.parametrize("statistics", ["exact", "estimated"])
def test_tiles_by_onnxruntime_are_those_of_pytorch(statistics: Any) -> None:
    generator = network()
    photo = picture(150, 130)
    tiling = Tiling(48, statistics)
    mine, theirs = (
        np.asarray(paint(each, photo, tiling=tiling), int) for each in (generator, accelerate(generator, "onnxruntime"))
    )
    assert np.abs(mine - theirs).max() <= 1
    if statistics == "exact":
        assert np.abs(mine - np.asarray(paint(generator, photo), int)).max() <= 1


# ---- the cache


@pytest.mark.slow
def test_a_network_is_exported_once_for_all_runtimes(home: Path, exports: list[Path]) -> None:
    for runtime in (*OTHERS, *OTHERS):
        accelerate(Plain(), runtime, key="x")
    assert len(exports) == 1
    [kept] = home.iterdir()
    assert kept.suffix == ".onnx"


@pytest.mark.slow
def test_other_weights_or_another_key_are_another_file(home: Path, exports: list[Path]) -> None:
    for generator, key in ((Plain(), "x"), (Plain(1), "x"), (Plain(), "y")):
        accelerate(generator, "onnxruntime", key=key)
    assert len(exports) == len([*home.iterdir()]) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "damage"),
    [
        pytest.param("onnxruntime", "emptied", marks=pytest.mark.exhaustive),
        ("onnxruntime", "another network's"),
        ("openvino", "cut"),
    ],
)
def test_a_file_that_is_damaged_or_another_networks_is_made_anew(
    home: Path, exported: tuple[Path, Path], exports: list[Path], runtime: str, damage: str
) -> None:
    right, other = (file.read_bytes() for file in exported)
    kept = home / exported[0].name
    home.mkdir(parents=True)
    kept.write_bytes({"emptied": b"", "cut": right[: len(right) // 2], "another network's": other}[damage])
    generator = Plain()
    x = torch.rand(1, 3, 40, 32) * 2 - 1
    assert (painted(accelerate(generator, runtime), x) - generator.generate(x)).abs().max() <= TOLERANCE
    assert len(exports) == 1
    assert list(home.iterdir()) == [kept]
    accelerate(generator, runtime)
    assert len(exports) == 1, "it is whole now"


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_to_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exports: list[Path]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    generator = Plain()
    x = torch.rand(1, 3, 40, 32) * 2 - 1
    assert (painted(accelerate(generator, "openvino"), x) - generator.generate(x)).abs().max() <= TOLERANCE
    assert not exports[0].exists(), "nothing is left behind"


@pytest.mark.exhaustive
def test_two_processes_at_once_do_not_harm_one_another(home: Path, tmp_path: Path) -> None:
    picture(40, 30).save(tmp_path / "photo.png")
    fine = "cyclegan.monet-fine"  # which has no exported form

    def work(name: str) -> subprocess.CompletedProcess[str]:
        return run_artgan(
            "paint", tmp_path / "photo.png", "--runtime", "onnxruntime", "-m", fine, "-o", tmp_path / name
        )

    with ThreadPoolExecutor() as pool:
        for done in pool.map(work, ("0.png", "1.png")):
            assert done.returncode == 0
            assert done.stderr in (
                "",
                "the model is exported for this runtime and compared with PyTorch, once: up to a minute\n",
            )
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    assert len(list(home.iterdir())) == 1


# ---- a loaded model


@pytest.mark.exhaustive
@pytest.mark.usefixtures("warm")
def test_a_model_starts_a_runtime_once_and_can_be_copied_afterwards() -> None:
    model = artgan.load("monet")
    photo = picture(45, 33)
    plain = np.asarray(model.paint(photo), int)
    for runtime in OTHERS:
        assert np.abs(np.asarray(model.paint(photo, runtime=runtime), int) - plain).max() <= 1
        assert model.running_on(runtime) is model.running_on(runtime)
    twin = copy.deepcopy(model)
    assert np.abs(np.asarray(twin.paint(photo, runtime="onnxruntime"), int) - plain).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "runtime", "error", "why"),
    [
        ("monet", {}, "tensorflow", ConfigError, "known: torch, onnxruntime, openvino"),
        ("monet", {"dtype": "bfloat16"}, "openvino", ConfigError, "on the CPU in float32"),
        ("gatys", {}, "onnxruntime", ExportError, "step by step"),
        ("dcgan.monet", {}, "onnxruntime", ArtganError, "makes pictures from noise: artgan sample"),
    ],
)
def test_what_a_runtime_cannot_do_is_told_in_one_line(
    name: str, options: dict[str, Any], runtime: str, error: type[ArtganError], why: str
) -> None:
    with pytest.raises(error, match=why) as told:
        artgan.load(name, **options).running_on(runtime)
    assert "\n" not in str(told.value)


@pytest.mark.slow
def test_the_command_paints_by_a_runtime_and_names_them_all(
    shared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_home))
    photo = tmp_path / "photo.png"
    picture(50, 34).save(photo)
    done = run_artgan("paint", photo, "--runtime", "openvino", "-o", tmp_path / "painting.png")
    assert (done.returncode, done.stderr) == (0, "")
    plain = np.asarray(artgan.load("monet").paint(photo), int)
    assert np.abs(np.asarray(images.decode(tmp_path / "painting.png").rgb, int) - plain).max() <= 1
    done = run_artgan("paint", photo, "--runtime", "tensorflow")
    assert done.returncode == 2
    assert done.stderr == ("artgan: unknown runtime 'tensorflow'; known: torch, onnxruntime, openvino\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "runtime", "extra"),
    [
        pytest.param("onnxruntime", "onnxruntime", "onnxruntime", marks=pytest.mark.exhaustive),
        ("onnx", "onnxruntime", '"artgan[onnx]"'),
        pytest.param("openvino", "openvino", '"artgan[openvino]"', marks=pytest.mark.exhaustive),
    ],
)
def test_a_runtime_that_is_not_installed_is_told_with_the_extra_that_brings_it(
    missing: str, runtime: str, extra: str, tmp_path: Path
) -> None:
    picture(30, 30).save(tmp_path / "photo.png")
    code = f"import sys; sys.modules[{missing!r}] = None; from artgan.cli import main; main()"
    done = subprocess.run(
        # This model has no exported form.
        [
            sys.executable,
            "-c",
            code,
            "paint",
            tmp_path / "photo.png",
            "--runtime",
            runtime,
            "-m",
            "cyclegan.monet-fine",
        ],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"pip install {extra}" in done.stderr


@pytest.mark.exhaustive
def test_openvino_tells_nobody_that_it_is_used(shared_home: Path, tmp_path: Path) -> None:
    """Its telemetry is never imported, no connection is tried, nothing is asked, no file is left in the home."""
    picture(30, 30).save(tmp_path / "photo.png")
    code = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        sys.stderr.write(f"CONNECTS {event} {arguments}\\n")

sys.addaudithook(watch)
import artgan
artgan.load("monet").paint(sys.argv[1], runtime="openvino")
assert "openvino" in sys.modules
assert not [name for name in sys.modules if name.split(".")[0] == "openvino_telemetry"]
"""
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "photo.png")],
        env={**os.environ, "XDG_CACHE_HOME": str(shared_home), "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []
