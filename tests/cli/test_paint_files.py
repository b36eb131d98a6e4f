"""``artgan paint`` on files as people have them: what is written, what is said, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from support import films, processes
from support.mirror import install_mirror
from support.odd_pictures import FOREIGN, SIZE, file_bytes, frames, ramp, whole
from support.painting import paint_files

from artgan import images
from artgan.cli import paint as command
from artgan.interfaces import Generator
from artgan.models.loading import load
from artgan.painting import plan


@pytest.fixture(autouse=True)
def mirror(install_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    install_mirror(install_plugin, monkeypatch)


def paint(*words: str | Path, cwd: Path) -> tuple[int, list[str], list[str]]:
    """Exit status, lines of output and of messages of ``artgan paint --model mirror.plain WORDS``."""
    done = processes.artgan("paint", "--model", "mirror.plain", *words, cwd=cwd)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def photo(path: Path, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file_bytes(ramp((64, 48)), "JPEG", **how))
    return path


def inverted(path: Path, source: Path) -> float:
    """The mean difference between a painting and the photo turned around."""
    right = np.asarray(ImageOps.invert(images.decode(source).rgb)).astype(int)
    return float(np.abs(np.asarray(images.decode(path).rgb) - right).mean())


@pytest.mark.slow
def test_a_phones_folder(tmp_path: Path) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    (folder / "IMG_1.HEIC").write_bytes(file_bytes(ramp(), "HEIF", quality=90))
    (folder / "IMG_2.HEIC").write_bytes(file_bytes(ramp(), "JPEG"))
    (folder / "IMG_3.JPG").write_bytes(file_bytes(ramp(), "HEIF", quality=90))
    films.write(folder / "IMG_1.MOV", [films.pattern(n) for n in range(3)])
    (folder / "IMG_1.AAE").write_bytes(FOREIGN["sidecar.aae"])
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "older").mkdir()
    status, out, told = paint("phone", cwd=tmp_path)
    assert (status, out) == (0, [f"phone-plain/IMG_{name}" for name in ("1.HEIC", "1.MOV", "2.HEIC", "3.JPG")])
    assert told == [
        "artgan: passed over 1 (sub-folder, read with --recursive only): phone/older",
        "artgan: passed over 1 (hidden or metadata): phone/.DS_Store",
        "artgan: passed over 1 (not a picture): phone/IMG_1.AAE",
    ]
    made = films.read(tmp_path / "phone-plain" / "IMG_1.MOV").frames
    assert len(made) == 3
    assert np.abs(made[2].astype(int) - (255 - films.pattern(2))).mean() < 8
    for name, kind in (("1.HEIC", "HEIF"), ("2.HEIC", "HEIF"), ("3.JPG", "JPEG")):
        written = tmp_path / "phone-plain" / f"IMG_{name}"
        found = images.recognize(written.read_bytes())
        assert isinstance(found, images.Format)
        assert found.name == kind  # a painting is what its name says
        assert inverted(written, folder / f"IMG_{name}") < 4


@pytest.mark.slow
def test_a_film_on_the_command_line(tmp_path: Path) -> None:
    films.write(tmp_path / "a.mp4", [films.pattern(n) for n in range(4)], sound="aac")
    options = ("-o", "b.webm", "--codec", "vp9", "--quality", "60", "--format", "json")
    status, out, told = paint("a.mp4", *options, cwd=tmp_path)
    [result] = json.loads("\n".join(out))
    assert (status, result["output"], result["size"], result["error"]) == (0, "b.webm", [64, 48], None)
    assert result["note"].startswith("a.mp4: its sound (aac) is encoded again (opus)")
    assert told == [f"artgan: {result['note']}"]
    assert len(films.read(tmp_path / "b.webm").frames) == 4
    photo(tmp_path / "c.jpg")
    for words, message in (
        (("a.mp4", "--codec", "h246"), "--codec: must be one of"),
        (("a.mp4", "-o", "d.jpg"), "a.mp4: is a film, and d.jpg is the name of a picture: write -o NAME.mp4"),
        (("c.jpg", "-o", "d.mp4"), "c.jpg: is a picture, and d.mp4 is the name of a film: write -o NAME.jpg"),
    ):
        status, out, told = paint(*words, cwd=tmp_path)
        assert (status, out, len(told)) == (2, [], 1)
        assert message in told[0]
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"a.mp4", "b.webm", "c.jpg"}
    assert not (tmp_path / "b.webm.part").exists()


def test_many_of_a_kind_are_counted_and_in_json_the_list_holds_paintings_alone(tmp_path: Path) -> None:
    photo(tmp_path / "p" / "a.jpg")
    for index in range(9):
        (tmp_path / "p" / f"{index}.txt").write_text("text")
    status, out, told = paint("p", "--format", "json", cwd=tmp_path)
    assert status == 0
    [result] = json.loads("\n".join(out))
    assert (result["output"], result["note"]) == ("p-plain/a.jpg", None)
    assert told == ["artgan: passed over 9 (not a picture): p/0.txt, p/1.txt, p/2.txt and 6 more"]


@pytest.mark.slow
def test_pictures_that_cannot_be_read_are_failures(tmp_path: Path) -> None:
    photo(tmp_path / "p" / "a.jpg")
    (tmp_path / "p" / "b.heic").write_bytes(b"no picture")
    (tmp_path / "p" / "c.jpg").write_bytes(FOREIGN["clip.mov"])
    status, out, told = paint("p", cwd=tmp_path)
    assert (status, out) == (1, ["p-plain/a.jpg"])
    assert told[0].startswith("artgan: p/b.heic: not a picture")
    assert told[1].startswith("artgan: p/c.jpg: cannot be read as a film")
    assert told[2:] == ["artgan: 2 of 3 failed"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif", ".avif"])
def test_an_animation_is_painted_whole_or_its_first_frame_is_and_that_is_said(tmp_path: Path, suffix: str) -> None:
    first, *rest = frames()
    how: dict[str, Any] = {} if suffix == ".tif" else {"duration": [100, 250, 40, 300]}
    first.save(tmp_path / f"a{suffix}", save_all=True, append_images=rest, **how)
    assert paint(f"a{suffix}", cwd=tmp_path) == (0, [f"a-plain{suffix}"], [])
    with Image.open(tmp_path / f"a{suffix}") as before, Image.open(tmp_path / f"a-plain{suffix}") as after:
        assert before.n_frames == after.n_frames == 4
        for index in range(4):
            before.seek(index)
            after.seek(index)
            one, other = (np.asarray(image.convert("RGB")).astype(int) for image in (before, after))
            assert np.abs(255 - one - other).mean() < 8
            assert before.info.get("duration") == after.info.get("duration")
    told = [f"artgan: a{suffix}: only the first of its 4 frames is in b.jpg"]
    assert paint(f"a{suffix}", "-o", "b.jpg", cwd=tmp_path) == (0, ["b.jpg"], told)
    assert images.decode(tmp_path / "b.jpg").size == SIZE


@pytest.mark.slow
def test_metadata_by_default_without_and_with_the_place(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112], tags[0x8298], tags[0x8825] = 6, "(c) Jane", {1: "N", 2: (48.0, 4.0, 30.0)}
    photo(tmp_path / "a.jpg", exif=tags.tobytes(), dpi=(300, 300))

    def written(*words: str) -> tuple[Any, Any, Any, Any]:
        assert paint("a.jpg", "--overwrite", *words, cwd=tmp_path)[0] == 0
        with Image.open(tmp_path / "a-plain.jpg") as image:
            found = image.getexif()
            return image.size, found.get(0x8298), bool(found.get_ifd(0x8825)), image.info.get("dpi")

    assert written() == ((48, 64), "(c) Jane", False, (300, 300))
    assert written("--keep-location") == ((48, 64), "(c) Jane", True, (300, 300))
    assert written("--no-metadata")[:3] == ((48, 64), None, False)
    assert paint("a.jpg", "--no-metadata", "--keep-location", cwd=tmp_path)[0] == 2
    painting = load("mirror.plain").paint(tmp_path / "a.jpg")
    assert {"exif", "dpi"} <= set(painting.info)


@pytest.mark.parametrize(
    ("source", "words", "expected"),
    [
        (60, (), 85),
        (88, (), 88),
        (100, (), 95),
        (83, ("--quality", "50"), 50),
    ],
)
def test_the_quality_is_the_photos_own_within_bounds(
    tmp_path: Path, source: int, words: tuple[str, ...], expected: int
) -> None:
    photo(tmp_path / "a.jpg", quality=source, subsampling="4:2:2")
    assert paint("a.jpg", *words, cwd=tmp_path)[0] == 0
    picture = images.decode(tmp_path / "a-plain.jpg")
    assert (picture.quality, picture.subsampling) == (expected, "4:2:2")


def test_quality_acts_on_every_lossy_format(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    for suffix in ("jpg", "webp", "avif", "heic", "jxl"):
        sizes = []
        for quality in (20, 95):
            images.encode(noise, tmp_path / f"x.{suffix}", overwrite=True, quality=quality)
            sizes.append((tmp_path / f"x.{suffix}").stat().st_size)
        assert sizes[0] < sizes[1] / 2, suffix


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.tga", "v1.2"])
def test_an_unknown_suffix_is_refused_before_anything_is_painted(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "a.jpg")
    status, out, [told] = paint("a.jpg", "-o", name, cwd=tmp_path)
    assert (status, out) == (2, [])
    assert re.fullmatch(rf"artgan: {name}: cannot write pictures with suffix .* write {name}/", told)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("a", name))] == ["a.jpg"]
    assert paint("a.jpg", "-o", f"{name}/", cwd=tmp_path)[:2] == (0, [f"{name}/a.jpg"])


@pytest.mark.parametrize(
    ("model", "tag"),
    [
        (r"local-dir:C:\runs\monet", "monet"),
        ("local-dir:runs/v1.2", "v1.2"),
        ("local-dir:runs/monet/", "monet"),
        ("hf-hub:someone/monet@refs/pr/1", "monet"),
        ("hf-hub:someone/monet", "monet"),
        ("cyclegan.monet", "monet"),
        ("monet", "monet"),
    ],
)
def test_the_tag_of_a_model(model: str, tag: str) -> None:
    assert command._tag(model) == tag


# ---- anything


def check_folder(folder: Path, out: Path) -> tuple[int, int]:
    """Paint a folder of anything in one call; the numbers of files painted and named."""
    status, written, told = paint(folder.name, "-r", "-o", out.name, cwd=folder.parent)
    files = {str(path.relative_to(folder.parent)) for path in folder.rglob("*") if path.is_file()}
    failures = [line for line in told if not line.startswith("artgan: passed over") and "only the first of" not in line]
    failed = {line.removeprefix("artgan: ").split(": ")[0] for line in failures} & files
    assert status == (1 if failed else 0)
    passed_over = sum(int(line.split()[3].replace(",", "")) for line in told if line.startswith("artgan: passed over"))
    assert len(written) + len(failed) + passed_over == len(files)
    assert {path.relative_to(folder.parent).as_posix() for path in out.rglob("*") if path.is_file()} == set(written)
    for name in written:
        images.decode(folder.parent / name)
    return len(written), len(failed) + passed_over


def write_anything(folder: Path, count: int, seed: int) -> None:
    """Whole, truncated and altered pictures, under any suffix."""
    drawn = np.random.default_rng(seed)
    seeds = [*whole(), *FOREIGN.items()]
    suffixes = [*sorted(images.READABLE), ".txt", ".mov", "", ".dat", ".JPG"]
    for index in range(count):
        name, data = seeds[int(drawn.integers(len(seeds)))]
        kind = drawn.integers(4)
        if kind == 1 and data:
            data = data[: int(drawn.integers(len(data)))]
        elif kind == 2 and data:
            altered = bytearray(data)
            for _ in range(int(drawn.integers(1, 6))):
                altered[int(drawn.integers(len(data)))] = int(drawn.integers(256))
            data = bytes(altered)
        suffix = Path(name).suffix if drawn.integers(2) else suffixes[int(drawn.integers(len(suffixes)))]
        path = folder / ("deep" if index % 5 == 0 else ".") / f"{index:04d} {kind}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.mark.slow
def test_a_folder_of_anything(tmp_path: Path) -> None:
    write_anything(tmp_path / "in", 120, seed=0)
    painted, named = check_folder(tmp_path / "in", tmp_path / "out")
    assert painted > 30
    assert named > 20


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_folder_of_a_thousand_of_anything(tmp_path: Path, seed: int) -> None:
    write_anything(tmp_path / "in", 1000, seed)
    check_folder(tmp_path / "in", tmp_path / "out")


def test_an_error_of_a_model_in_a_frame_is_told_as_such(tmp_path: Path) -> None:
    class Broken(Generator):
        def forward(self, x: Any) -> Any:
            raise ValueError("no brush")

    first, *rest = frames()
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    [result] = paint_files(Broken(), plan([tmp_path / "a.gif"], tag="m"))
    assert result.error == f"{tmp_path / 'a.gif'}: cannot be painted (ValueError: no brush)"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".gif"] == ["a.gif"]
