"""Sets that are not perfect: what is left out, what a run draws instead, and resuming where sets or options changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from support import processes

from artgan.config import option, parse, resumable_options
from artgan.data import PictureFolder
from artgan.data.crops import Batch, Draws, Failure, center_crops
from artgan.discovery import load_plugin, resolve
from artgan.errors import TrainingError
from artgan.training import checkpoint, loop
from artgan.training.left_out import LeftOut, read_left_out
from artgan.training.options import AdversarialOptions, TrainingOptions
from artgan.training.sets import as_used, look_through, read_stored
from artgan.training.verification import Verification

TINY = ["--width", "4", "--blocks", "1", "--discriminator-width", "4", "--pool", "2", "--size", "32"]
TINY += ["--log-every", "1", "--device", "cpu"]


def save(path: Path, seed: int, side: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side + 8, 3), dtype=np.uint8)).save(path)
    return path


def damage(path: Path) -> Path:
    """Damage the middle, which neither header nor end shows."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    return path


def make_sets(root: Path, photos: int = 5, paintings: int = 3) -> dict[str, Path]:
    for name, count in (("photos", photos), ("paintings", paintings)):
        for index in range(count):
            save(root / name / f"{index}.png", index + len(name))
    return {name: root / name for name in ("photos", "paintings")}


