"""`artgan data verify`: each fault that was planted is found, and nothing else."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import processes
from support.data import DATA

from artgan.data import PictureFolder, PictureSet
from artgan.data.verify import Report, likeness, near, verify
from artgan.errors import PictureError


def motif(seed: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """A picture of large soft shapes, like no other seed's."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)


def save_set(folder: Path, count: int = 6) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        motif(seed).save(folder / f"{seed}.jpg", quality=95)
    return folder


def kinds(report: Report) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.names for finding in report.findings}


class Kept(PictureSet):
    """Encoded pictures in memory; an error is raised where one is to be read."""

    location = "memory"

    def __init__(self, items: Sequence[bytes | PictureError]) -> None:
        self.items = items
        self.names = [f"{index:03}" for index in range(len(items))]

    def read(self, index: int) -> bytes:
        item = self.items[index]
        if isinstance(item, PictureError):
            raise item
        return item

    def size_in_bytes(self, index: int) -> int:
        return len(self.read(index))


def jpeg(image: Image.Image, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def test_a_clean_set_has_no_findings(tmp_path: Path) -> None:
    report = verify(PictureFolder(save_set(tmp_path)))
    assert report == Report(str(tmp_path), 6, 6, ())
    assert report.ok


# ---- one picture


def plant_truncated(path: Path) -> None:
    data = jpeg(motif(99))
    path.write_bytes(data[: len(data) * 2 // 3])


def plant_text(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>")


def plant_turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    motif(99).save(path, exif=exif)


def plant_deep(path: Path) -> None:
    values = np.asarray(motif(99).convert("L")).astype(np.uint16) * 257
    Image.fromarray(values).save(path, "PNG")


def plant_transparent_color(path: Path) -> None:
    motif(99).save(path, "PNG", transparency=(1, 2, 3))


@pytest.mark.parametrize(
    ("kind", "ok", "plant"),
    [
        ("unreadable", False, plant_truncated),
        ("unreadable", False, plant_text),
        ("unreadable", False, Path.touch),
        ("turned", True, plant_turned),
        ("deep", True, plant_deep),
        ("gray", True, lambda path: motif(99).convert("L").save(path, "JPEG")),
        ("cmyk", True, lambda path: motif(99).convert("CMYK").save(path, "JPEG")),
        ("palette", True, lambda path: motif(99).convert("P").save(path, "PNG")),
        ("transparent", True, lambda path: motif(99).convert("RGBA").save(path, "PNG")),
        ("transparent", True, plant_transparent_color),
        ("odd-size", True, lambda path: motif(99, (80, 64)).save(path, "JPEG")),
        ("copies", False, lambda path: shutil.copy(path.with_name("3.jpg"), path)),
        ("same-pixels", False, lambda path: Image.open(path.with_name("3.jpg")).save(path, "PNG")),
        ("near-copies", False, lambda path: motif(3).save(path, "JPEG", quality=60)),
    ],
)
def test_a_planted_fault_is_found_and_nothing_else(
    tmp_path: Path, kind: str, ok: bool, plant: Callable[[Path], object]
) -> None:
    plant(save_set(tmp_path) / "planted.jpg")
    report = verify(PictureFolder(tmp_path))
    names = ("3.jpg", "planted.jpg") if "copies" in kind or "same" in kind else ("planted.jpg",)
    assert kinds(report) == {kind: names}
    assert report.ok is ok


def test_a_slightly_smaller_copy_is_a_near_copy(tmp_path: Path) -> None:
    motif(3).resize((60, 60)).save(save_set(tmp_path) / "planted.jpg")
    assert kinds(verify(PictureFolder(tmp_path))) == {
        "near-copies": ("3.jpg", "planted.jpg"),
        "odd-size": ("planted.jpg",),
    }


def test_sixteen_bits_of_color_are_seen_though_pillow_reads_eight(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    values = (np.asarray(motif(99), dtype=np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (save_set(tmp_path) / "planted.png").write_bytes(png)
    assert kinds(verify(PictureFolder(tmp_path))) == {"deep": ("planted.png",)}


def test_a_stretched_picture_is_odd_in_size_and_aspect(tmp_path: Path) -> None:
    motif(99, (200, 40)).save(save_set(tmp_path) / "planted.jpg")
    assert kinds(verify(PictureFolder(tmp_path))) == {"odd-size": ("planted.jpg",), "odd-aspect": ("planted.jpg",)}


def test_sizes_that_all_differ_a_little_are_not_odd() -> None:
    report = verify(Kept([jpeg(motif(seed, (64 + seed, 80 - seed))) for seed in range(9)]))
    assert report.findings == ()


def test_what_the_set_cannot_read_is_reported_beside_the_rest() -> None:
    wrong = PictureError("train.tfrecord: record 1: the checksum differs; fetch it again")
    report = verify(Kept([jpeg(motif(0)), wrong, jpeg(motif(1))]))
    assert kinds(report) == {"unreadable": ("001",)}
    assert "the checksum differs" in report.findings[0].text
    assert (report.pictures, report.distinct) == (3, 3)


def test_plain_pictures_are_not_alike_for_being_plain() -> None:
    report = verify(Kept([jpeg(Image.new("RGB", (64, 64), color)) for color in ("black", "white", "red", "navy")]))
    assert report.findings == ()


# ---- repetition


def test_a_set_padded_in_order_has_a_period() -> None:
    items = [jpeg(motif(seed)) for seed in range(7)]
    report = verify(Kept([items[index % 7] for index in range(20)]))
    assert [finding.kind for finding in report.findings] == ["repeated"]
    assert "20 pictures, 7 distinct" in report.findings[0].text
    assert "period 7" in report.findings[0].text
    assert report.findings[0].groups[0] == ("000", "007", "014")
    assert not report.ok


def test_a_set_drawn_with_repetition_has_none() -> None:
    items = [jpeg(motif(seed)) for seed in range(20)]
    drawn = np.random.default_rng(0).integers(20, size=60)
    report = verify(Kept([items[index] for index in drawn]))
    assert [finding.kind for finding in report.findings] == ["repeated"]
    assert f"60 pictures, {len(set(drawn))} distinct" in report.findings[0].text
    assert "period" not in report.findings[0].text


def test_a_copy_of_the_first_at_the_end_is_no_period() -> None:
    items = [jpeg(motif(seed)) for seed in range(5)]
    assert list(kinds(verify(Kept([*items, items[0]])))) == ["copies"]


# ---- likeness


def test_groups_are_those_of_all_pairs_compared_one_by_one() -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((300, 128)) < 0.5
    bits[100:200] = bits[:100] ^ (rng.random((100, 128)) < 0.1)
    expected = np.arange(300)
    for a in range(300):
        for b in range(a):
            if (bits[a] != bits[b]).sum() <= 12:
                expected[expected == expected[a]] = min(expected[a], expected[b])
    assert 10 < 300 - len(set(expected)) < 90
    assert near(bits, 12).tolist() == expected.tolist()


def test_chains_of_near_rows_are_one_group_whatever_their_order() -> None:
    steps = np.tri(40, 128, -1, dtype=bool)  # each row one bit from the next
    order = np.random.default_rng(0).permutation(40)
    assert set(near(steps[order], 1).tolist()) == {0}


def test_likeness_survives_compression_and_tells_motifs_apart() -> None:
    bits = [likeness(motif(seed)) for seed in range(20)]
    assert all(b is not None for b in bits)
    again = likeness(Image.open(io.BytesIO(jpeg(motif(0), 30))).convert("RGB"))
    assert (again != bits[0]).sum() <= 8
    assert min((bits[a] != bits[b]).sum() for a in range(20) for b in range(a)) > 20


def test_real_photographs_are_not_taken_for_copies(tmp_path: Path) -> None:
    paths = sorted((DATA / "photo").glob("*.jpg"))[:100]
    if not paths:
        pytest.skip(f"no photographs in {DATA / 'photo'}")
    for path in paths:
        (tmp_path / path.name).symlink_to(path.resolve())
    with Image.open(paths[50]) as photo:
        photo.save(tmp_path / "again.jpg", quality=60)
    report = verify(PictureFolder(tmp_path))
    assert {kind: set(names) for kind, names in kinds(report).items()} == {"near-copies": {"again.jpg", paths[50].name}}


# ---- command line


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = processes.artgan("data", *arguments)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.slow
def test_exit_status_and_output(tmp_path: Path) -> None:
    folder = save_set(tmp_path / "set")
    motif(99).convert("L").save(folder / "gray\n.png")
    clean = run("verify", folder)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.splitlines() == [
        f"{folder}: 7 pictures, 7 distinct",
        "note (gray): 1 picture kept as gray",
        r"    gray\n.png",
    ]
    (folder / "broken.jpg").write_bytes(b"no picture")
    shutil.copy(folder / "1.jpg", folder / "one.jpg")
    doubtful = run("verify", folder, "--format", "json")
    assert doubtful.returncode == 1
    report = json.loads(doubtful.stdout)
    assert (report["pictures"], report["distinct"], report["ok"]) == (9, 8, False)
    assert {finding["kind"]: finding["names"] for finding in report["findings"]} == {
        "unreadable": ["broken.jpg"],
        "copies": ["1.jpg", "one.jpg"],
        "gray": ["gray\n.png"],
    }
    missing = run("verify", tmp_path / "nowhere")
    assert missing.returncode == 2
    assert missing.stderr.startswith("artgan: ")


def test_what_a_set_passes_over_is_a_note(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "teal").save(tmp_path / "a.png")
    for number in range(5):
        (tmp_path / f"._{number}.png").touch()
    report = verify(PictureFolder(tmp_path))
    assert report.ok
    assert report.pictures == 1
    assert [(each.kind, each.level, each.text) for each in report.findings] == [
        ("passed-over", "note", "5 hidden or metadata files and folders")
    ]
    assert report.findings[0].names == ("._0.png", "._1.png", "._2.png")
