"""Studies: the same training with one option varied, and a report that compares the results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artgan import images
from artgan.config import field_types, from_text
from artgan.data import PictureSet, open_pictures
from artgan.data.crops import center_crops, to_pictures
from artgan.discovery import Plugin, resolve
from artgan.errors import ArtganError, ConfigError
from artgan.interfaces import Generator
from artgan.metrics.intervals import student
from artgan.metrics.style import filter_statistics, kernel_distance, standardize
from artgan.models.loading import load_torch_model
from artgan.reports.study import SHEET, Kind, write_study
from artgan.sampling.sampling import draw
from artgan.sheets import mosaic
from artgan.training.journal import read_lines, write_lines
from artgan.training.loop import train
from artgan.training.options import TrainingOptions
from artgan.training.processes import run_in_processes
from artgan.training.settings import configure

_PICTURES = 256  # of each kind, for the scores
_SHOWN = 16  # of them on the page
_COLUMNS, _CELL = 4, 96
_BATCH = 32

_GIVEN = {"real": "real.jpg", "inputs": "inputs.jpg"}  # pictures that all kinds share, in the study's folder
_FIGURES = {
    "style-filters": "distance to the real pictures in statistics of colors, edges and spots; 0 is best",
    "diversity": "mean distance between two pictures, as a share of that between two real ones",
}


@dataclass(frozen=True)
class Outcome:
    """The result of a run; ``error`` is None if it completed."""

    value: str
    run: Path
    figures: Mapping[str, float]
    error: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Planned:
    """A run to be made: the value, the seed, and all options."""

    value: str
    seed: int
    config: Any
    options: TrainingOptions


def parse_vary(text: str) -> tuple[str, list[str]]:
    """Parse ``key=a,b,c`` into the key and its values; a comma in parentheses belongs to a value.

    Raises:
        ConfigError: the text has another form, fewer than two values, or a value twice.
    """
    key, equals, rest = text.partition("=")
    values = [value.strip() for value in re.split(r",(?![^()]*\))", rest)]
    if not (key.strip() and equals and all(values)):
        raise ConfigError(f"--vary {text!r}: write KEY=VALUE,VALUE,...")
    if len(values) < 2 or len(set(values)) < len(values):
        raise ConfigError(f"--vary {text!r}: give two values or more, none of them twice")
    return key.strip().replace("-", "_"), values


def study(
    plugin: Plugin,
    vary: str,
    settings: Mapping[str, str],
    folders: Mapping[str, str | Path],
    out: Path,
    *,
    seeds: int = 1,
    jobs: int = 1,
    advance: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Train once for each value of an option and each seed, all else equal, and write ``OUT/report.html``.

    All values are trained with the first seed, then all with the next one; the page is written again after each run. A
    run already begun by the same study is resumed, and one that is complete is not trained again. If a run fails, its
    error is recorded and the next one begins. Each run's ``metrics.jsonl`` receives two scores of its last model, which
    need no network: ``style-filters``, the distance to the real pictures in statistics of colors and edges (0 is best),
    and ``diversity``, the mean distance between two pictures as a share of that between two real ones.

    Args:
        plugin: the plugin to train.
        vary: ``key=a,b,c``; the key is an option of the plugin or of training.
        settings: other options, by name, as strings.
        folders: where the pictures of each of the plugin's domains are.
        out: the study's folder, with a run's folder for each value and seed.
        seeds: number of runs for each value, with the seed of the settings and those that follow.
        jobs: number of runs at the same time, each in a process of its own if there are several.
        advance: called with each outcome, in the order in which the runs complete.

    Returns:
        The outcomes in the order of the plan.

    Raises:
        ArtganError: there is no such option, or a value is invalid; raised before any training starts.
        KeyboardInterrupt: Ctrl-C; a checkpoint is written first.
    """
    key, plans = plan(plugin, vary, settings, seeds)
    missing = [domain for domain in plugin.domains if domain not in folders]
    if missing:
        raise ConfigError(f"give the {plugin.domains[missing[0]]}: --{missing[0]} DIR")
    for name in plugin.domains:
        open_pictures(folders[name])  # which fails before any training starts
    runs = [out / _folder_name(key, planned, first=plans[0].seed) for planned in plans]
    calls = [(plugin, planned, folders, run) for planned, run in zip(plans, runs, strict=True)]
    results: Iterable[tuple[int, Outcome | ArtganError]]
    if jobs > 1:
        threads = max(1, torch.get_num_threads() // jobs)
        results = run_in_processes(partial(_run_beside_others, threads), calls, jobs)
    else:
        results = enumerate(run_planned(*call) for call in calls)
    outcomes: dict[int, Outcome] = {}
    for index, result in results:
        planned = plans[index]
        if isinstance(result, ArtganError):
            result = Outcome(planned.value, runs[index], {}, str(result), planned.seed)
        outcomes[index] = result
        advance(result)
        if any(outcome.figures for outcome in outcomes.values()):
            given = {label: out / name for label, name in _GIVEN.items() if (out / name).is_file()}
            kinds = summarize(_in_order(outcomes))
            write_study(out / "report.html", kinds, option=key, figures=_FIGURES, given=given, seeds=seeds)
    return _in_order(outcomes)


def _in_order(outcomes: Mapping[int, Outcome]) -> list[Outcome]:
    return [outcomes[index] for index in sorted(outcomes)]


def _run_beside_others(threads: int, *call: Any) -> Outcome:
    torch.set_num_threads(threads)
    return run_planned(*call)


def run_planned(plugin: Plugin, planned: Planned, folders: Mapping[str, str | Path], run: Path) -> Outcome:
    """Train a planned run in its folder, resume it or leave it as it is if it is complete, and compute its scores.

    Raises:
        KeyboardInterrupt: Ctrl-C; a checkpoint is written first.
    """
    try:
        resume, may_change = (run / "config.yaml").exists(), ("steps", "epochs")
        model = train(plugin, planned.config, planned.options, folders, run, resume=resume, may_change=may_change)
        if model is None:  # stopped, with a checkpoint; the next call resumes the study there
            raise KeyboardInterrupt
        sets = {name: open_pictures(folders[name]) for name in plugin.domains}
        figures = _figures(run, sets, plugin.target_domain, planned.options.size)
    except ArtganError as error:
        return Outcome(planned.value, run, {}, str(error), planned.seed)
    return Outcome(planned.value, run, figures, seed=planned.seed)


def summarize(outcomes: Sequence[Outcome]) -> list[Kind]:
    """The outcomes of each value together, with confidence intervals over the seeds."""
    kinds = []
    for value in dict.fromkeys(outcome.value for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.value == value]
        figures = {name: [one.figures[name] for one in own if name in one.figures] for name in _FIGURES}
        kinds.append(
            Kind(
                value,
                [one.run for one in own if (one.run / "config.yaml").is_file()],
                figures,
                {name: student(values) for name, values in figures.items() if len(values) > 1},
                {one.seed: one.error for one in own if one.error is not None},
            )
        )
    return kinds


def _folder_name(key: str, planned: Planned, *, first: int) -> str:
    """The folder of a run; that of the first seed names none, so that a study may get more seeds later."""
    name = f"{key}={planned.value}" + (f"_seed={planned.seed}" if planned.seed != first else "")
    return re.sub(r"[^\w.=-]+", "_", name).strip("_")


def plan(plugin: Plugin, vary: str, settings: Mapping[str, str], seeds: int = 1) -> tuple[str, list[Planned]]:
    """The option that a study varies, and its runs in the order in which they are made.

    Raises:
        ConfigError: ``vary`` cannot be parsed, the plugin lacks an option, or a value is invalid; or seeds are varied
            and repeated at once.
    """
    key, values = parse_vary(vary)
    if key == "seed" and seeds > 1:
        raise ConfigError("--seeds: repeats each value with other seeds, so it cannot vary seed too; omit one of them")
    plans = []
    for repetition in range(seeds):
        for value in values:
            config, options = _configure(plugin, {**settings, key: value})
            if repetition:
                config, options = _configure(plugin, {**settings, key: value, "seed": str(options.seed + repetition)})
            plans.append(Planned(value, options.seed, config, options))
    return key, plans


def _configure(plugin: Plugin, settings: Mapping[str, str]) -> tuple[Any, TrainingOptions]:
    """The plugin's config and the training options, with the given strings on top of the plugin's defaults."""
    kinds = {**field_types(TrainingOptions), **field_types(resolve(plugin, "config"))}
    given = {}
    for key, text in settings.items():
        if key == "preset":
            continue
        if key not in kinds:
            raise ConfigError(
                f"{plugin.name}: there is no option {key!r}; artgan train {plugin.name} --help lists them"
            )
        given[key] = from_text(text, kinds[key][0], where=f"{key}={text}")
    return configure(plugin, given, preset=settings.get("preset"))


def _figures(run: Path, sets: Mapping[str, PictureSet], target: str | None, size: int) -> dict[str, float]:
    """Compute the scores of a run's model, add them to its ``metrics.jsonl``, and draw its pictures for the page."""
    generator = load_torch_model(f"local-dir:{run / 'model'}").generator
    if target is None:
        raise ArtganError("there are no real pictures to compare with: the plugin has no domains")
    real = _crops(sets[target], size)
    look = filter_statistics(real)
    inputs = next((pictures for name, pictures in sets.items() if name != target), None)
    made = _made(generator, inputs, size)
    _draw(made, run / SHEET)
    _draw(real, run.parent / _GIVEN["real"])
    if generator.task != "noise-to-image" and inputs is not None:
        _draw(_crops(inputs, size), run.parent / _GIVEN["inputs"])
    reference, ours = standardize([look], look, filter_statistics(made))
    figures = {
        "style-filters": kernel_distance(reference, ours),
        "diversity": spread(made) / max(spread(real), 1e-12),
    }
    path = run / "metrics.jsonl"
    lines = read_lines(path) if path.exists() else []
    step = read_lines(run / "log.jsonl")[-1]["step"]
    lines = [line for line in lines if not (line["step"] == step and line["metrics"].keys() == figures.keys())]
    write_lines(path, [*lines, {"step": step, "metrics": figures}])
    return figures


def _draw(pictures: Tensor, path: Path) -> None:
    """Write the first of N x 3 x S x S pictures in [-1, 1] as a mosaic."""
    shown = [images.to_rgb(picture) for picture in pictures[:_SHOWN]]
    page = mosaic(shown, columns=_COLUMNS, cell=min(_CELL, pictures.shape[-1]))
    images.encode(page, path, overwrite=True)


def _made(generator: Generator, inputs: PictureSet | None, size: int) -> Tensor:
    """Pictures by the generator, N x 3 x S x S in [-1, 1]: from noise, or from the input set."""
    if generator.task == "noise-to-image":
        return torch.stack([images.to_tensor(picture) for picture in draw(generator, range(_PICTURES))])
    if inputs is None:
        raise ArtganError("there are no pictures to paint: the plugin has one domain only")
    return torch.cat([generator.generate(part) for part in torch.split(_crops(inputs, size), _BATCH)])


def _crops(pictures: PictureSet, size: int) -> Tensor:
    """Center crops of pictures spread evenly over the set, N x 3 x S x S in [-1, 1]."""
    count = min(_PICTURES, len(pictures))
    return to_pictures({"": center_crops(pictures, count, size)}, torch.device("cpu"))[""]


def spread(pictures: Tensor) -> float:
    """The mean root-mean-square distance between two of N x 3 x H x W pictures, resized to 32 x 32."""
    small = torch.nn.functional.interpolate(pictures, size=(32, 32), mode="bilinear", antialias=True).flatten(1)
    return float(torch.pdist(small).mean() / small.shape[1] ** 0.5)