def train(*arguments: str | Path, code: int = 0, cwd: Path | None = None) -> str:
    """What ``artgan train cyclegan`` says on standard error."""
    done = processes.artgan("train", "cyclegan", *arguments, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def given(sets: dict[str, Path]) -> list[str]:
    return [word for name, folder in sets.items() for word in (f"--{name}", str(folder))]


def same_run(one: Path, other: Path) -> None:
    for name in ("log.jsonl", "left_out.jsonl", "model/model.safetensors", "model-photos/model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


# ---- pictures that cannot be read


@pytest.mark.slow
def test_a_run_with_damaged_pictures_is_exactly_resumable_even_without_them(tmp_path: Path) -> None:
    sets = make_sets(tmp_path, 14)
    damage(sets["photos"] / "11.png")  # found when it is drawn
    truncated = sets["photos"] / "2.png"
    truncated.write_bytes(truncated.read_bytes()[:-500])  # found before
    (sets["photos"] / "0.png").write_bytes(b"")
    options = [*given(sets), *TINY, "--steps", "12", "--batch", "2", "--checkpoint-every", "4", "--keep", "9"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    told = train(*options, "-o", whole, "--workers", "2")
    assert "0.png: is empty (0 bytes)" in told
    assert told.count(" 11.png") == told.count(" 2.png") == 1
    found = lines(whole / "left_out.jsonl")
    assert [(line["domain"], line["name"]) for line in found] == [
        ("photos", "0.png"),
        ("photos", "2.png"),
        ("photos", "11.png"),
    ]
    step = found[2]["step"]
    assert [line["step"] for line in found] == [0, 0, step]
    assert step > 0
    assert f"step {step}: left out, another is drawn in its place: {sets['photos']}: 11.png" in told
    assert yaml.safe_load((whole / "config.yaml").read_text())["data"]["photos"]["pictures"] == 12

    # Killed after the first checkpoint, the unreadable pictures removed, resumed in another way of loading.
    shutil.copytree(whole, parts)
    for lost in (8, 12):
        shutil.rmtree(parts / "checkpoints" / f"step-{lost:08d}")
    for name in ("0.png", "2.png", "11.png"):
        (sets["photos"] / name).unlink()
    assert "left out" not in train("-o", parts, "--resume", "--workers", "0")
    same_run(whole, parts)


@pytest.mark.slow
def test_what_is_left_out_before_the_first_step_is_named_within_bounds(tmp_path: Path) -> None:
    sets = make_sets(tmp_path)
    for number in range(13):
        (sets["paintings"] / f"empty-{number:02d}.jpg").touch()
    save(sets["paintings"] / ".thumbnails" / "x.png", 1)
    Image.new("RGB", (4, 4)).save(sets["photos"] / "pixel.gif")
    told = train(*given(sets), *TINY, "--steps", "1", "--workers", "0", "-o", tmp_path / "run")
    assert told.count("is empty (0 bytes)") == 10
    assert f"paintings: and 3 more are left out; {tmp_path / 'run' / 'left_out.jsonl'} lists all" in told
    assert "pixel.gif: 4 x 4 pixels are too small to train on (at least 8 a side)" in told
    names = [line["name"] for line in lines(tmp_path / "run" / "left_out.jsonl")]
    assert names == ["pixel.gif", *(f"empty-{number:02d}.jpg" for number in range(13))]
    assert lines(tmp_path / "run" / "sessions.jsonl")[0]["passed_over"] == {
        "paintings": {"hidden or metadata file or folder": 1}
    }
    page = (tmp_path / "run" / "report.html").read_text()
    assert "empty-12.jpg" in page
    assert "paintings: 1 hidden or metadata file or folder" in page

    for picture in sets["photos"].iterdir():
        picture.write_bytes(b"no picture")
    told = train(*given(sets), *TINY, "--steps", "1", "-o", tmp_path / "none", code=2)
    assert f"{sets['photos']}: none of its 6 pictures can be used: " in told
    assert told.count("\n") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_set_with_many_damaged_pictures_stops_the_run(tmp_path: Path, workers: str) -> None:
    sets = make_sets(tmp_path, 9)
    for number in range(4):
        damage(sets["photos"] / f"{number}.png")
    told = train(*given(sets), *TINY, "--steps", "90", "-o", tmp_path / "run", "--workers", workers, code=2)
    last = told.splitlines()[-1]
    assert f"pictures drawn from {sets['photos']}, over a tenth, cannot be read (" in last
    assert "artgan data verify" in last
    assert read_left_out(tmp_path / "run")["photos"] >= {"0.png", "1.png", "2.png"}


def test_one_damaged_picture_of_a_small_set_does_not_stop_a_run() -> None:
    class Names:
        names = ("a", "b", "c", "d", "e", "f")
        location = "set"

    written: list[Any] = []

    class Journal:
        def append(self, name: str, line: dict[str, Any]) -> None:
            written.append((name, line))

    class Alone:
        num_processes, is_main_process = 1, True

    def watched(*places: int) -> LeftOut:
        left_out = LeftOut(Journal(), {"x": Names()}, Alone(), {})  # type: ignore[arg-type, dict-item]  # stubs
        picture = {"x": torch.zeros(1, 3, 8, 8)}
        batches = [Batch(picture, [Failure("x", places[n % len(places)], "bad")]) for n in range(60)]
        list(left_out.watched(iter(batches), 4, 2))
        left_out.flush()
        return left_out

    watched(1, 2)
    assert written == [
        ("left_out", {"step": 5, "domain": "x", "name": "b", "reason": "bad"}),
        ("left_out", {"step": 5, "domain": "x", "name": "c", "reason": "bad"}),
    ]
    with pytest.raises(TrainingError, match=r"^step 9: 10 of 20 pictures drawn from set, over a tenth"):
        watched(0, 1, 2)


def test_what_replaces_an_unreadable_picture_depends_on_the_batch_alone(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{index}.png", index, side=8) for index in range(6)]
    for index in (1, 4):
        damage(paths[index])
    pictures = PictureFolder(tmp_path)
    draws = Draws({"photos": pictures}, size=8, batch=3, seed=5, batches=50, process=1)
    for number in (7, 3, 40):  # in any order
        rng = np.random.default_rng((5, 1, number))
        expected, failed = [], []
        while len(expected) < 3:
            index = int(rng.integers(6))
            if index in (1, 4):
                failed.append(index)
                continue
            left = int(rng.integers(9))
            assert int(rng.integers(1)) == 0
            crop = np.asarray(pictures[index])[:, left : left + 8]
            expected.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        batch = draws[number]
        assert batch.complete
        assert [failure.place for failure in batch.failures] == failed
        assert np.array_equal(batch.pictures["photos"].permute(0, 2, 3, 1).numpy(), np.stack(expected))


def test_a_set_of_nothing_but_damaged_pictures_gives_no_batch(tmp_path: Path) -> None:
    damage(save(tmp_path / "a.png", 0))
    batch = Draws({"photos": PictureFolder(tmp_path)}, size=8, batch=1, seed=0, batches=1)[0]
    assert not batch.complete
    assert batch.pictures == {}
    assert {failure.domain for failure in batch.failures} == {"photos"}


def test_sheets_show_the_next_picture_in_place_of_a_damaged_one(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"{index}.png", index)
    plain = center_crops(PictureFolder(tmp_path), 4, 16)
    damage(tmp_path / "1.png")
    damage(tmp_path / "3.png")
    failed: list[int] = []
    crops = center_crops(PictureFolder(tmp_path), 4, 16, failed=lambda index, reason: failed.append(index))
    assert torch.equal(crops, plain[[0, 2, 2, 0]])
    assert failed == [1, 3]


def test_verification_finds_damage_in_the_background(tmp_path: Path) -> None:
    sets = {name: PictureFolder(folder) for name, folder in make_sets(tmp_path).items()}
    damage(tmp_path / "photos" / "3.png")
    damage(tmp_path / "paintings" / "0.png")
    verification = Verification(sets)
    verification._thread.join(60)
    assert [found[:2] for found in verification.found()] == [("photos", "3.png"), ("paintings", "0.png")]
    assert not list(verification.found())
    verification.close()


@pytest.mark.slow
def test_verify_names_a_picture_that_was_never_drawn(tmp_path: Path) -> None:
    sets = make_sets(tmp_path, 40)
    damage(sets["photos"] / "32.png")
    options = [*given(sets), *TINY, "--steps", "6", "--workers", "0", "-o"]
    assert "left out" not in train(*options, tmp_path / "without")
    assert "32.png" in train(*options, tmp_path / "with", "--verify")
    assert [line["name"] for line in lines(tmp_path / "with" / "left_out.jsonl")] == ["32.png"]
    assert (tmp_path / "with" / "log.jsonl").read_bytes() == (tmp_path / "without" / "log.jsonl").read_bytes()


# ---- sets that moved or changed


@pytest.mark.slow
def test_a_run_goes_on_where_its_pictures_have_moved(tmp_path: Path) -> None:
    sets = make_sets(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    options = ["--photos", "photos", "--paintings", "paintings", *TINY, "--workers", "0"]
    train(*options, "--steps", "2", "-o", tmp_path / "start", cwd=tmp_path)
    train("-o", tmp_path / "start", "--resume", "--steps", "4", cwd=tmp_path / "elsewhere")  # by the absolute path
    moved = sets["photos"].rename(tmp_path / "elsewhere" / "moved")
    told = train("-o", tmp_path / "start", "--resume", "--steps", "6", code=2)
    assert "photos: no such folder or file; if the photos have moved, give --photos DIR" in told
    train("-o", tmp_path / "start", "--resume", "--steps", "6", "--photos", "moved", cwd=tmp_path / "elsewhere")
    stored = yaml.safe_load((tmp_path / "start" / "config.yaml").read_text())["data"]["photos"]
    assert (stored["folder"], stored["path"]) == ("moved", str(moved))
    assert stored["fingerprint"] == PictureFolder(moved).fingerprint()


@pytest.mark.slow
def test_changed_sets_are_named_and_may_be_accepted(tmp_path: Path) -> None:
    sets, out = make_sets(tmp_path, 9, 5), tmp_path / "run"
    train(*given(sets), *TINY, "--workers", "0", "--steps", "4", "--held-out", "3", "-o", out)
    held_out = json.loads((out / "pictures.json").read_text())["photos"]["held_out"]
    assert held_out == ["0.png", "3.png", "6.png"]
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for index in range(7):
        save(sets["photos"] / f"new-{index}.png", 50 + index)
    (sets["photos"] / "3.png").unlink()
    before = (sets["photos"] / "5.png").stat().st_size
    save(sets["photos"] / "5.png", 99)
    assert (sets["photos"] / "5.png").stat().st_size == before  # noise: another content of the same size
    told = train("-o", out, "--resume", "--steps", "6", code=2)
    assert told.count("\n") == 1
    assert (
        "photos: 7 added (new-0.png, new-1.png, new-2.png, new-3.png, new-4.png and 2 more); 1 removed (3.png); "
        "1 changed (5.png)"
    ) in told
    assert "--accept-changes" in told
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept

    train("-o", out, "--resume", "--steps", "6", "--accept-changes")
    session = lines(out / "sessions.jsonl")[-1]
    assert session["step"] == 4
    assert session["changed_pictures"] == {
        "photos": {"added": [f"new-{n}.png" for n in range(7)], "removed": ["3.png"], "changed": ["5.png"]}
    }
    assert json.loads((out / "pictures.json").read_text())["photos"]["held_out"] == ["0.png", "6.png"]
    assert "7 added, 1 removed, 1 changed" in (out / "report.html").read_text()
    train("-o", out, "--resume", "--steps", "7")
    assert "changed_pictures" not in lines(out / "sessions.jsonl")[-1]


def test_without_resume_there_is_nothing_to_accept(tmp_path: Path) -> None:
    told = train("-o", tmp_path / "run", "--accept-changes", "--photos", "x", "--paintings", "y", code=2)
    assert told == "artgan: --accept-changes needs --resume\n"


def test_a_run_without_a_list_of_pictures_is_compared_by_fingerprint(tmp_path: Path) -> None:
    sets = make_sets(tmp_path)
    data = {"photos": {"fingerprint": PictureFolder(sets["photos"]).fingerprint()}}
    stored = read_stored(tmp_path, data)["photos"]
    assert not as_used(look_through(sets["photos"], 32), stored).change
    (sets["photos"] / "0.png").write_bytes(b"")  # and one that drew from an empty file too
    data = {"photos": {"fingerprint": PictureFolder(sets["photos"]).fingerprint()}}
    used = as_used(look_through(sets["photos"], 32), read_stored(tmp_path, data)["photos"])
    assert not used.change
    assert len(used.pictures) == 5
    (sets["photos"] / "1.png").unlink()
    assert as_used(look_through(sets["photos"], 32), read_stored(tmp_path, data)["photos"]).change


def test_a_damaged_list_of_pictures_is_one_line(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"photos": 3}', '{"photos": {"pictures": {"a": 1}}}'):
        (tmp_path / "pictures.json").write_text(text)
        with pytest.raises(TrainingError, match="damaged list"):
            read_stored(tmp_path, {"photos": {"fingerprint": "0"}})


# ---- options that change


@pytest.mark.slow
def test_options_that_change_no_network_may_change_and_are_recorded(tmp_path: Path) -> None:
    sets, out = make_sets(tmp_path), tmp_path / "run"
    train(*given(sets), *TINY, "--workers", "0", "--steps", "8", "--decay-from", "1", "-o", out)
    shutil.copytree(out, tmp_path / "unchanged")
    more = ["--resume", "--steps", "10", "--lr", "1e-5", "--beta1", "0.8", "--lambda-cycle", "3", "--sample-every", "1"]
    train("-o", out, *more)
    rates = [line["rates"]["generators"] for line in lines(out / "log.jsonl")]
    assert rates == pytest.approx([2e-4] * 8 + [1e-5] * 2)
    assert lines(out / "sessions.jsonl")[1]["changed"] == {
        "lr": [0.0002, 1e-05],
        "beta1": [0.5, 0.8],
        "lambda_cycle": [10.0, 3.0],
        "steps": [8, 10],
        "sample_every": [None, 1],
    }
    assert "lr: 0.0002 became 1e-05" in (out / "report.html").read_text()
    assert yaml.safe_load((out / "config.yaml").read_text())["config"]["lr"] == 1e-5
    state = checkpoint.load(out / "checkpoints" / "step-00000010", "shared")
    assert [o["param_groups"][0]["betas"][0] for o in state["optimizers"].values()] == [0.8, 0.8]
    assert (out / "samples" / "step-00000009.jpg").exists()

    # What must not change is refused by name, and nothing is written.
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for option_, value, why in (
        ("width", "8", "--width was 4, now 8"),
        ("batch", "2", "--batch was 1, now 2"),
        ("lambda-cycle", "0", "cannot resume with another lambda_cycle: the networks"),
    ):
        told = train("-o", out, "--resume", f"--{option_}", value, code=2)
        assert why in told
        assert told.count("\n") == 1
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept


def test_what_may_change_is_inherited_by_a_field_that_is_declared_anew() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Config(AdversarialOptions):
        lr: float = option(1e-3, "the same with another default")
        beta1: float = option(0.5, "here the trainer's state depends on it", resumable=False)
        depth: int = option(3, "layers")
        lambda_own: float = option(1.0, "a weight", resumable=True)

    assert resumable_options(Config) >= {"lr", "lambda_own", "r1"}
    assert not resumable_options(Config) & {"beta1", "depth", "spectral_norm", "discriminator_steps"}


# ---- a stop


@pytest.mark.slow
def test_a_stop_shows_where_it_was_and_leaves_no_trace_once_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = make_sets(tmp_path, 5, 4)
    plugin = load_plugin("cyclegan")
    config = parse(resolve(plugin, "config"), {"width": 4, "blocks": 1, "discriminator_width": 4}, where="cyclegan")
    values = {"size": 32, "device": "cpu", "workers": 0, "steps": 9, "log_every": 4, "sample_every": 6}
    options = parse(
        TrainingOptions, values | {"metrics": "style-filters", "metrics_every": 6, "metrics_on": 4}, where="training"
    )

    def run(out: Path, **more: Any) -> Path | None:
        return loop.train(plugin, config, options, sets, out, **more)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole)
    with monkeypatch.context() as patched:
        patched.setattr(loop.Schedule, "after", _stopping_at(loop.Schedule.after, 3))
        assert run(parts) is None
    assert [line["step"] for line in lines(parts / "log.jsonl")] == [3]
    assert [line["step"] for line in lines(parts / "metrics.jsonl")] == [3]
    assert {path.name for path in (parts / "samples").glob("*.jpg")} == {"step-00000000.jpg", "step-00000003.jpg"}
    assert "step 3, epoch 0.60" in (parts / "report.html").read_text()
    assert run(parts, resume=True) == parts / "model"
    for name in ("log.jsonl", "metrics.jsonl", "model/model.safetensors"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    sheets = {path.name: path.read_bytes() for path in (whole / "samples").iterdir()}
    assert {path.name: path.read_bytes() for path in (parts / "samples").iterdir()} == sheets


def _stopping_at(after: Callable[..., Any], stop: int) -> Callable[..., Any]:
    return lambda schedule, step, *, interrupted=False: after(schedule, step, interrupted=step == stop)
