"""The best model of a run: which one is kept, on which pictures it is judged, and that kills change nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from support.processes import FORKED, artgan, as_if_started

import artgan as api
from artgan.config import parse
from artgan.data import open_pictures
from artgan.discovery import load_plugin, resolve
from artgan.errors import ArtganError, ConfigError, TrainingError
from artgan.interfaces import Metric, Score
from artgan.metrics import METRICS
from artgan.metrics.names import resolve_metric
from artgan.reports.run import write_comparison
from artgan.training import loading, loop
from artgan.training.best import Best, Target, find_target
from artgan.training.held_out import split
from artgan.training.options import TrainingOptions
from artgan.training.session import Session

# Metrics whose value at each step is given: SCRIPT maps steps to values, "fails" is an error.
PLUGIN = """
from artgan.plugin import Plugin
parts = "script_plugin.parts"
plugin = Plugin(name="script", summary="", config=f"{parts}:Config",
                metrics={name.lower(): f"{parts}:{name}" for name in ("Falling", "Rising", "Silent", "Two", "Odd")})
"""
PARTS = """
import json, os
from artgan.interfaces import Metric, Score
class Falling(Metric):
    name = "falling"
    better = "lower"
    def update(self, pictures, *, real):
        pass
    def compute(self):
        value = json.loads(os.environ["SCRIPT"])[os.environ["STEP"]]
        if value == "fails":
            raise ValueError("out of order")
        return Score("scripted", value, (1, 1))
class Rising(Falling):
    better = "higher"
class Silent(Falling):
    better = None
class Two(Falling):
    better = {"first": "lower", "second": "higher"}
    def scores(self):
        value = self.compute().value
        return [Score("first", 0.0, (1, 1)), Score("second", value, (1, 1))]
class Odd(Falling):
    better = "closer to 1"
"""
CYCLEGAN = {"width": 4, "blocks": 1, "discriminator_width": 4, "pool": 2}
TRAINING = {"size": 32, "device": "cpu", "workers": 0, "metrics_every": 1, "models_every": 1, "checkpoint_every": 3}
TRAINING |= {"metrics_on": 2, "log_every": 1}


def follow_script(take_scores: Any = Session.take_scores) -> Any:
    """``Session.take_scores``, telling the metrics of the script which step it is."""

    def take(self: Session, step: int, scores: Any, out: Path) -> None:
        os.environ["STEP"] = str(step)
        take_scores(self, step, scores, out)

    return take


@pytest.fixture
def script(install_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets what the metrics say at steps 1, 2, ..."""
    (install_plugin("script", PLUGIN) / "parts.py").write_text(PARTS)
    monkeypatch.setattr(Session, "take_scores", follow_script())

    def say(*values: Any) -> None:
        monkeypatch.setenv("SCRIPT", json.dumps(dict(enumerate(values, 1))))

    return say


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, count in (("photos", 10), ("paintings", 8)):
        (root / name).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return {name: root / name for name in ("photos", "paintings")}


def train(folders: dict[str, Path], out: Path, **training: Any) -> None:
    plugin = load_plugin("cyclegan")
    config = parse(resolve(plugin, "config"), CYCLEGAN, where="test")
    options = parse(TrainingOptions, {**TRAINING, **training}, where="test")
    loop.train(plugin, config, options, folders, out, resume=(out / "config.yaml").exists())


def card(run: Path) -> Any:
    return json.loads((run / "best" / "config.json").read_text())


