"""Pictures that are read and written by strips: as those that are painted in memory, and in no more of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.painting import paint, paint_files, paint_large
from torch import Tensor

from artgan import images
from artgan.errors import PictureError
from artgan.interfaces import Generator
from artgan.painting import Saving, plan
from artgan.painting.tiles import Tiling

pytest.importorskip("pyvips", reason='large pictures need pip install "artgan[large]"', exc_type=ImportError)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class Inverter(Generator):
    reach = 0

    def forward(self, x: Tensor) -> Tensor:
        return -x


def noise(mode: str, width: int = 330, height: int = 70) -> Image.Image:
    """Wider than a tile of these tests, of the size that shows which way round it is."""
    random = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65536, (height, width), np.uint16))
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = random.integers(0, 256, (height, width, channels), np.uint8)
    return Image.fromarray(values[:, :, 0] if channels == 1 else values, mode)


def compare(source: Path, target: Path) -> int:
    """Paint the file by strips and in memory; the greatest difference between the paintings."""
    size = paint_large(Inverter(), source, target, tiling=Tiling(64))
    with Image.open(target) as by_strips:
        in_memory = paint(Inverter(), source)
        assert size == by_strips.size == in_memory.size
        assert by_strips.mode == in_memory.mode
        assert by_strips.info.get("icc_profile") == in_memory.info.get("icc_profile")
        assert by_strips.getexif().get(0x0112, 1) == 1
        return int(np.abs(np.asarray(by_strips).astype(int) - np.asarray(in_memory)).max())


def test_among_files_a_picture_that_is_too_large_to_be_read_whole_is_read_by_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 5000)
    monkeypatch.setattr("artgan.images.reading.MAX_PIXELS", 5000)
    noise("RGB", 40, 30).save(tmp_path / "a.png")
    noise("RGB").save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "b.png").read_bytes()[:500])
    noise("RGB").save(tmp_path / "d.webp", lossless=True)
    results = list(paint_files(Inverter(), plan([tmp_path], tmp_path / "out", tag="m"), tiling=Tiling(64)))
    assert [bool(result.error) for result in results] == [False, False, True, True]
    assert "c.png: cannot be read" in (results[2].error or "")
    assert "more pixels than the limit allows" in (results[3].error or "")
    assert results[1].size == (330, 70)
    monkeypatch.undo()
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / "out" / name) as painting:
            assert np.array_equal(painting, paint(Inverter(), tmp_path / name))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "b.png"}


@pytest.mark.parametrize(
    ("mode", "suffix", "profile"),
    [
        ("RGB", ".png", True),
        ("RGB", ".tif", False),
        ("RGB", ".jpg", True),
        ("RGBA", ".png", True),
        ("RGBA", ".tif", False),
        ("L", ".png", False),
        ("LA", ".png", False),
        ("I;16", ".png", False),
    ],
)
def test_a_picture_is_painted_as_in_memory(tmp_path: Path, mode: str, suffix: str, profile: bool) -> None:
    source = tmp_path / f"photo{suffix}"
    noise(mode).save(source, icc_profile=SRGB if profile else None)
    assert compare(source, tmp_path / "painting.png") <= (1 if mode == "I;16" else 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["painting.png", source.name]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(tmp_path: Path, orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artgan.painting.strips._STRIP", 32)
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise("RGB").save(tmp_path / "photo.jpg", exif=exif)
    assert compare(tmp_path / "photo.jpg", tmp_path / "painting.tif") == 0


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_every_format_is_written(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / "photo.png", tmp_path / f"painting{suffix}"
    Image.new("RGBA", (50, 40), (200, 100, 50, 0)).save(source, icc_profile=SRGB)
    paint_large(Inverter(), source, target)
    with Image.open(target) as painting:
        painting.load()
        assert painting.size == (50, 40)
        assert painting.info["icc_profile"] == SRGB
        assert painting.mode == ("RGB" if suffix == ".jpg" else "RGBA")
        if suffix == ".jpg":  # what nobody sees is white there
            assert np.asarray(painting).min() > 250


def test_a_cmyk_picture_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (40, 30), (0, 0, 0, 0)).save(tmp_path / "paper.tif")
    paint_large(Inverter(), tmp_path / "paper.tif", tmp_path / "ink.png")
    with Image.open(tmp_path / "ink.png") as painting:
        assert painting.mode == "RGB"
        assert np.asarray(painting).max() < 5  # white, inverted


# ---- what is refused


def refused(tmp_path: Path, source: Path, target: Path, generator: Generator | None = None) -> str:
    """The one line that tells why; nothing is left behind."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PictureError) as caught:
        paint_large(generator or Inverter(), source, target)
    assert sorted(tmp_path.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_damaged_file_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"photo{suffix}"
    noise("RGB", 300, 300).save(source)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    assert str(source) in refused(tmp_path, source, tmp_path / "painting.png")


def test_other_formats_are_told(tmp_path: Path) -> None:
    noise("RGB").save(tmp_path / "photo.bmp")
    noise("RGB").save(tmp_path / "photo.png")
    assert "BMP" in refused(tmp_path, tmp_path / "photo.bmp", tmp_path / "painting.png")
    assert "BMP" in refused(tmp_path, tmp_path / "photo.png", tmp_path / "painting.bmp")
    assert "no such file" in refused(tmp_path, tmp_path / "none.png", tmp_path / "painting.png")


def test_a_program_of_another_format_is_never_asked(tmp_path: Path) -> None:
    """libvips would read SVG, PDF and more, whatever the file is called."""
    (tmp_path / "photo.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    assert "not a picture" in refused(tmp_path, tmp_path / "photo.png", tmp_path / "painting.png")


def test_floating_point_pixels_are_told(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.float32)).save(tmp_path / "depth.tif")
    assert "float" in refused(tmp_path, tmp_path / "depth.tif", tmp_path / "painting.png")


def test_a_model_that_cannot_paint_in_tiles_is_told(tmp_path: Path) -> None:
    generator = Inverter()
    generator.reach = None
    noise("RGB").save(tmp_path / "photo.png")
    told = refused(tmp_path, tmp_path / "photo.png", tmp_path / "painting.png", generator)
    assert "cannot paint in tiles" in told


def test_a_full_disk_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise("RGB").save(tmp_path / "photo.png")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert "disk" in refused(tmp_path, tmp_path / "photo.png", tmp_path / "painting.png")


def test_too_long_for_a_jpeg_is_told_before_the_work(tmp_path: Path) -> None:
    Image.new("RGB", (66_000, 2)).save(tmp_path / "photo.png")
    assert "write PNG or TIFF" in refused(tmp_path, tmp_path / "photo.png", tmp_path / "painting.jpg")


def test_what_to_install_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise("RGB").save(tmp_path / "photo.png")
    monkeypatch.setitem(sys.modules, "pyvips", None)
    told = refused(tmp_path, tmp_path / "photo.png", tmp_path / "painting.png")
    assert 'pip install "artgan[large]"' in told


def test_an_existing_file_is_replaced_on_request_only(tmp_path: Path) -> None:
    noise("RGB").save(tmp_path / "photo.png")
    (tmp_path / "painting.png").write_bytes(b"mine")
    assert "exists already" in refused(tmp_path, tmp_path / "photo.png", tmp_path / "painting.png")
    paint_large(Inverter(), tmp_path / "photo.png", tmp_path / "painting.png", overwrite=True)
    with Image.open(tmp_path / "painting.png") as painting:
        assert painting.size == (330, 70)


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    class Stopped(Inverter):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyboardInterrupt

    noise("RGB").save(tmp_path / "photo.png")
    with pytest.raises(KeyboardInterrupt):
        paint_large(Stopped(), tmp_path / "photo.png", tmp_path / "painting.png")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


# ---- memory

PROGRAM = """
import json, os, sys
from pathlib import Path

import torch
from artgan.interfaces import Generator
from artgan.painting.strips import paint_large
from artgan.painting.tiles import Tiling
from artgan.models.runtimes.pytorch import TorchNetwork


class Inverter(Generator):
    reach = 0

    def forward(self, x):
        return -x


def peak():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


torch.set_num_threads(1)
peaks = []
for name in sys.argv[1:]:
    paint_large(TorchNetwork(Inverter()), name, name + ".tif", tiling=Tiling(512))
    peaks.append(peak())
held = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink() and os.path.lexists(link)]
print(json.dumps({"peaks": peaks, "held": [name for name in held if "artgan" in name]}))
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_memory_does_not_grow_with_the_picture(tmp_path: Path) -> None:
    """36 megapixels more would be 108 MB, twice, in 8 bits."""
    for name, side in (("small.jpg", 2000), ("large.jpg", 6325)):
        noise("RGB", 50, 50).resize((side, side)).save(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "small.jpg", tmp_path / "large.jpg"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    small, large = found["peaks"]
    assert large - small < 60_000, found  # kB
    assert found["held"] == []  # files that are deleted, but held open, would still fill the disk


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_quality_and_metadata_are_those_of_the_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 5000)
    tags = Image.Exif()
    tags[0x0112], tags[0x8298], tags[0x8825] = 6, "(c) Jane", {1: "N", 2: (48.0, 4.0, 30.0)}
    noise("RGB").save(tmp_path / "a.jpg", exif=tags.tobytes(), dpi=(300, 300), quality=88, subsampling="4:2:0")
    for saving, place in ((Saving(), False), (Saving(location=True), True), (Saving(metadata=False), None)):
        jobs = plan([tmp_path / "a.jpg"], tmp_path / f"b{suffix}", tag="m", overwrite=True)
        [result] = paint_files(Inverter(), jobs, tiling=Tiling(64), saving=saving, overwrite=True)
        assert result.error is None
        with Image.open(tmp_path / f"b{suffix}") as painting:
            painting.load()
            found = painting.getexif()
            assert painting.size == (70, 330)
            assert found.get(0x0112, 1) == 1
            if suffix != ".tif":  # libvips writes no EXIF to TIFF
                assert found.get(0x8298) == (None if place is None else "(c) Jane")
                assert bool(found.get_ifd(0x8825)) == bool(place)
            if place is not None:
                assert [round(value) for value in painting.info["dpi"]] == [300, 300]
            if suffix == ".jpg":
                assert images.jpeg_quality(painting) == (88, "4:2:0")
