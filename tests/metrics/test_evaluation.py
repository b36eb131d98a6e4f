"""Scores of folders: what is read, skipped, kept and told; the command as people call it."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.data import VGG19_WEIGHTS, needs_data
from support.processes import artgan

from artgan import images
from artgan.data import PictureFolder
from artgan.errors import ConfigError, PictureError, PluginError, WeightsError
from artgan.metrics.evaluation import Evaluator, pairs
from artgan.metrics.extraction import extract, scan
from artgan.metrics.extractors import Filters, load_extractor


def write(folder: Path, count: int, *, seed: int, size: tuple[int, int] = (64, 64), tint: float = 0.0) -> Path:
    """A folder of smooth noise pictures, red by ``tint``."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        pixels = rng.integers(0, 256, (8, 8, 3)).astype(float)
        pixels[..., 0] = pixels[..., 0] * (1 - tint) + 255 * tint
        Image.fromarray(pixels.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC).save(
            folder / f"{number:03d}.png"
        )
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "artgan" / "features"


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write(tmp_path / "real", 24, seed=0)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    return write(tmp_path / "fake", 20, seed=1, tint=0.5)


# ---- features of a set


def test_features_are_those_of_each_picture_alone(real: Path) -> None:
    """Whatever batches they went through in, and of whatever sizes they are."""
    Image.open(real / "003.png").resize((200, 90)).save(real / "003.png")
    pictures, extractor = PictureFolder(real), Filters(size=64)
    found = extract(scan(pictures), extractor)
    assert found.shape == (24, 78)
    assert found.dtype == torch.float32
    for place in (0, 3, 23):
        alone = extractor(extractor.prepare(pictures[place])[None])[0]
        torch.testing.assert_close(found[place], alone)


def test_features_are_kept_by_content(real: Path, cache: Path, tmp_path: Path) -> None:
    extractor = Filters(size=64)
    first = extract(scan(PictureFolder(real)), extractor).clone()
    (kept,) = cache.iterdir()
    # The same pictures elsewhere, under other names: nothing is computed.
    moved = tmp_path / "moved"
    shutil.copytree(real, moved)
    for path in sorted(moved.iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    np.save(kept, np.full((24, 78), 7.0, np.float32))
    assert torch.equal(extract(scan(PictureFolder(moved)), extractor), torch.full((24, 78), 7.0))
    # One changed, or another extractor: all anew.
    Image.new("RGB", (64, 64)).save(moved / "x000.png")
    assert torch.equal(extract(scan(PictureFolder(moved)), extractor)[1:], first[1:])
    assert torch.equal(extract(scan(PictureFolder(real)), Filters(size=65))[0] == 7, torch.zeros(78) > 0)
    # Kept by nobody where nobody wants it.
    count = len(list(cache.iterdir()))
    assert torch.equal(extract(scan(PictureFolder(real)), extractor, cache=False), first)
    assert len(list(cache.iterdir())) == count


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_cache_is_made_anew(real: Path, cache: Path, damage: bytes | None) -> None:
    readable, extractor = scan(PictureFolder(real)), Filters(size=64)
    first = extract(readable, extractor).clone()
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:200] if damage is None else damage)
    assert torch.equal(extract(readable, extractor), first)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((24, 78)),  # float64
        np.zeros(24, np.float32),
        np.array("text"),
        np.full((24, 78), np.nan, np.float32),
        np.zeros((23, 78), np.float32),
        np.zeros((24, 77), np.float32),
        np.asfortranarray(np.zeros((24, 78), np.float32)),
    ],
    ids=["wide", "flat", "text", "nan", "few", "narrow", "turned"],
)
def test_a_cache_of_something_else_is_made_anew(real: Path, cache: Path, rows: np.ndarray) -> None:
    readable, extractor = scan(PictureFolder(real)), Filters(size=64)
    first = extract(readable, extractor).clone()
    (kept,) = cache.iterdir()
    np.save(kept, rows)
    assert torch.equal(extract(readable, extractor), first)


