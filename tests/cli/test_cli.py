"""The real program, run as a subprocess: what it writes, what it says, how it exits."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import processes

import artgan
from artgan.sheets import sheet


def run(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run artgan in ``cwd`` and make sure that it never shows a traceback."""
    of_the_hub = any(name.startswith("HF_") for name in environment)
    start = processes.started_artgan if of_the_hub else processes.artgan
    done = start(*arguments, cwd=cwd, **environment)
    assert "Traceback" not in done.stderr
    return done


def photo(path: Path, size: tuple[int, int] = (50, 38)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.radial_gradient("L").resize(size).convert("RGB").save(path)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_photo_becomes_a_painting_of_its_size_beside_it(tmp_path: Path) -> None:
    photo(tmp_path / "my photo.jpg", (61, 35))
    done = run("paint", "my photo.jpg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "my photo-monet.jpg\n")
    assert done.stderr == ""  # no progress bar where there is no terminal
    with Image.open(tmp_path / "my photo-monet.jpg") as painting, Image.open(tmp_path / "my photo.jpg") as original:
        assert painting.size == original.size
        assert painting.tobytes() != original.tobytes()


@pytest.mark.slow
def test_a_folder_with_a_broken_picture_is_painted_and_the_broken_one_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "deep/c.png"):
        photo(tmp_path / "photos" / name)
    (tmp_path / "photos" / "broken.jpg").write_text("not a picture")
    done = run("paint", "photos", "--recursive", "--batch", "2", "--format", "json", cwd=tmp_path)
    assert done.returncode == 1
    results = json.loads(done.stdout)
    assert [bool(r["output"]) for r in results] == [True, True, False, True]
    assert "photos/broken.jpg: not a picture" in done.stderr
    assert done.stderr.splitlines()[-1] == "artgan: 1 of 4 failed"
    assert files(tmp_path / "photos-monet") == {"a.png", "b.png", "deep/c.png"}


@pytest.mark.slow
def test_nothing_is_overwritten_silently(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "a-monet.png").write_text("precious")
    done = run("paint", "a.png", cwd=tmp_path)
    assert done.returncode == 1
    assert "a-monet.png exists already" in done.stderr
    assert (tmp_path / "a-monet.png").read_text() == "precious"
    skipped = run("paint", "a.png", "--skip-existing", "--format", "json", cwd=tmp_path)
    assert (skipped.returncode, skipped.stderr) == (0, "artgan: 1 of 1 exist already and are skipped\n")
    assert [result["skipped"] for result in json.loads(skipped.stdout)] == [True]
    assert (tmp_path / "a-monet.png").read_text() == "precious"
    assert run("paint", "a.png", "--overwrite", cwd=tmp_path).returncode == 0
    assert size_of(tmp_path / "a-monet.png") == (50, 38)


def huge_png(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.slow
def test_bad_inputs_each_give_one_line_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "zero.png").write_bytes(b"")
    photo(tmp_path / "whole.jpg", (200, 200))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (tmp_path / "whole.jpg").unlink()
    huge_png(tmp_path / "huge.png")
    expected = {
        "absent.jpg": "no such file",
        "empty": "no pictures in it",
        "text.jpg": "not a picture",
        "zero.png": "is empty",
        "cut.jpg": "damaged or incomplete",
        "huge.png": "huge.png: cannot be read",  # a header without pixels
    }
    before = files(tmp_path)
    done = run("paint", *expected, cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(expected) + 1
    for (name, reason), line in zip(expected.items(), lines, strict=False):
        assert name in line
        assert reason in line
    assert done.stdout == ""
    assert files(tmp_path) == before


def test_one_pixel_is_painted(tmp_path: Path) -> None:
    photo(tmp_path / "dot.png", (1, 1))
    assert run("paint", "dot.png", cwd=tmp_path).returncode == 0
    assert size_of(tmp_path / "dot-monet.png") == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "monnet"], "did you mean monet"),
        (["--model", "./monet"], "local-dir:./monet"),
        (["--model", "local-dir:nowhere"], "nowhere: no such folder"),
        (["--model", "hf-hub:org"], "write hf-hub:ORG/NAME"),
        (["--device", "warp"], "device 'warp' cannot be used here"),
        (["-o", "a.png/out"], "a.png"),
        (["-o", "/proc/out"], "/proc/out: this folder cannot be created"),
        (["--batch", "0"], "--batch"),
        (["--skip-existing", "--overwrite"], "replaced or skipped, not both"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_wrong_call_exits_with_2_and_writes_nothing(tmp_path: Path, arguments: list[str], told: str) -> None:
    photo(tmp_path / "a.png")
    done = run("paint", "a.png", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert files(tmp_path) == {"a.png"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "out").mkdir(mode=0o555)
    done = run("paint", "a.png", "-o", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "not permitted to write" in done.stderr


def card(tag: str, **more: object) -> dict[str, object]:
    """A model of the Hub that nobody has, for a registry file."""
    hub = {"repo_id": f"someone/{tag}-net", "revision": "1" * 40, "file": "model.safetensors"}
    weights = {"hub": hub, "sha256": "a" * 64, "size": 12_300_000}
    return {"plugin": "cyclegan", "distribution": "artgan-cyclegan", "alias": tag, "weights": weights, **more}


@pytest.fixture
def mine(tmp_path: Path) -> dict[str, str]:
    """An environment with a registry file: two models on the Hub, one of them in the cache, and one of noise."""
    models = {
        "cyclegan.far": card("far", license={"weights": "cc0-1.0"}, summary="Over the hills"),
        "cyclegan.near": card("near"),
        "ink.noise": card("noise", plugin="ink", distribution="ink-paints", task="noise-to-image"),
    }
    (tmp_path / "mine.yaml").write_text(json.dumps({"schema": 1, "models": models}))  # JSON is YAML too
    cached = tmp_path / "cache" / "models--someone--near-net" / "snapshots" / ("1" * 40) / "model.safetensors"
    cached.parent.mkdir(parents=True)
    cached.touch()
    return {"ARTGAN_REGISTRY": str(tmp_path / "mine.yaml"), "HF_HUB_CACHE": str(tmp_path / "cache")}


def listed(*options: str, cwd: Path, **environment: str) -> dict[str, str]:
    """The models that are listed, each with where its weights are."""
    found = json.loads(run("models", *options, "--format", "json", cwd=cwd, **environment).stdout)
    return {model["name"]: model["availability"] for model in found}


@pytest.mark.slow
def test_models_tells_where_each_is_and_filters(tmp_path: Path, mine: dict[str, str]) -> None:
    states = listed(cwd=tmp_path, **mine)
    assert states["cyclegan.monet"] == "bundled"
    assert states["cyclegan.near"] == "cached"
    assert states["cyclegan.far"] == "remote"
    assert states["ink.noise"] == "not installed"
    rows = run("models", cwd=tmp_path, **mine).stdout.splitlines()
    assert rows[0].split() == ["MODEL", "ALIAS", "PLUGIN", "TASK", "SIZE", "LICENSE", "WEIGHTS"]
    assert [row.split()[0] for row in rows[1:]] == list(states)
    assert all(row.endswith(state) for row, state in zip(rows[1:], states.values(), strict=True))
    [far] = [row.split() for row in rows if row.startswith("cyclegan.far")]
    assert far == ["cyclegan.far", "far", "cyclegan", "image-to-image", "12.3", "MB", "cc0-1.0", "remote"]
    assert list(listed("*.f*r", cwd=tmp_path, **mine)) == ["cyclegan.far"]
    assert list(listed("--plugin", "ink", cwd=tmp_path, **mine)) == ["ink.noise"]
    assert "ink.noise" in listed("--task", "noise-to-image", cwd=tmp_path, **mine)
    both = listed("--task", "image-to-image", "--plugin", "cyclegan", "--cached", cwd=tmp_path, **mine)
    ours = [f"cyclegan.{name}" for name in ("cezanne", "cezanne-fine", "monet", "monet-compact", "monet-fine")]
    assert list(both) == [
        *ours,
        "cyclegan.monet-to-photo",
        "cyclegan.near",
        "cyclegan.vangogh",
        "cyclegan.vangogh-fine",
    ]
    assert run("models", "nothing*", "--format", "json", cwd=tmp_path).stdout == "[]\n"
    wrong = run("models", "--task", "text-to-image", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "noise-to-image" in wrong.stderr


@pytest.mark.slow
def test_show_prints_a_card_to_read_or_to_parse(tmp_path: Path, mine: dict[str, str]) -> None:
    text = run("show", "monet", cwd=tmp_path).stdout
    parsed = json.loads(run("show", "monet", "--format", "json", cwd=tmp_path).stdout)
    assert parsed["name"] == "cyclegan.monet"
    assert {"license", "training", "metrics", "weights", "source"} <= parsed.keys()
    for told in (
        "cyclegan.monet (alias monet)",
        parsed["summary"],
        "artgan paint photo.jpg --model monet",
        parsed["weights"]["bundled"],
        parsed["weights"]["sha256"],
        parsed["source"],
        "apache-2.0",
        str(parsed["metrics"][0]["value"]),
        parsed["training"]["device"],
    ):
        assert told in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 120
    remote = run("show", "far", cwd=tmp_path, **mine).stdout
    assert f"hf-hub:someone/far-net@{'1' * 40}, model.safetensors (remote); 12.3 MB" in " ".join(remote.split())
    assert mine["ARTGAN_REGISTRY"] in remote
    noise = run("show", "noise", cwd=tmp_path, **mine).stdout
    assert "artgan sample noise -o grid.png" in noise
    assert "pip install ink-paints" in noise
    missing = run("show", "monnet", cwd=tmp_path)
    assert missing.returncode == 2
    assert "did you mean monet" in missing.stderr


@pytest.mark.slow
def test_a_faulty_registry_file_is_told_on_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "settings" / "artgan" / "registry.yaml"
    bad.parent.mkdir(parents=True)
    bad.write_text("schema: 1\nmodels: {cyclegan.x: {}}\n")
    told = f"{bad}: cyclegan.x: plugin: is missing"
    users = run("models", cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path / "settings"))
    assert users.returncode == 0
    assert "cyclegan.monet" in users.stdout
    assert users.stderr == f"artgan: {told}\n"
    asked_for = run("models", cwd=tmp_path, ARTGAN_REGISTRY=str(bad))
    assert (asked_for.returncode, asked_for.stdout) == (2, "")
    assert asked_for.stderr == f"artgan: ARTGAN_REGISTRY: {told}\n"


@pytest.mark.slow
def test_plugins_and_doctor(tmp_path: Path) -> None:
    done = run("plugins", cwd=tmp_path)
    assert done.returncode == 0
    [row] = [line for line in done.stdout.splitlines() if line.startswith("cyclegan ")]
    for told in (
        "artgan-cyclegan",
        "0.1",
        "networks",
        "trainer",
        "presets (compact, fast, finisher, one-sided, paper)",
        "model",
    ):
        assert told in row
    found = {plugin["name"]: plugin for plugin in json.loads(run("plugins", "--format", "json", cwd=tmp_path).stdout)}
    assert found["cyclegan"]["problem"] is None
    assert found["cyclegan"]["brings"]["presets"] == ["compact", "fast", "finisher", "one-sided", "paper"]
    disabled = run("plugins", cwd=tmp_path, ARTGAN_DISABLE_PLUGINS="cyclegan")
    assert disabled.returncode == 1
    assert "disabled by ARTGAN_DISABLE_PLUGINS" in disabled.stdout
    faulty = run("doctor", cwd=tmp_path, HF_HUB_OFFLINE="1", ARTGAN_REGISTRY="nowhere.yaml")
    assert faulty.returncode == 1
    assert "FAULT  ARTGAN_REGISTRY: nowhere.yaml: cannot be read" in faulty.stdout
    plainly = run("paint", "x.png", "-m", "cyclegan.monet-fine", cwd=tmp_path, ARTGAN_DISABLE_PLUGINS="*")
    assert plainly.returncode == 2  # this model has no exported form, which would do without the plugin


@pytest.mark.slow
def test_compare_draws_a_sheet_and_names_what_failed(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", (64, 48))
    photo(tmp_path / "b.png", (40, 60))
    done = run("compare", "a.png", "absent.png", "b.png", "--models", "monet", "-o", "sheet.png", cwd=tmp_path)
    assert done.returncode == 1
    assert "absent.png: no such file" in done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 2 * 320
        assert sheet.height > 2 * 60
    again = run("compare", "a.png", "-o", "sheet.png", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.slow
def test_compare_paints_the_photo_at_the_size_of_the_sheet(tmp_path: Path) -> None:
    """The painting on the sheet is that of the photo shrunk by Lanczos' filter."""
    large = Image.radial_gradient("L").resize((400, 300)).convert("RGB")
    large.paste((255, 0, 0), (7, 5, 30, 40))
    large.save(tmp_path / "photo.png")
    done = run("compare", "photo.png", "--models", "monet", "--size", "64", "-o", "sheet.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    small = large.resize((64, 48), Image.Resampling.LANCZOS)
    painting = artgan.load("monet", runtime="auto").paint(small)
    expected = sheet({"photo": [small], "monet": [painting]}, cell=64)
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert np.array_equal(np.asarray(drawn), np.asarray(expected))
