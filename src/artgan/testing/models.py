"""Tests of a plugin's registered models with their weights, and of its metrics."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import artgan
from artgan.interfaces import Metric, Score
from artgan.metrics.names import resolve_metric
from artgan.models.entry import Entry
from artgan.models.loading import load_torch_model
from artgan.models.registry import read_registry
from artgan.models.registry_file import read_file
from artgan.models.runtimes.exporting import TOLERANCE
from artgan.testing.check import check_output
from artgan.testing.subject import (
    Subject,
    demand,
    explained,
    fitting,
    listed,
    python,
    refusal,
    skip_after,
    some_pictures,
)

_PICKLES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".bin"}
_METRIC_PICTURES = 16


class ModelTests(Subject):
    """The plugin's models in the registry."""

    def _entries(self) -> dict[str, Entry]:
        name = self._manifest.name
        if refusal(read_registry):
            skip_after("test_the_registry_can_be_read")
        found = {model: entry for model, entry in read_registry().entries.items() if entry.plugin == name}
        return found or pytest.skip(f"no registry has models of the plugin {self.plugin}")

    def _bundled(self) -> dict[str, Entry]:
        bundled = {name: entry for name, entry in self._entries().items() if entry.weights and entry.weights.bundled}
        return bundled or pytest.skip("no model's weights are bundled")

    def test_the_registry_can_be_read(self) -> None:
        """The plugin's own registry.yaml, if there is one, is valid and lists only its own models."""
        path = self._package / "registry.yaml"
        if not path.is_file():
            pytest.skip("the plugin's package holds no registry.yaml")
        read_registry.cache_clear()
        problem = refusal(read_file, path) or refusal(read_registry)
        if problem is None:  # its models together with those of other files
            problem = next((text for text in read_registry().problems if str(path) in text), None)
        demand(problem is None, f"The plugin's registry cannot be used: {problem}. Correct the file.")
        for name, entry in read_file(path).entries.items():
            demand(
                entry.plugin == self.plugin,
                f"{path}: {name} is a model of the plugin {entry.plugin!r}. Its name must begin with {self.plugin!r} "
                "and a dot.",
            )

    def test_models_have_a_config_and_a_license(self) -> None:
        """Each registry entry has a config that builds a model, and a license."""
        for name, entry in self._entries().items():
            problem = self._refusal(entry.config, f"{name}: config")
            demand(problem is None, f"In the registry, {problem}. Correct the entry.")
            demand(
                entry.weights or self._manifest.trainer is None,
                f"{name} has no weights in the registry, and a model of {self.plugin} must be trained. Write in its "
                "registry entry where they are: weights: {bundled: ..., sha256: ..., size: ...}.",
            )
            demand(
                entry.weights is None or str(entry.license.get("weights") or "").strip(),
                f"{name} names no license, so nobody may use it. Write in its registry entry: "
                "license: {weights: apache-2.0, data: ...}.",
            )

    def test_models_are_listed(self) -> None:
        """``artgan models`` lists the plugin's models."""
        names = set(self._entries())
        done = python("-m", "artgan", "models", f"{self.plugin}.*")
        missing = sorted(name for name in names if name not in done.stdout.split())
        demand(
            done.returncode == 0 and not missing,
            f"artgan models does not list {listed(missing)}: {done.stderr.strip()}",
        )

    def test_bundled_weights_load(self) -> None:
        """The files exist, have the size and sha256 given in the registry, and fit the network."""
        for name, entry in self._bundled().items():
            assert entry.weights is not None
            demand(
                str(entry.weights.bundled).endswith(".safetensors"),
                f"{name}: the weights are {entry.weights.bundled}. Write them as .safetensors, which runs no code "
                "when it is read.",
            )
            if self._refusal(entry.config, "config"):
                skip_after("test_models_have_a_config_and_a_license")
            self._needs_building_on_meta()
            advice = (
                "Write the file's size and sha256 into the registry, and check that config is that of the training."
            )
            with explained(f"{name} cannot be loaded", advice):
                load_torch_model(name)

    def test_exported_forms_are_the_same_networks(self) -> None:
        """A bundled ``exported`` file has the registry's size and sha256, and paints what the weights paint."""
        found = {name: entry for name, entry in self._bundled().items() if entry.exported and entry.exported.bundled}
        if not found:
            pytest.skip("no model has an exported form")
        for name in found:
            advice = f"Export it again: artgan export {name} -o DIR, and write size and sha256 into the registry."
            with explained(f"{name} cannot be loaded in its exported form", advice):
                exported = artgan.load(name, runtime="onnxruntime").running_on("onnxruntime")
            generator = load_torch_model(name).generator
            pictures = some_pictures(1, fitting(generator, 48), fitting(generator, 72))
            far = np.abs(exported.paint(pictures.numpy(), {}) - generator.generate(pictures).numpy()).max()
            demand(
                far <= TOLERANCE,
                f"{name} paints differently in its exported form, by up to {far:.2g} where {TOLERANCE:g} is allowed. "
                f"{advice}",
            )

    def test_models_make_the_picture_of_their_check(self) -> None:
        """Each bundled model still makes the example picture that its registry entry describes."""
        for name, entry in self._bundled().items():
            try:
                model = load_torch_model(name)
            except Exception:
                skip_after("test_bundled_weights_load")
            demand(
                entry.task == model.generator.task,
                f"{name} is registered with task {entry.task}, but its generator is {model.generator.task}. Write "
                f"task: {model.generator.task} in its registry entry.",
            )
            how = f'artgan.testing.check_output(artgan.load("{name}"), seed=0)'
            wanted = _output(entry.check)
            demand(
                wanted is not None,
                f"{name} has no check that could detect damage or an error of another version. Write in its "
                f"registry entry: check: {{seed: 0, output: OUTPUT, tolerance: 2}}, where OUTPUT is {how}.",
            )
            assert wanted is not None
            with explained(f"{name} makes no picture", "Does the loaded model lack what a built one has?"):
                made = torch.tensor(check_output(model, int(entry.check["seed"]), **self.options))
            apart = (made - wanted).abs().max()
            tolerance = float(entry.check.get("tolerance", 0))
            demand(
                apart <= tolerance,
                f"{name} makes a different picture from that in its registry entry: colors differ by {int(apart)} of "
                f"255, and {tolerance:g} is allowed. If this change is intended, write the new one: "
                f"{how}.",
            )

    def test_the_package_holds_no_pickle(self) -> None:
        """No file in the package could run code when it is loaded as weights."""
        folder = self._package
        found = sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and _is_pickle(path)
        )
        demand(
            not found,
            f"The package holds {listed(found)}, which may be a pickle and run code when it is read. Write weights as "
            ".safetensors (safetensors.torch.save_file).",
        )

    def test_weights_of_no_known_layout_are_passed_over(self) -> None:
        """``artgan convert`` calls convert() for every file, and it must return None for unknown layouts."""
        convert = self._part("convert")
        demand(
            self._manifest.layouts,
            "The manifest names convert but no layouts. Say what it recognizes, by name, with a line about each: "
            "layouts={...}.",
        )
        for state in ({}, {"of.nobody": torch.zeros(2, 3)}):
            with explained("convert() fails on weights that are not its own", "It must return None for them."):
                found = convert(state)
            demand(found is None, "convert() accepts weights that are not its own. It must return None for them.")


