"""Tests of a plugin's declarations: the manifest and the config."""

from __future__ import annotations

import dataclasses
import inspect
import json
import keyword
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from artgan.config import field_types, parse, to_dict
from artgan.discovery import load_plugin, resolve
from artgan.errors import ArtganError
from artgan.interfaces import Metric, Trainer
from artgan.models.folder import CONFIG
from artgan.painting.options import PaintOptions
from artgan.testing.subject import Subject, demand, explained, listed, python, refusal, skip_after
from artgan.training.health import REMEDIES
from artgan.training.options import TrainingOptions
from artgan.training.study import plan

# Prints the chain of modules that leads to the first import of torch, outermost first.
_WATCH = """
import importlib, json, os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        chain, frame = [], sys._getframe(1)
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if not name.startswith("importlib") and name != "__main__" and name not in chain[-1:]:
                chain.append(name)
            frame = frame.f_back
        os.write(1, ("\\n" + json.dumps(chain[::-1])).encode())
        os._exit(3)

sys.meta_path.insert(0, Watch())
for module in sys.argv[1:]:
    importlib.import_module(module)
"""

# Options that `artgan train PLUGIN` has for every plugin.
_COMMON = {"out", "resume", "config", "preset", "help"}

# What `artgan paint` and Model.paint have for every plugin.
_PAINTING = {
    *("inputs", "model", "out", "device", "batch", "recursive", "overwrite", "format", "help", "image"),
    *("skip_existing", "tile", "statistics", "runtime"),
    # An option named seed is shared: the model gets it, and so do the strokes.
    *(field.name for field in dataclasses.fields(PaintOptions) if field.name != "seed"),
}