def kept(run: Path) -> list[tuple[int, str]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["kept"]) for line in lines if "kept" in line]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def files(run: Path, *kinds: str) -> dict[str, bytes]:
    """The files of a run of some kinds, by path."""
    found = (path for kind in kinds for path in [*run.glob(kind), *run.glob(f"{kind}/**/*")])
    return {str(path.relative_to(run)): path.read_bytes() for path in found if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "score", "values", "steps"),
    [
        ("falling", "scripted", (5, 3, 1.5, 1.5, 2), [1, 2, 3]),  # of two equal ones the first
        ("rising", "scripted", (5, 3, 7, 6, 2), [1, 3]),
        ("second", "second", (5, 3, 7, 6, 2), [1, 3]),
        ("falling", "scripted", (float("nan"), "fails", 5, float("-inf"), 6), [3]),
    ],
)
def test_the_model_with_the_best_score_is_kept(
    name: str,
    score: str,
    values: tuple[Any, ...],
    steps: list[int],
    folders: dict[str, Path],
    tmp_path: Path,
    script: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    script(*values)
    out = tmp_path / "run"
    train(folders, out, steps=5, keep_best=name)
    assert kept(out) == [(step, score) for step in steps]
    best = steps[-1]
    assert (card(out)["step"], card(out)["score"]) == (best, {score: values[best - 1]})
    for suffix in ("", "-photos"):  # the other direction is kept as well
        assert weights(out / f"best{suffix}") == weights(out / "models" / f"step-{best:08d}{suffix}")
    assert weights(out / "best") != weights(out / "model")
    assert api.load(f"local-dir:{out / 'best'}").card["step"] == best
    assert f"step {best} ({score} {values[best - 1]:.4g})" in (out / "report.html").read_text()
    assert caplog.text.count("chosen by scores on training pictures") == 1
    assert "no model is in" not in caplog.text


@pytest.mark.slow
def test_without_a_score_nothing_is_kept_and_the_end_says_so(
    folders: dict[str, Path], tmp_path: Path, script: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    script("fails", float("nan"))
    train(folders, tmp_path / "none", steps=2, keep_best="falling", held_out=2)
    assert not (tmp_path / "none" / "best").exists()
    assert f"no model is in {tmp_path / 'none' / 'best'}: there was no score to choose it by" in caplog.text
    assert "training pictures" not in caplog.text
    # A page of several runs, of which one kept a model.
    script(2, 1)
    train(folders, tmp_path / "some", steps=2, keep_best="falling", held_out=2)
    write_comparison([tmp_path / "none", tmp_path / "some"], tmp_path / "both.html")
    assert "step 2 (scripted 1)" in (tmp_path / "both.html").read_text()


def _killed_at(step: int, script: str, folders: dict[str, Path], out: Path, training: dict[str, Any]) -> None:
    """Train, and be killed where the checkpoint of a step would be written."""
    import torch

    torch.set_num_threads(1)
    as_if_started()
    os.environ["SCRIPT"] = script
    Session.take_scores = follow_script()  # type: ignore[method-assign]  # in a process of its own
    save = Session.save

    def save_or_die(self: Session, folder: Path, at: int) -> None:
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)
        save(self, folder, at)

    Session.save = save_or_die  # type: ignore[method-assign]  # the same
    train(folders, out, **training)


def run_until(step: int, folders: dict[str, Path], out: Path, training: dict[str, Any]) -> None:
    process = FORKED.Process(target=_killed_at, args=(step, os.environ["SCRIPT"], folders, out, training))
    process.start()
    process.join(240)
    assert process.exitcode == (-signal.SIGKILL if step else 0)


@pytest.mark.exhaustive
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_run_killed_after_it_kept_a_model_ends_as_one_that_never_stopped(
    folders: dict[str, Path], tmp_path: Path, script: Callable[..., None]
) -> None:
    script(5, 4, 9, 1, 8, 7, 6)  # the best after the first checkpoint is that of step 2
    training = {"steps": 7, "keep_best": "falling", "held_out": 3}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_until(0, folders, whole, training)
    run_until(6, folders, parts, training)
    assert card(parts)["step"] == 4  # kept, but not in a checkpoint

    # Resumed for as many steps as the checkpoint has, the best is that of the checkpoint.
    short = tmp_path / "short"
    shutil.copytree(parts, short)
    run_until(0, folders, short, {**training, "steps": 3})
    assert card(short)["step"] == 2
    assert weights(short / "best") == weights(short / "models" / "step-00000002")
    assert weights(short / "best-photos") == weights(short / "models" / "step-00000002-photos")

    run_until(0, folders, parts, training)
    kinds = ("best*", "model*", "checkpoints", "log.jsonl", "metrics.jsonl")
    assert files(parts, *kinds) == files(whole, *kinds)
    assert card(parts)["step"] == 4

    # Killed before the first checkpoint, it begins again without a model.
    fresh = tmp_path / "fresh"
    run_until(3, folders, fresh, training)
    assert card(fresh)["step"] == 2
    script(*["fails"] * 7)
    run_until(0, folders, fresh, training)
    assert not [path for path in fresh.iterdir() if path.name.startswith("best")]


@pytest.mark.slow
def test_on_the_command_line(folders: dict[str, Path], tmp_path: Path) -> None:
    where = [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
    options = [*where, "--width", "4", "--blocks", "1", "--discriminator-width", "4", "--size", "32", "--workers", "0"]
    out = tmp_path / "run"
    every = ["--metrics-every", "1", "--steps", "2", "--device", "cpu", "-o", out]
    done = artgan("train", "cyclegan", *options, *every, "--keep-best", "style-filters", "--held-out", "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out / 'model'}\n"
    step, score = card(out)["step"], card(out)["score"]["style-filters"]
    assert f"artgan: the best model is from step {step}, style-filters {score:.4g}: {out / 'best'}\n" in done.stderr
    assert "training pictures" not in done.stderr
    description = yaml.safe_load((out / "config.yaml").read_text())
    assert [description["data"][name]["pictures"] for name in folders] == [6, 4]
    assert [description["data"][name]["held_out"] for name in folders] == [4, 4]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["n"]["style-filters"] for line in lines] == [[4, 4], [4, 4]]

    refused = artgan("train", "cyclegan", "-o", out, "--resume", "--held-out", "3")
    assert refused.returncode == 2
    assert "--held-out was 4, now 3" in refused.stderr
    again = tmp_path / "again"
    refused = artgan("train", "cyclegan", *options, "--steps", "2", "-o", again, "--keep-best", "stile")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "artgan: --keep-best: no metric or score named 'stile'; did you mean 'style'?"
    ]
    assert not again.exists()


def options_with(name: str, **more: Any) -> TrainingOptions:
    return TrainingOptions(keep_best=name, **more)


def test_a_metric_or_one_of_its_scores_is_named(script: Callable[..., None]) -> None:
    assert find_target(TrainingOptions()) is None
    assert find_target(options_with("style")) == Target("style", None, "lower")
    assert find_target(options_with("content")) == Target("content", None, "higher")
    assert find_target(options_with("recall")) == Target("prdc", "recall", "higher")
    assert find_target(options_with("first")) == Target("two", "first", "lower")
    for name, problem in (
        ("prdc", "prdc: it has several scores, name one of precision, recall, density, coverage"),
        ("silent", "silent: its metric does not say whether lower or higher is better"),
        ("odd", "odd: its metric has 'closer to 1' to say whether lower or higher is better"),
        ("Recal", "no metric or score named 'Recal'; did you mean 'recall'\\?"),
        ("", "no metric or score named ''; there are fid, .*, falling, .*, precision, .*, second"),
    ):
        with pytest.raises(ConfigError, match=f"^--keep-best:? {problem}$"):
            find_target(options_with(name))


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_which_values_are_better(name: str) -> None:
    cls: type[Metric] = resolve_metric(name)
    declared = cls.better if isinstance(cls.better, dict) else {name: cls.better}
    assert declared
    assert set(declared.values()) <= {"lower", "higher"}


def test_a_value_that_is_not_finite_is_never_the_best() -> None:
    best, target = Best(), Target("style", None, "higher")
    for value in (float("nan"), float("inf"), float("-inf")):
        assert not best.improved_by(Score("style", value, (1, 1)), target)
    assert not best.improved_by(None, target)
    assert best.improved_by(Score("style", -2.0, (1, 1)), target)
    best.keep(3, Score("style", -2.0, (1, 1)), {})
    assert not best.improved_by(Score("style", -2.0, (1, 1)), target)
    assert best.improved_by(Score("style", -1.0, (1, 1)), target)
    assert best.improved_by(Score("style", -3.0, (1, 1)), Target("style", None, "lower"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The pictures that the draws and the scores of a run are given."""
    found: dict[str, Any] = {}
    for module, kind in ((loading, "Draws"), (loop, "Scores")):
        original = getattr(module, kind)

        def spy(*arguments: Any, kind: str = kind, original: Any = original, **options: Any) -> Any:
            found[kind] = next(argument for argument in arguments if isinstance(argument, dict))
            return original(*arguments, **options)

        monkeypatch.setattr(module, kind, spy)
    return found


@pytest.mark.slow
def test_pictures_held_out_are_scored_and_never_drawn(
    folders: dict[str, Path], tmp_path: Path, script: Callable[..., None], asked: dict[str, Any]
) -> None:
    script(1, 1)
    train(folders, tmp_path / "run", steps=1, keep_best="falling", held_out=3)
    assert asked["Scores"]["photos"].names == ["0.png", "3.png", "6.png"]
    assert asked["Scores"]["paintings"].names == ["0.png", "2.png", "5.png"]
    for name, folder in folders.items():
        drawn, apart, complete = asked["Draws"][name], asked["Scores"][name], open_pictures(folder)
        assert sorted([*drawn.names, *apart.names]) == list(complete.names)
        assert apart.read(1) == complete.read(complete.names.index(apart.names[1]))
        assert drawn[0].size == (44, 40)
        assert drawn.size_in_bytes(0) == len(drawn.read(0))
    # Without, all pictures are drawn, and the training set is scored.
    train(folders, tmp_path / "all", steps=1, keep_best="falling")
    assert asked["Scores"] == asked["Draws"]
    assert len(asked["Draws"]["photos"]) == 10
    assert "held_out" not in yaml.safe_load((tmp_path / "all" / "config.yaml").read_text())["data"]["photos"]


def test_too_few_pictures_are_refused(folders: dict[str, Path]) -> None:
    sets = {name: open_pictures(folder) for name, folder in folders.items()}
    with pytest.raises(TrainingError, match=r"^--held-out 8: .*paintings has only 8 pictures$"):
        split(sets, TrainingOptions(held_out=8))
    with pytest.raises(TrainingError, match=r"^--batch 3: .* has only 8 pictures, 2 without those of --held-out 6$"):
        split(sets, TrainingOptions(held_out=6, batch=3))
    with pytest.raises(TrainingError, match=r"^--batch 9: .*paintings has only 8 pictures$"):
        split(sets, TrainingOptions(batch=9))
    with pytest.raises(ArtganError, match="held_out must be 0, or at least 2"):
        parse(TrainingOptions, {"held_out": 1}, where="training")