class MetricTests(Subject):
    """The metrics that the plugin provides."""

    def test_metrics_score_pictures(self) -> None:
        """Batches of pictures in, a finite Score out; with too few, a ValueError."""
        metrics = self._manifest.metrics
        if not metrics:
            pytest.skip("the plugin provides no metrics")
        for name in metrics:
            if refusal(resolve_metric, name):
                skip_after("test_import_strings_lead_to_the_right_things")
            cls = resolve_metric(name)
            label = f"The metric {name!r}"
            directions = cls.better.values() if isinstance(cls.better, Mapping) else [cls.better]
            demand(
                all(direction in ("lower", "higher", None) for direction in directions),
                f"{label} has better = {cls.better!r}. Say 'lower' or 'higher'; for a metric with several scores, map "
                "the name of each to one of these.",
            )
            with explained(
                f"{label} fails on {_METRIC_PICTURES} pictures of each kind", "It must take batches of any size."
            ):
                metric: Metric = cls()
                for index, count in enumerate((_METRIC_PICTURES - 1, 1)):
                    for real in (False,) if cls.against == "nothing" else (True, False):
                        metric.update(some_pictures(count, 64, seed=2 * index + real), real=real)
                score = metric.compute()
            demand(
                isinstance(score, Score) and isinstance(score.value, float) and math.isfinite(score.value),
                f"{label} computes {score!r}. It must return an artgan.toolkit.Score with a finite float.",
            )
            demand(
                score.n in ((_METRIC_PICTURES, _METRIC_PICTURES), (0, _METRIC_PICTURES)),
                f"{label} says that it was computed from {score.n} pictures, but was given "
                f"{_METRIC_PICTURES} real and {_METRIC_PICTURES} generated ones. Count what update() takes in.",
            )
            if isinstance(cls.better, Mapping):
                given = {score.name for score in metric.scores()}
                demand(
                    given >= cls.better.keys(),
                    f"{label} has better = {cls.better!r}, but its scores are {', '.join(sorted(given))}. Name these.",
                )
            advice = "Raise a ValueError that says how many it needs."
            with explained(f"{label} does not say that it has seen no pictures", advice), suppress(ValueError):
                cls().compute()
                demand(False, f"{label} gives a score though it has seen no pictures. {advice}")


def _output(check: Mapping[str, Any]) -> torch.Tensor | None:
    """The colors of a registry entry's ``check``, 16 x 3, if there are any."""
    try:
        output = torch.tensor(check["output"])
        return output if output.shape == (16, 3) and isinstance(check["seed"], int) else None
    except (KeyError, TypeError, ValueError):
        return None


def _is_pickle(path: Path) -> bool:
    """By its suffix, by a pickle's first bytes, or as the archive that torch.save writes."""
    if path.suffix.lower() in _PICKLES:
        return True
    with path.open("rb") as file:
        start = file.read(4)
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    if start != b"PK\x03\x04":
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".pkl") for name in archive.namelist())
