"""`artgan data explore`: statistics against numpy, odd pictures found, a page that stands by itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from support import processes
from support.data import DATA

from artgan.data import PictureFolder
from artgan.data.explore import Sums, canvas, explore
from artgan.errors import PictureError
from artgan.reports.data import write_report


def motif(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)


def save_set(folder: Path, count: int = 5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        motif(seed).save(folder / f"{seed}.png")
    return folder


def test_sums_are_those_of_the_stack() -> None:
    stack = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    stack[:, 0] = 255  # no variance, the largest squares
    sums = Sums(8)
    for square in stack:
        sums.add(square)
    statistics = sums.statistics()
    assert statistics.count == 30
    assert (statistics.minimum == stack.min(axis=0)).all()
    assert (statistics.maximum == stack.max(axis=0)).all()
    np.testing.assert_allclose(statistics.mean, stack.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(statistics.variance, stack.var(axis=0), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(statistics.deviation, stack.std(axis=0), rtol=1e-12, atol=1e-10)
    assert (statistics.variance[0] == 0).all()


def test_one_pass_over_a_folder(tmp_path: Path) -> None:
    save_set(tmp_path)
    Image.new("RGB", (48, 48), "black").save(tmp_path / "dark.png")
    Image.new("RGB", (48, 48), "white").save(tmp_path / "light.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    pictures = PictureFolder(tmp_path)
    found = explore(pictures, size=32, odd=2)
    good = [pictures[index] for index, name in enumerate(pictures.names) if name != "broken.jpg"]
    stack = np.array([ImageOps.fit(picture, (32, 32), Image.Resampling.BICUBIC) for picture in good])
    np.testing.assert_allclose(found.statistics.variance, stack.var(axis=0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.statistics.mean, stack.mean(axis=0), rtol=1e-12)
    for channel in range(3):
        assert (found.colors[channel] == np.bincount(stack[..., channel].ravel(), minlength=256)).all()
    assert found.brightness.sum() == stack[..., 0].size
    assert len(found.darkest) == 2
    assert found.darkest[0].name == "dark.png"
    assert found.brightest[0].name == "light.png"
    assert {thumbnail.name for thumbnail in found.unlike} == {"dark.png", "light.png"}
    assert [look.name for look in found.looks] == pictures.names
    assert "unreadable" in {finding.kind for finding in found.report.findings}
    assert len(found.sheet) == 7


def test_a_set_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="none of its pictures can be read"):
        explore(PictureFolder(tmp_path))


# ---- canvases


def on_ground(shape: str, box: tuple[int, int, int, int], ground: str | Image.Image = "white") -> Image.Image:
    picture = Image.new("RGB", (200, 150), ground) if isinstance(ground, str) else ground.copy()
    mask = Image.new("L", picture.size)
    getattr(ImageDraw.Draw(mask), shape)(box, fill=255)
    painting = Image.fromarray(np.asarray(motif(1, picture.size)) // 3)  # dark on a bright ground
    picture.paste(painting, mask=mask)
    return picture


def test_ovals_and_borders_are_told_apart() -> None:
    wall = Image.merge("RGB", [Image.linear_gradient("L").resize((200, 150)).point(lambda v: 190 + v // 4)] * 3)
    assert canvas(on_ground("ellipse", (2, 2, 198, 148))) == "oval"
    assert canvas(on_ground("ellipse", (40, 20, 160, 130))) == "oval"
    assert canvas(on_ground("ellipse", (10, 10, 190, 140), wall)) == "oval"
    assert canvas(on_ground("rectangle", (20, 15, 180, 120))) == "bordered"


@pytest.mark.parametrize("seed", range(10))
def test_ordinary_pictures_have_neither(seed: int) -> None:
    assert canvas(motif(seed, (200, 150))) is None


def test_plain_and_dark_cornered_pictures_have_neither() -> None:
    assert canvas(Image.new("RGB", (64, 64), "navy")) is None
    assert canvas(ImageOps.invert(Image.radial_gradient("L")).convert("RGB")) is None
    assert canvas(on_ground("ellipse", (90, 60, 110, 80))) is None  # a sun


def test_the_round_canvases_of_monet_are_found() -> None:
    names = ("01182.jpg", "01183.jpg", "00001.jpg", "00946.jpg")
    if not all((DATA / "monet" / name).is_file() for name in names):
        pytest.skip(f"no paintings in {DATA / 'monet'}")
    assert [canvas(Image.open(DATA / "monet" / name).convert("RGB")) for name in names] == ["oval", "oval", None, None]


# ---- the page


@pytest.mark.slow
def test_the_page_needs_nothing_from_outside_and_escapes_names(tmp_path: Path) -> None:
    folder = save_set(tmp_path / "<i>set & more")
    evil = "<script>alert(1)<" + '∕script>" onerror=".png'
    motif(3).convert("L").save(folder / evil)
    on_ground("ellipse", (2, 2, 198, 148)).save(folder / "oval.png")
    write_report(explore(PictureFolder(folder), size=32), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert 'onerror="' not in page
    sources = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s>)]+)""", page)
    assert {source[:5] for source in sources} <= {"data:"} | {source[:5] for source in sources if source[0] == "#"}
    for word in ("Variance", "Standard deviation", "oval.png", "1 found", "width in pixels", "gray"):
        assert word in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["<i>set & more", "report.html"]


@pytest.mark.slow
def test_command_line(tmp_path: Path) -> None:
    save_set(tmp_path / "set")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        done = processes.artgan("data", "explore", *arguments)
        assert "Traceback" not in done.stderr
        return done

    done = run(tmp_path / "set", "-o", tmp_path / "report.html")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'report.html'}\n")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    unwritable = run(tmp_path / "set", "-o", tmp_path / "nowhere" / "report.html")
    assert unwritable.returncode == 2
    assert unwritable.stderr.startswith(f"artgan: {tmp_path / 'nowhere'}")
    assert run(tmp_path / "nothing", "-o", tmp_path / "other.html").returncode == 2