def test_a_cache_that_cannot_be_written_is_done_without(real: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder would be")
    assert extract(scan(PictureFolder(real)), Filters(size=64)).shape == (24, 78)


def test_broken_pictures_are_left_out_and_named(real: Path) -> None:
    (real / "005.png").write_bytes(b"no picture")
    (real / "007.png").write_bytes((real / "007.png").read_bytes()[:300])
    readable = scan(PictureFolder(real))
    assert len(readable) == 22
    assert "005.png" not in readable.names
    assert ["005.png" in problem for problem in readable.skipped] == [True, False]
    assert extract(readable, Filters(size=64)).shape == (22, 78)


def test_a_limit_takes_pictures_evenly(real: Path) -> None:
    readable = scan(PictureFolder(real), limit=4)
    assert readable.names == ["000.png", "006.png", "012.png", "018.png"]


def test_pairs_go_by_name(tmp_path: Path) -> None:
    photos, paintings = write(tmp_path / "photos", 5, seed=0), write(tmp_path / "paintings", 4, seed=1)
    (paintings / "003.png").rename(paintings / "zzz.png")
    (photos / "000.png").rename(photos / "000.jpeg")
    sets = [scan(PictureFolder(folder)) for folder in (photos, paintings)]
    found = pairs(*sets)
    names = [[s.names[i] for i in places] for s, places in zip(sets, found, strict=True)]
    assert names == [["000.jpeg", "001.png", "002.png"], ["000.png", "001.png", "002.png"]]
    for path in paintings.iterdir():
        path.rename(path.with_name(f"other-{path.name}"))
    with pytest.raises(ConfigError, match="share no name"):
        pairs(sets[0], scan(PictureFolder(paintings)))


# ---- scores of sets


def score(evaluator: Evaluator, fake: Path, name: str) -> Any:
    evaluation = evaluator.evaluate(fake, [name])
    assert not evaluation.failed
    return evaluation.scores[0]


def test_style_tells_another_color_from_the_same_kind(real: Path, fake: Path, tmp_path: Path) -> None:
    evaluator = Evaluator(real=real, size=64)
    same = score(evaluator, write(tmp_path / "same", 20, seed=2), "style-filters")
    other = score(evaluator, fake, "style-filters")
    assert other.value > 10 * abs(same.value)
    assert other.n == (24, 20)
    assert other.details["extractor"] == "filters"
    assert "64 x 64" in other.details["resize"]
    assert other.interval[0] < other.value < other.interval[1]


def test_a_metric_needs_its_sets(fake: Path) -> None:
    with pytest.raises(ConfigError, match="style-filters needs real pictures"):
        Evaluator().evaluate(fake, ["style-filters"])
    with pytest.raises(ConfigError, match="content needs the photos"):
        Evaluator(real=fake).evaluate(fake, ["content"])


def test_one_score_that_cannot_be_had_does_not_stop_the_others(real: Path, fake: Path, tmp_path: Path) -> None:
    (tmp_path / "vgg.safetensors").write_bytes(b"nonsense")
    evaluator = Evaluator(real=real, vgg19=tmp_path / "vgg.safetensors", size=64)
    evaluation = evaluator.evaluate(fake, ["style", "diversity", "style-filters"])
    assert [found.name for found in evaluation.scores] == ["style-filters"]
    assert evaluation.failed.keys() == {"style", "diversity"}
    assert "cannot read VGG-19's weights" in evaluation.failed["style"]


PICTURES = """
from artgan.plugin import Plugin
plugin = Plugin(name="look", summary="", config="look_plugin.parts:Config",
                metrics={"order": "look_plugin.parts:Order", "angry": "look_plugin.parts:Angry",
                         "pairs": "look_plugin.parts:Pairs", "nan": "look_plugin.parts:NaN",
                         "none": "look_plugin.parts:Nothing", "exit": "look_plugin.parts:Exit",
                         "array": "look_plugin.parts:Array", "function": "look_plugin.parts:function"})
"""
PARTS = """
from artgan.interfaces import Metric, Score
class Order(Metric):
    '''The greatest difference between pictures that follow one another.'''
    name, against = "order", "nothing"
    def __init__(self):
        self.means = []
    def update(self, pictures, *, real):
        assert not real and pictures.shape[1:] == (3, 32, 32) and -1 <= pictures.min() < 0
        self.means += pictures.mean((1, 2, 3)).tolist()
    def compute(self):
        return Score(self.name, sum(self.means) / len(self.means), (0, len(self.means)))
class Angry(Order):
    def update(self, pictures, *, real):
        raise RuntimeError("no pictures today")
class NaN(Order):
    def compute(self):
        return Score("nan", float("nan"), (0, 1))
class Nothing(Order):
    def compute(self):
        return None
class Exit(Order):
    def compute(self):
        raise SystemExit(3)
class Array(Order):
    def compute(self):
        import numpy
        return Score("array", numpy.float32(1), (0, 1), {"rows": numpy.zeros(3)})
def function():
    pass
class Pairs(Order):
    against = "inputs"
    def __init__(self):
        self.means = {True: [], False: []}
    def update(self, pictures, *, real):
        self.means[real] += pictures.mean((1, 2, 3)).tolist()
    def compute(self):
        n = len(self.means[True]), len(self.means[False])
        return Score("pairs", max(abs(a - b) for a, b in zip(*self.means.values(), strict=True)), n)
"""


def test_a_plugins_metric_sees_pictures(real: Path, fake: Path, install_plugin: Any, tmp_path: Path) -> None:
    (install_plugin("look", PICTURES) / "parts.py").write_text(PARTS)
    photos = tmp_path / "photos"
    shutil.copytree(real, photos)
    for path in sorted(fake.iterdir())[:9]:  # the other eleven are of other photos
        shutil.copy(photos / path.name, path)
    for path in sorted(fake.iterdir())[9:]:
        path.rename(path.with_name(f"y{path.name}"))
    evaluation = Evaluator(inputs=photos, size=32).evaluate(fake, ["order", "angry", "pairs"])
    assert [(found.name, found.n) for found in evaluation.scores] == [("order", (0, 20)), ("pairs", (9, 9))]
    assert evaluation.scores[1].value == 0
    assert evaluation.failed == {"angry": "RuntimeError: no pictures today"}


def test_what_a_strangers_metric_does_wrong_is_told(fake: Path, install_plugin: Any) -> None:
    (install_plugin("look", PICTURES) / "parts.py").write_text(PARTS)
    evaluator = Evaluator(size=32)
    evaluation = evaluator.evaluate(fake, ["nan", "none", "exit", "array", "order"])
    assert [found.name for found in evaluation.scores] == ["order"]
    assert evaluation.failed == {
        "nan": "nan is not finite; are the weights intact?",
        "none": "gave None in place of a score",
        "exit": "SystemExit: 3",
        "array": "array: its details are not JSON (Object of type ndarray is not JSON serializable)",
    }
    with pytest.raises(PluginError, match=r"is not an artgan\.interfaces\.Metric"):
        evaluator.evaluate(fake, ["function"])


def test_a_limit_keeps_photos_with_their_paintings(real: Path, tmp_path: Path, install_plugin: Any) -> None:
    (install_plugin("look", PICTURES) / "parts.py").write_text(PARTS)
    paintings = tmp_path / "paintings"
    shutil.copytree(real, paintings)
    for number in (0, 1, 2, 5, 9, 11):
        (paintings / f"{number:03d}.png").unlink()
    evaluation = Evaluator(inputs=real, size=32, limit=6).evaluate(paintings, ["pairs"])
    (found,) = evaluation.scores
    assert (found.n, found.value) == ((6, 6), 0)


def test_two_photos_of_one_name_are_refused(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", 3, seed=0)
    shutil.copy(photos / "001.png", photos / "001.jpg")
    readable = scan(PictureFolder(photos))
    with pytest.raises(ConfigError, match="2 pictures are named 001"):
        pairs(readable, readable)


def test_a_set_without_a_readable_picture_is_refused(real: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="none of its 1 pictures can be read"):
        Evaluator(real=real).evaluate(tmp_path / "broken", ["style-filters"])


def test_doubtful_sets_are_told(real: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(real, copy)
    for number, path in enumerate(sorted(copy.iterdir())):  # under other names, in another order
        path.rename(copy / f"{99 - number}.png")
    (note,) = Evaluator(real=real, size=64).evaluate(copy, ["style-filters"]).notes
    assert note == "the generated pictures are all among the real ones: scores comparing the two are meaningless"
    for number in range(6):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(copy / f"{99 - number}.png")
    (note,) = Evaluator(real=real, size=64).evaluate(copy, ["style-filters"]).notes
    assert note == "18 of 24 generated pictures are byte-identical to real ones"
    odd = write(tmp_path / "odd", 4, seed=3, size=(80, 50))
    shutil.copy(real / "000.png", odd / "x.png")
    notes = Evaluator(real=real, size=64).evaluate(odd, ["style-filters"]).notes
    assert "1 of 5 generated pictures are byte-identical to real ones" in notes[0]
    assert "its pictures are of 2 sizes" in notes[1]
    assert "4 of 5 pictures are smaller than 64 px" in notes[2]


@pytest.mark.parametrize("name", ["inception", "dinov2", "vgg19"])
def test_weights_of_another_network_are_refused(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        load_extractor(name, {name: tmp_path / "other.safetensors"})


@pytest.mark.slow
def test_a_report_has_what_works_and_why_the_rest_is_missing(real: Path, fake: Path, tmp_path: Path) -> None:
    """What the command prints, for Python: no failure stops another result."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "vgg.safetensors").write_bytes(b"nonsense")
    evaluator = Evaluator(real=real, vgg19=tmp_path / "vgg.safetensors", size=64)
    plot = tmp_path / "plot.png"
    report = evaluator.report(
        [fake, tmp_path / "empty"],
        ["style", "style-filters"],
        held_out=write(tmp_path / "other", 4, seed=5),
        nearest=tmp_path / "near.png",
        profile=plot,
    )
    (evaluation,) = report.evaluations
    assert (report.real, evaluation.fake) == (str(real), str(fake))
    assert [found.name for found in evaluation.scores] == ["style-filters"]
    assert evaluation.warnings[0].startswith("style: no score: ")
    starts = [failure.partition(": ")[0] for failure in report.failures]
    assert starts == ["not scored", "--held-out", "--nearest"]
    assert (report.held_out, report.artists, report.nearest, report.skipped) == ({}, None, {}, {})
    assert report.profiles.keys() == {"real", "fake"}
    assert plot.exists()
    assert not report.complete
    assert list(report.to_dict()) == ["real", "sets", "held_out", "profiles", "left_out", "troubles"]
    json.dumps(report.to_dict(), allow_nan=False)
    with pytest.raises(PictureError, match=r"plot\.png"):  # before any work
        evaluator.report([fake], profile=plot)
    again = evaluator.report([fake], ["style-filters"], profile=plot, overwrite=True)
    assert again.complete
    assert list(again.to_dict()) == ["real", "sets", "profiles", "left_out", "troubles"]
    with pytest.raises(ConfigError, match="nothing is requested"):
        evaluator.report([fake])


# ---- the command


def test_the_command_prints_a_table(real: Path, fake: Path) -> None:
    done = artgan("evaluate", "--real", real, "--fake", fake, "--metrics", "style-filters", "--size", "64")
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.splitlines()
    assert header.split("  ")[0] == "SCORE"
    assert row.startswith("style-filters  ")
    assert "filters" in row.split()


def test_the_command_compares_sets_in_json(real: Path, fake: Path) -> None:
    done = artgan(
        "evaluate", "--real", real, "--fake", fake, "--fake", real, "--metrics", "style-filters", "--size", "64",
        "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["sets"]
    assert first["scores"][0]["value"] > second["scores"][0]["value"]
    assert "are all among the real ones" in second["notes"][0]
    assert "are all among the real ones" in done.stderr


def test_a_broken_picture_is_told_and_the_rest_scored(real: Path, fake: Path) -> None:
    (fake / "000.png").write_bytes(b"no picture")
    done = artgan("evaluate", "--real", real, "--fake", fake, "--metrics", "style-filters", "--size", "64")
    assert done.returncode == 1
    assert "style-filters" in done.stdout
    assert f"artgan: {fake}: 1 pictures are left out" in done.stderr
    assert "artgan: left out: " in done.stderr
    assert "000.png" in done.stderr


@pytest.mark.slow
def test_one_set_that_cannot_be_read_stops_no_other(real: Path, fake: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = ["evaluate", "--real", real, "--metrics", "style-filters", "--size", "64", "--fake", tmp_path / "empty"]
    done = artgan(*words, "--fake", fake)
    assert done.returncode == 1
    assert "style-filters" in done.stdout
    assert "artgan: not scored: " in done.stderr
    alone = artgan(*words)
    assert alone.returncode == 2
    assert len(alone.stderr.splitlines()) == 1


def test_broken_pictures_of_any_set_are_counted_and_the_first_named(real: Path, fake: Path, tmp_path: Path) -> None:
    for number in range(12):
        (real / f"broken-{number:02d}\x1b[31m.png").write_bytes(b"no picture")
    done = artgan("evaluate", "--real", real, "--fake", fake, "--metrics", "style-filters", "--size", "64")
    assert done.returncode == 1
    assert "12 pictures are left out" in done.stderr
    assert "2 more of" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.slow
def test_a_plot_of_sets_of_one_name(real: Path, tmp_path: Path) -> None:
    for run in ("a", "b"):
        shutil.copytree(real, tmp_path / run / "out")
    words = ["evaluate", "--fake", tmp_path / "a" / "out", "--fake", tmp_path / "b" / "out", "--metrics", ""]
    words += ["--size", "64", "--profile", tmp_path / "plot.png"]
    done = artgan(*words, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["profiles"].keys() == {str(tmp_path / run / "out") for run in ("a", "b")}
    again = artgan(*words)
    assert again.returncode == 2
    assert "plot.png" in again.stderr
    assert artgan(*words, "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--metrics", "beauty"], "no metric named 'beauty'; there are fid, "),
        (["--metrics", "fdi"], "no metric named 'fdi'; did you mean 'fid'?"),
        (["--metrics", " , "], "nothing is requested"),
        (["--artist", "monet"], "--artist monet: write NAME=DIR"),
        (["--artist", "monet=x"], "two artists or more"),
        (["--device", "quantum"], "device 'quantum' cannot be used here"),
        (["--profile", "p.xyz"], "p.xyz"),
        (["--profile", "p.png", "--size", "32"], "at least that"),
        (["--held-out", "nowhere"], "nowhere: no such folder or file"),
        (["--real", "nowhere"], "nowhere: no such folder or file"),
    ],
)
def test_a_wrong_call_is_one_line(options: list[str], told: str, real: Path, fake: Path) -> None:
    given = [] if "--real" in options else ["--real", str(real)]
    done = artgan("evaluate", "--fake", fake, *given, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("artgan: ")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_scores_that_cannot_be_had_are_told(real: Path, fake: Path, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"nonsense")
    words = ["evaluate", "--real", real, "--fake", fake, "--inception", tmp_path / "w.pth"]
    done = artgan(*words, "--metrics", "fid")
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("artgan: fid: no score: ")
    assert "w.pth" in done.stderr
    both = artgan(*words, "--metrics", "fid,style-filters", "--size", "64")
    assert both.returncode == 1
    assert "style-filters" in both.stdout


def test_the_scores_are_listed() -> None:
    done = artgan("evaluate", "--list")
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} >= {"fid", "kid", "prdc", "style", "mifid"}


@pytest.mark.exhaustive
@pytest.mark.slow
@needs_data
def test_who_painted_it_what_is_nearest_and_what_it_looks_like(real: Path, fake: Path, tmp_path: Path) -> None:
    """Red pictures are taken for the red painter's; copies are found, and told from what was held out."""
    red = write(tmp_path / "red", 24, seed=4, tint=0.5)
    shutil.copy(real / "004.png", fake / "004.png")
    for number in range(24):
        shutil.copy(red / f"{number:03d}.png", fake / f"copy-{number:03d}.png")
    held_out = write(tmp_path / "held-out", 24, seed=5, tint=0.5)
    done = artgan(
        "evaluate", "--real", red, "--fake", fake, "--photos", real, "--metrics", "style,content", "--size", "64",
        "--vgg19", VGG19_WEIGHTS, "--artist", f"plain={real}", "--artist", f"red={red}",
        "--held-out", held_out, "--nearest", tmp_path / "near.png", "--profile", tmp_path / "profile.png",
        "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    style, content = report["sets"][0]["scores"]
    assert style["details"]["standardized by"] == "real pictures and inputs"
    assert content["n"] == [20, 20]
    assert 0 < content["value"] < 1
    assert "24 of 44 pictures" in report["artists"]["notes"][1]
    assert report["held_out"][str(fake)]["ratio"] < 0.5  # most are copies
    assert report["profiles"]["red"]["warmth"]["mean"] > report["profiles"]["plain"]["warmth"]["mean"]
    assert images.decode(tmp_path / "near.png").size[0] > 5 * 64
    assert images.decode(tmp_path / "profile.png").size[0] > 600
    fresh = write(tmp_path / "fresh", 20, seed=6, tint=0.5)
    text = artgan(
        "evaluate", "--real", red, "--fake", fresh, "--metrics", "memorization", "--size", "64",
        "--vgg19", VGG19_WEIGHTS, "--artist", f"plain={real}", "--artist", f"red={red}",
        "--held-out", held_out,
    )  # fmt: skip
    assert text.returncode == 0, text.stderr
    assert "memorization  0." in text.stdout
    assert "below 1 if pictures are memorized" in text.stdout
    assert "cross-validated accuracy" in text.stdout
    (row,) = (line for line in text.stdout.splitlines() if line.startswith(f"{fresh}  "))
    assert int(re.findall(r"(\d+)% \(", row)[1]) >= 90  # red, the second artist


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--held-out", "HERE"], "give --real DIR"),
        (["--nearest", "near.png"], "give --real DIR"),
        (["--nearest", "near.xyz", "--real", "HERE"], "near.xyz"),
        (["--nearest", "HERE/000.png", "--real", "HERE"], "000.png"),
    ],
)
def test_what_goes_with_nothing_is_one_line(options: list[str], told: str, fake: Path, tmp_path: Path) -> None:
    words = [word.replace("HERE", str(fake)) for word in options]
    before = (fake / "000.png").read_bytes()
    done = artgan("evaluate", "--fake", fake, "--metrics", "", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert (fake / "000.png").read_bytes() == before
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_members_of_an_archive_that_are_passed_over_are_warned_of(
    tmp_path: Path, real: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(real / "000.png", "a.png")
        archive.write(real / "001.png", "../b.png")
        archive.writestr("__MACOSX/._a.png", b"x")
    evaluator = Evaluator()
    assert len(evaluator.scan(path)) == 1
    assert caplog.messages == [f"artgan: {path}: passed over 1 member that leads out of the archive: ../b.png"]
    assert not evaluator.skipped