class ManifestTests(Subject):
    """The manifest is found and cheap to import, and everything that it names exists."""

    def test_the_plugin_is_installed(self) -> None:
        """An entry point leads to a manifest of the same name."""
        name = getattr(self, "plugin", None)
        demand(isinstance(name, str), f"{type(self).__name__} does not name the plugin. Write: plugin = 'its-name'.")
        advice = (
            f'In pyproject.toml, under [project.entry-points."artgan.plugins"], write {name} = "package:plugin", and '
            "install the package (pip install -e .)."
        )
        problem = refusal(load_plugin, str(name))
        demand(problem is None, f"The plugin {name!r} cannot be loaded: {problem}. {advice}")

    def test_the_manifest_says_what_it_must(self) -> None:
        """A summary, something to build, and for training domains whose names do not clash with other options."""
        manifest = self._manifest
        summary = manifest.summary
        demand(
            isinstance(summary, str) and summary.strip() and "\n" not in summary,
            f"The manifest's summary is {summary!r}. Say in one line what the plugin does; artgan plugins shows it.",
        )
        demand(
            manifest.networks or manifest.generator or manifest.metrics,
            "The manifest names neither networks nor generator, nor metrics: there is nothing that artgan could use. "
            "Name the function that builds a model: networks (if it is trained) or generator.",
        )
        if manifest.trainer is not None:
            demand(
                manifest.networks,
                "The manifest names a trainer but no networks. Name the function that builds them: config -> Networks.",
            )
            demand(
                manifest.domains,
                "The manifest names a trainer but no domains, so artgan train would have no pictures to give it. Name "
                'the sets of pictures that it learns from: domains={"pictures": "folder of pictures"}.',
            )
        for name, help in manifest.domains.items():
            demand(
                isinstance(name, str) and name.isidentifier() and name == name.lower() and not keyword.iskeyword(name),
                f"The domain {name!r} cannot be an option of artgan train. Use lower-case letters, digits and '_'.",
            )
            demand(
                isinstance(help, str) and help.strip(),
                f"The domain {name!r} has no help text. Say what pictures it holds, for example 'folder of photos'.",
            )
        for kind, text in manifest.remedies.items():
            demand(
                kind in REMEDIES,
                f"The manifest has remedies for {kind!r}, which is not an alarm. There are {', '.join(REMEDIES)}.",
            )
            demand(
                text.strip() and "\n" not in text,
                f"The manifest's remedy for {kind!r} is {text!r}. Say in one line what to try; it follows "
                "'Likely remedies:'.",
            )
        if manifest.trainer is not None:
            self._check_names(set(manifest.domains))

    def _check_names(self, domains: set[str]) -> None:
        """Options of ``artgan train PLUGIN`` have unique names, except those shared by config and training."""
        config, training = self._field_names(), {field.name for field in dataclasses.fields(TrainingOptions)}
        for what, names, others in (
            ("the config's field", config, _COMMON),
            ("the domain", domains, _COMMON | training | config),
        ):
            taken = sorted(names & others)
            demand(
                not taken,
                f"The name of {what} {listed(taken)} is taken by another option of artgan train. Give it another name.",
            )

    def test_import_strings_lead_to_the_right_things(self) -> None:
        """Every import string leads to an object of the right kind, and the registry file exists."""
        manifest = self._manifest
        kinds: Mapping[str, tuple[Any, str]] = {
            "config": (inspect.isclass, "a dataclass"),
            "networks": (callable, "a function from the config to artgan.toolkit.Networks"),
            "generator": (callable, "a function from the config to an artgan.toolkit.Generator"),
            "trainer": (lambda part: _is_subclass(part, Trainer), "a subclass of artgan.toolkit.Trainer"),
            "convert": (callable, "a function from a foreign state dict to the plugin's own"),
            "options": (inspect.isclass, "a dataclass"),
            "encode_style": (callable, "a function from a generator and painting options to a part of its state dict"),
        }
        strings = {part: (getattr(manifest, part), *kind) for part, kind in kinds.items()}
        for name, string in manifest.metrics.items():
            kind = (lambda part: _is_subclass(part, Metric), "a subclass of artgan.toolkit.Metric")
            strings[f"metrics[{name!r}]"] = (string, *kind)
        for part, (string, fits, wanted) in strings.items():
            if string is None:
                continue
            module, attribute = string.split(":")
            with explained(
                f"The manifest's {part} is {string!r}, which cannot be imported",
                "Check the names of the module and of the object in it.",
            ):
                found = getattr(import_module(module), attribute)
            demand(
                fits(found),
                f"The manifest's {part} is {string!r}, which is a {type(found).__name__}. It must be {wanted}.",
            )
        if manifest.registry is not None:
            demand(
                (self._package / manifest.registry).is_file(),
                f"The manifest names {manifest.registry}, but {self._package} holds no such file. Put it next to the "
                "package's __init__.py (and make sure that the wheel contains it), or omit registry.",
            )

    def test_options_are_known_without_importing_torch(self) -> None:
        """``artgan plugins`` and ``artgan train PLUGIN --help`` are fast: these modules do not import torch."""
        manifest = self._manifest
        for part, string in (
            ("manifest", self._found.entry_point.value),
            ("config", manifest.config),
            ("options", manifest.options),
        ):
            if string is None:
                continue
            module = string.split(":")[0]
            done = python("-c", _WATCH, module)
            if done.returncode == 3:
                way = " -> ".join(re.findall(r'"([^"]*)"', done.stdout.splitlines()[-1]))
                demand(
                    False,
                    f"Importing the plugin's {part} imports torch ({way} -> torch), so that merely listing plugins "
                    "would take seconds. Move the code that needs torch to another module, which the manifest names by "
                    "an import string.",
                )
            demand(
                done.returncode == 0,
                f"The plugin's {part}, {module}, cannot be imported in a fresh Python: "
                f"{(done.stderr.strip().splitlines() or ['it ended without a message'])[-1]}. "
                "Import everything it needs, and do not rely on imports of other modules.",
            )


