"""Studies: the same training with one option varied, and a report that compares the results."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artgan import images
from artgan.config import TEXTS, field_types
from artgan.data import PictureSet, open_pictures
from artgan.data.crops import centre_crops, to_pictures
from artgan.discovery import Plugin, resolve
from artgan.errors import ArtganError, ConfigError
from artgan.interfaces import Generator
from artgan.metrics.style import filter_statistics, kernel_distance, standardize
from artgan.models.loading import load
from artgan.reports.run import write_comparison
from artgan.sampling.sampling import draw
from artgan.training.journal import read_lines, write_lines
from artgan.training.loop import train
from artgan.training.options import TrainingOptions
from artgan.training.settings import configure

_PICTURES = 256  # of each kind, for the scores
_BATCH = 32


@dataclass(frozen=True)
class Outcome:
    """The result for one value; ``error`` is None if the run completed."""

    value: str
    run: Path
    figures: Mapping[str, float]
    error: str | None = None


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
    advance: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Train once for each value of an option, all else (seed, data, steps) equal, and write ``OUT/report.html``.

    A run already begun by the same study is resumed. If a run fails, its error is recorded and the next one begins.
    Each run's ``metrics.jsonl`` receives two scores of its last model, which need no network: the distance to the real
    pictures in statistics of colors and edges (``style-distance-filters``, 0 is best), and ``diversity``, the mean
    distance between two pictures as a share of that between two real ones.

    Args:
        plugin: the plugin to train.
        vary: ``key=a,b,c``; the key is an option of the plugin or of training.
        settings: other options, by name, as strings.
        folders: where the pictures of each of the plugin's domains are.
        out: the study's folder, with a run's folder for each value.
        advance: called with each outcome.

    Raises:
        ArtganError: there is no such option, or a value is invalid; raised before any training starts.
        KeyboardInterrupt: Ctrl-C; a checkpoint is written first.
    """
    key, plans = plan(plugin, vary, settings)
    missing = [domain for domain in plugin.domains if domain not in folders]
    if missing:
        raise ConfigError(f"give the {plugin.domains[missing[0]]}: --{missing[0]} DIR")
    sets = {name: open_pictures(folders[name]) for name in plugin.domains}
    outcomes = []
    for value, (config, options) in plans.items():
        run = out / re.sub(r"[^\w.=-]+", "_", f"{key}={value}").strip("_")
        try:
            resume = (run / "config.yaml").exists()
            model = train(plugin, config, options, folders, run, resume=resume, may_change=("steps", "epochs"))
            if model is None:  # stopped, with a checkpoint; the next call resumes the study there
                raise KeyboardInterrupt
            figures = _figures(run, sets, plugin.target_domain, options.size)
            outcome = Outcome(value, run, figures)
        except ArtganError as error:
            outcome = Outcome(value, run, {}, str(error))
        outcomes.append(outcome)
        advance(outcome)
    runs = [outcome.run for outcome in outcomes if (outcome.run / "config.yaml").is_file()]
    if len(runs) > 1:
        write_comparison(runs, out / "report.html", overwrite=True)
    return outcomes


def plan(plugin: Plugin, vary: str, settings: Mapping[str, str]) -> tuple[str, dict[str, tuple[Any, TrainingOptions]]]:
    """The option that a study varies, and for each of its values the plugin's config and the training options.

    Raises:
        ConfigError: ``vary`` cannot be parsed, the plugin lacks an option, or a value is invalid.
    """
    key, values = parse_vary(vary)
    return key, {value: _configure(plugin, {**settings, key: value}) for value in values}


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
        given[key] = _typed(text, kinds[key][0], key)
    return configure(plugin, given, preset=settings.get("preset"))


def _typed(text: str, kind: type, key: str) -> Any:
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ConfigError(f"{key}={text}: must be true or false")
    if kind == TEXTS:
        return text
    try:
        return kind(text)
    except ValueError:
        words = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{key}={text}: must be {words}") from None


def _figures(run: Path, sets: Mapping[str, PictureSet], target: str | None, size: int) -> dict[str, float]:
    """Compute the scores of a run's model, and add them to its ``metrics.jsonl``."""
    generator = load(f"local-dir:{run / 'model'}").generator
    if target is None:
        raise ArtganError("there are no real pictures to compare with: the plugin has no domains")
    real = _crops(sets[target], size)
    look = filter_statistics(real)
    inputs = next((pictures for name, pictures in sets.items() if name != target), None)
    made = _made(generator, inputs, size)
    reference, ours = standardize([look], look, filter_statistics(made))
    figures = {
        "style-distance-filters": kernel_distance(reference, ours),
        "diversity": spread(made) / max(spread(real), 1e-12),
    }
    path = run / "metrics.jsonl"
    lines = read_lines(path) if path.exists() else []
    step = read_lines(run / "log.jsonl")[-1]["step"]
    lines = [line for line in lines if not (line["step"] == step and line["metrics"].keys() == figures.keys())]
    write_lines(path, [*lines, {"step": step, "metrics": figures}])
    return figures


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
    return to_pictures({"": centre_crops(pictures, count, size)}, torch.device("cpu"))[""]


def spread(pictures: Tensor) -> float:
    """The mean root-mean-square distance between two of N x 3 x H x W pictures, resized to 32 x 32."""
    small = torch.nn.functional.interpolate(pictures, size=(32, 32), mode="bilinear", antialias=True).flatten(1)
    return float(torch.pdist(small).mean() / small.shape[1] ** 0.5)