class ConfigTests(Subject):
    """The config is one declaration for Python, YAML and the command line."""

    def test_the_config_is_a_frozen_dataclass_of_options(self) -> None:
        """Config (and options): frozen, plain types, every field with a help text."""
        for part in ("config", "options"):
            if getattr(self._manifest, part) is None:
                continue
            cls = self._part(part)
            demand(
                dataclasses.is_dataclass(cls),
                f"The plugin's {part}, {cls.__name__}, is not a dataclass. Write @dataclass(frozen=True) above it.",
            )
            demand(
                cls.__dataclass_params__.frozen,
                f"The plugin's {part}, {cls.__name__}, can be changed once it is made, so the recorded values may "
                "differ from those that were used. Write @dataclass(frozen=True) above it.",
            )
            problem = refusal(field_types, cls)
            demand(problem is None, f"The plugin's {part} has a field that no command line can give: {problem}.")
            for field in dataclasses.fields(cls):
                demand(
                    str(field.metadata.get("help", "")).strip(),
                    f"{cls.__name__}.{field.name} has no help text, so --help cannot explain it. "
                    f'Declare it with artgan.plugin.option: {field.name}: ... = option(DEFAULT, "what it does").',
                )

    def test_defaults_are_valid(self) -> None:
        """Config (and options) can be created without arguments, and the defaults pass their own checks."""
        for part in ("config", "options"):
            if getattr(self._manifest, part) is None:
                continue
            cls = self._part(part)
            with explained(
                f"{cls.__name__}() cannot be created from its defaults",
                "Give every field a default that its rules allow.",
            ):
                parse(cls, to_dict(cls()), where="defaults")

    def test_the_settings_of_these_tests_are_valid(self) -> None:
        """The test class's ``config``, ``options`` and ``training`` are valid."""
        for name, problem in (
            ("config", self._refusal(self._values, "config")),
            ("options", self._refusal_of_options()),
            ("training", refusal(parse, TrainingOptions, self.training, where="training")),
        ):
            demand(
                problem is None, f"{type(self).__name__}.{name} is not valid: {problem}. Correct it in the test class."
            )

    def test_presets_are_valid(self) -> None:
        """Each preset holds valid values of the config and training, and the manifest's ``training`` of the latter."""
        manifest, config = self._manifest, self._field_names()
        training = {field.name for field in dataclasses.fields(TrainingOptions)}
        for name, values in {"training": manifest.training, **manifest.presets}.items():
            where = f"preset {name!r}" if name in manifest.presets else "training"
            own = {key: value for key, value in values.items() if key in config or key not in training}
            shared = {key: value for key, value in values.items() if key in training}
            problem = self._refusal(own, where) or refusal(parse, TrainingOptions, shared, where=where)
            demand(problem is None, f"Values of the manifest are not valid: {problem}. Correct them in the manifest.")

    def test_studies_are_valid(self) -> None:
        """Each study varies an option of the config or of training, with valid values."""
        if refusal(field_types, self._part("config")):
            skip_after("test_the_config_is_a_frozen_dataclass_of_options")
        for name, vary in self._manifest.studies.items():
            problem = refusal(plan, self._manifest, vary, {})
            demand(
                problem is None,
                f"The study {name!r} of the manifest cannot be made: {problem}. Write what it varies as "
                "'OPTION=VALUE,VALUE', with an option of the config or of artgan train.",
            )

    def test_the_config_survives_yaml(self) -> None:
        """The config can be restored from a run's config.yaml and a model's config.json."""
        cls, config = self._part("config"), self._settings
        with explained(
            f"{cls.__name__} cannot be written as YAML and read again", "Keep to bool, int, float and str, or None."
        ):
            again = parse(cls, yaml.safe_load(yaml.safe_dump(to_dict(config))), where="config.yaml")
        demand(
            again == config,
            f"{cls.__name__} changes when it is written and read: it was {config}, and came back as {again}. Let "
            "__post_init__ check values, not change them.",
        )

    def test_the_command_line_shows_every_option(self) -> None:
        """artgan train PLUGIN --help."""
        manifest = self._manifest
        if manifest.trainer is None:
            pytest.skip(f"the plugin {self.plugin} names no trainer, so artgan train has nothing to show")
        try:
            options = {*field_types(resolve(manifest, "config")), *manifest.domains}
        except (ArtganError, TypeError):
            skip_after("test_the_config_is_a_frozen_dataclass_of_options")
        _check_help(options, "train", self.plugin)

    def test_the_command_line_shows_every_painting_option(self, tmp_path: Path) -> None:
        """artgan paint --model MODEL --help."""
        cls = self._part("options")
        if refusal(field_types, cls):
            skip_after("test_the_config_is_a_frozen_dataclass_of_options")
        names = list(field_types(cls))
        taken = sorted(_PAINTING.intersection(names))
        demand(
            not taken,
            f"The name of the painting option {listed(taken)} is taken by artgan paint or Model.paint. Give it another "
            "name.",
        )
        (tmp_path / CONFIG).write_text(json.dumps({"plugin": self.plugin, "config": {}}))
        _check_help(names, "paint", "--model", f"local-dir:{tmp_path}")


def _check_help(names: Iterable[str], *command: str) -> None:
    """``artgan COMMAND --help`` shows the options of these names."""
    line = " ".join(("artgan", *command, "--help"))
    done = python("-m", "artgan", *command, "--help")
    demand(done.returncode == 0, f"{line} ends with status {done.returncode} and says: {done.stderr.strip()}")
    shown = set(re.findall(r"--([a-z0-9-]+)", re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)))
    missing = sorted(name for name in names if name.lower().replace("_", "-") not in shown)
    demand(not missing, f"{line} does not show {listed(missing)}. Give it a name that no other option has.")


def _is_subclass(part: Any, cls: type) -> bool:
    return inspect.isclass(part) and issubclass(part, cls)
