"""The conformance kit: sound plugins pass it, and each broken one fails for its own reason and no other.

The plugins are real ones, installed and tested by pytest as an author would have it. What takes a new process or a run
of training is left out where a fault has nothing to do with it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as save_tensors

from artgan.config import parse
from artgan.discovery import load_plugin, resolve
from artgan.models.registry import read_registry
from artgan.models.torch_model import TorchModel
from artgan.testing import PluginTests, check_output
from artgan.testing.manifest import ManifestTests
from artgan.testing.models import MetricTests, ModelTests
from artgan.testing.networks import DiscriminatorTests, GeneratorTests
from artgan.testing.training import TrainerTests

Files = dict[str, str]

# A plugin that paints: own trainer's state, a buffer, dropout, rounds, weights in the box, a metric.

DAUB: Files = {
    "__init__.py": """
from artgan.plugin import Plugin

plugin = Plugin(
    name="daub",
    summary="Daubs",
    config="daub_plugin.config:Config",
    networks="daub_plugin.networks:build",
    generator="daub_plugin.networks:build_generator",
    trainer="daub_plugin.trainer:DaubTrainer",
    domains={"photos": "folder of photos", "paintings": "folder of paintings"},
    convert="daub_plugin.networks:convert",
    layouts={"older": "what daub wrote before"},
    metrics={"grayness": "daub_plugin.metric:Grayness"},
    presets={"wide": {"width": 64}},
    registry="registry.yaml",
)
""",
    "config.py": """
from dataclasses import dataclass

from artgan.plugin import option
from artgan.plugin import AdversarialOptions


@dataclass(frozen=True)
class Config(AdversarialOptions):
    width: int = option(8, "channels", least=1)
    rate: float = option(0.1, "dropout", least=0, most=0.9)
""",
    "networks.py": """
import torch
import torch.nn.functional as F
from torch import nn

from artgan.toolkit import Converted
from artgan.toolkit import Discriminator, Generator, Networks


class Daub(Generator):
    stride = 2
    minimum_size = 4
    reach = 3

    def __init__(self, config):
        super().__init__()
        self.down = nn.Conv2d(3, config.width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(config.width)
        self.drop = nn.Dropout(config.rate)
        self.up = nn.Conv2d(config.width, 3, 3, padding=1)
        self.register_buffer("tint", torch.rand(1, 3, 1, 1))

    def forward(self, x):
        inside = self.drop(F.relu(self.norm(self.down(x))))
        inside = F.interpolate(inside, scale_factor=2.0, mode="nearest")
        return torch.tanh(self.up(inside) + self.tint)


class Critic(Discriminator):
    minimum_size = 8

    def __init__(self, config):
        super().__init__()
        self.frozen = nn.Conv2d(3, 3, 3).requires_grad_(False)
        self.layers = nn.Sequential(
            nn.Conv2d(6, config.width, 4, stride=2), nn.LeakyReLU(0.2), nn.Conv2d(config.width, 1, 2)
        )

    def observe(self, pictures):
        return pictures, F.pad(self.frozen(pictures), (1, 1, 1, 1))

    def judge(self, observed):
        return (self.layers(torch.cat(list(observed), dim=1)),)


def build_generator(config):
    return Daub(config)


def build(config):
    return Networks({"paintings": build_generator(config)}, {"paintings": Critic(config)})


def convert(state):
    return Converted("older", {}, state) if "older" in state else None
""",
    "trainer.py": """
import random

import torch

from artgan.toolkit import Trainer
from artgan.toolkit import Adversary, adam


class DaubTrainer(Trainer):
    def __init__(self, networks, config, run):
        super().__init__(networks, config, run)
        self.generator = networks.generators["paintings"]
        self.adversary = Adversary(networks.discriminators, config, run)
        self.optimizers = {"generator": adam([self.generator], config), "critic": self.adversary.optimizer}
        self.mean = 0.0

    def step(self, batch, index):
        made = self.generator(batch["photos"])
        loss = self.adversary.generator_loss("paintings", made)
        self.mean = 0.9 * self.mean + 0.1 * float(loss.detach())
        total = loss * (1 + self.mean + 0.1 * random.random())
        self.run.minimize(total, self.optimizers["generator"])
        figures = {"generator/paintings": loss.detach()}
        return figures | self.adversary.step(index, {"paintings": batch["paintings"]}, {})

    def sample(self, batch, generators):
        return {"photo": batch["photos"], "painting": generators["paintings"](batch["photos"])}

    def outputs(self, batch, generators):
        return {"paintings": (batch["photos"], generators["paintings"](batch["photos"]))}

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]
""",
    "metric.py": """
from artgan.toolkit import Metric, Score


class Grayness(Metric):
    name = "grayness"

    def __init__(self):
        self.sum, self.n = 0.0, 0

    def update(self, pictures, *, real):
        if not real:
            self.sum += float(pictures.std(1).mean((1, 2)).sum())
            self.n += len(pictures)

    def compute(self):
        if not self.n:
            raise ValueError("needs a picture")
        return Score(self.name, self.sum / self.n, (0, self.n))
""",
}

# A plugin that makes pictures of noise: no generator of its own in the manifest, noise and sizes of its own.

DRIP: Files = {
    "__init__.py": """
from artgan.plugin import Plugin

plugin = Plugin(
    name="drip",
    summary="Drips",
    config="drip_plugin.config:Config",
    networks="drip_plugin.networks:build",
    trainer="drip_plugin.trainer:DripTrainer",
    domains={"pictures": "folder of pictures"},
)
""",
    "config.py": """
from dataclasses import dataclass

from artgan.plugin import option
from artgan.plugin import AdversarialOptions


@dataclass(frozen=True)
class Config(AdversarialOptions):
    width: int = option(8, "channels", least=1)
""",
    "networks.py": """
import torch
from torch import nn

from artgan.toolkit import Discriminator, Generator, Networks


class Drip(Generator):
    task = "noise-to-image"
    noise_size = 5

    def __init__(self, config):
        super().__init__()
        self.first = nn.ConvTranspose2d(5, config.width, 4)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(config.width), nn.ReLU(), nn.ConvTranspose2d(config.width, 3, 8, stride=8), nn.Tanh()
        )

    def noise(self, count, *, generator=None):
        return torch.rand(count, 5, generator=generator) * 2 - 1

    def forward(self, z):
        return self.layers(self.first(z[:, :, None, None]))


class Critic(Discriminator):
    minimum_size = 32

    def __init__(self, config):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, config.width, 8, stride=8), nn.BatchNorm2d(config.width), nn.LeakyReLU(0.2),
            nn.Conv2d(config.width, 1, 4), nn.Flatten(0),
        )

    def judge(self, observed):
        return (self.layers(observed[0]),)


def build(config):
    return Networks({"pictures": Drip(config)}, {"pictures": Critic(config)})
""",
    "trainer.py": """
import torch

from artgan.toolkit import Trainer
from artgan.toolkit import Adversary, adam


class DripTrainer(Trainer):
    def __init__(self, networks, config, run):
        super().__init__(networks, config, run)
        self.generator = networks.generators["pictures"]
        self.adversary = Adversary(networks.discriminators, config, run)
        self.rounds = self.adversary.rounds
        self.optimizers = {"generator": adam([self.generator], config), "critic": self.adversary.optimizer}

    def step(self, batch, index):
        made = self.generator(self.generator.noise(len(batch["pictures"])))
        figures, to_judge = {}, {"pictures": made.detach()}
        if self.adversary.generators_turn(index):
            loss = self.adversary.generator_loss("pictures", made)
            self.run.minimize(loss, self.optimizers["generator"])
            figures["generator/pictures"] = loss.detach()
        return figures | self.adversary.step(index, batch, to_judge)

    def sample(self, batch, generators):
        return {"made": generators["pictures"](self.generator.noise(4))}

    def outputs(self, batch, generators):
        made = generators["pictures"](self.generator.noise(len(batch["pictures"])))
        return {"pictures": (None, made)}
""",
}

# A plugin that is not trained and works on the picture itself, as Gatys' does.

ETCH: Files = {
    "__init__.py": """
from artgan.plugin import Plugin

plugin = Plugin(
    name="etch", summary="Etchings", config="etch_plugin.config:Config", generator="etch_plugin.networks:Etch"
)
""",
    "config.py": """
from dataclasses import dataclass

from artgan.plugin import option


@dataclass(frozen=True)
class Config:
    steps: int = option(3, "of the optimisation", least=1)
""",
    "networks.py": """
import torch

from artgan.toolkit import Generator


class Etch(Generator):
    def __init__(self, config):
        super().__init__()
        self.steps = config.steps
        self.register_buffer("gray", torch.zeros(1, 3, 1, 1))

    def forward(self, x):
        painting = x.clone().requires_grad_()
        for _ in range(self.steps):
            with torch.enable_grad():
                distance = ((painting - self.gray) ** 2).sum()
            (gradient,) = torch.autograd.grad(distance, painting)
            painting = (painting.detach() - 0.1 * gradient).requires_grad_()
        return painting.detach()

    def generate(self, x, **options):
        if options:
            raise TypeError("no options")
        return self(x)
""",
}

# A plugin that learns nothing: a model without weights, whose generate() wants options.

RUB: Files = {
    "__init__.py": """
from artgan.plugin import Plugin

plugin = Plugin(
    name="rub",
    summary="Rubbings",
    config="rub_plugin.config:Config",
    generator="rub_plugin.networks:Rub",
    options="rub_plugin.config:Options",
    registry="registry.yaml",
)
""",
    "config.py": """
from dataclasses import dataclass

from artgan.plugin import option


@dataclass(frozen=True)
class Config:
    rate: float = option(0.1, "of a step", above=0)


@dataclass(frozen=True)
class Options:
    relief: tuple[str, ...] = option((), "what is rubbed")
    steps: int = option(100, "how many", least=1)
""",
    "networks.py": """
import torch

from artgan.errors import ConfigError
from artgan.toolkit import Generator


class Rub(Generator):
    def __init__(self, config):
        super().__init__()
        self.rate = float(torch.tensor(config.rate).item())  # which no meta device could do

    def forward(self, x):
        raise TypeError("give options: use generate()")

    def generate(self, x, *, relief, steps):
        if not relief:
            raise ConfigError("give a relief")
        painting = x.clone()
        for _ in range(steps):
            with torch.enable_grad():
                painting.requires_grad_()
                (gradient,) = torch.autograd.grad((painting**2).sum(), painting)
            painting = painting.detach() - self.rate * gradient
        return painting
""",
    "registry.yaml": """
schema: 1
models:
  rub.one: {plugin: rub, distribution: artgan-rub, config: {rate: 0.2}}
""",
}
RUBBED = {"relief": ["leaf", "coin"], "steps": 2}

# A plugin that paints in the style of any picture, in one pass: a wash of its mean color.

WASH: Files = {
    "__init__.py": """
from artgan.plugin import Plugin

plugin = Plugin(
    name="wash",
    summary="Washes",
    config="wash_plugin.config:Config",
    generator="wash_plugin.networks:Wash",
    options="wash_plugin.config:Options",
    encode_style="wash_plugin.networks:encode_style",
)
""",
    "config.py": """
from dataclasses import dataclass

from artgan.plugin import option


@dataclass(frozen=True)
class Config:
    strength: float = option(0.5, "of the wash", least=0, most=1)


@dataclass(frozen=True)
class Options:
    style: tuple[str, ...] = option((), "pictures whose color the wash has")
""",
    "networks.py": """
import torch

from artgan.toolkit import Generator, find_styles, to_tensor


class Wash(Generator):
    def __init__(self, config):
        super().__init__()
        self.strength = config.strength
        self.register_buffer("color", torch.zeros(3))

    def forward(self, x):
        return self.washed(x, self.color)

    def washed(self, x, color):
        return x + self.strength * (color.to(x)[:, None, None] - x)

    def generate(self, x, *, style):
        with torch.inference_mode():
            return self.washed(x, mean_color(style) if style else self.color)


def mean_color(style):
    return sum(each.weight * to_tensor(each.read()).mean((1, 2)) for each in find_styles(style))


def encode_style(generator, *, style):
    return {"color": mean_color(style)}
""",
}

# What takes a new process, or runs of training: left out where it has nothing to do with the fault.
TORCH = "test_options_are_known_without_importing_torch"
HELP = "test_the_command_line_shows_every_option"
STYLE = "test_a_saved_style_paints_as_its_picture_does"
PAINT_HELP = "test_the_command_line_shows_every_painting_option"
RESUME = "test_a_resumed_run_ends_as_one_that_never_stopped"
SLOW = {TORCH, HELP, PAINT_HELP, RESUME, "test_models_are_listed"}


def names_of(*parts: type) -> set[str]:
    """The names of the tests in some parts of the kit."""
    return {name for part in parts for name in dir(part) if name.startswith("test_")}


ALL = names_of(PluginTests)
# By the file in which a fault is, the quick tests that it could concern.
CONCERNED = {
    "networks.py": names_of(GeneratorTests, DiscriminatorTests, TrainerTests, ModelTests) - SLOW,
    "trainer.py": names_of(TrainerTests) - SLOW,
    "metric.py": names_of(MetricTests),
    "registry.yaml": names_of(ManifestTests, ModelTests) - SLOW,
}

Outcomes = dict[str, tuple[str, str]]  # by test: passed, failed or skipped, and what was told
Check = Callable[..., Outcomes]
Change = Callable[[Path], object]


class Author:
    """A plugin of pytest: runs some tests, and keeps what becomes of them."""

    def __init__(self, tests: set[str]) -> None:
        self.tests = tests
        self.outcomes: Outcomes = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.name in self.tests]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
            self.outcomes[report.nodeid.rpartition("::")[2]] = (report.outcome, told)


@pytest.fixture
def check(install_plugin: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """A function that installs a plugin, and tests it as its author would."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    quiet = ("cacheprovider", "terminal", "unraisableexception", "threadexception", "warnings", "logging")
    options = [f"--rootdir={tmp_path}", f"--basetemp={tmp_path / 'tests'}", "-c", os.devnull]
    options += [part for name in quiet for part in ("-p", f"no:{name}")]

    def run(files: Files, tests: set[str], *, change: Change | None = None, **attributes: Any) -> Outcomes:
        name = files["__init__.py"].split('name="')[1].split('"')[0]
        package = install_plugin(name, files["__init__.py"])
        for file, text in files.items():
            (package / file).write_text(text)
        if "registry.yaml" in files["__init__.py"] and "registry.yaml" not in files:
            put_model(name, package)
        if change is not None:
            change(package)
        read_registry.cache_clear()
        lines = [f"    {key} = {value!r}\n" for key, value in {"plugin": name, **attributes}.items()]
        file = tmp_path / "test_it.py"
        file.write_text(f"from artgan.testing import PluginTests\n\nclass TestIt(PluginTests):\n{''.join(lines)}")
        author = Author(tests)
        pytest.main([*options, str(file)], plugins=[author])
        del sys.modules["test_it"]
        assert author.outcomes.keys() == tests
        return author.outcomes

    return run


def put_model(name: str, package: Path) -> None:
    """Put a model of freshly initialized weights into a plugin's package and registry."""
    plugin, config = load_plugin(name), {"width": 4}
    models = {}
    with suppress(Exception):  # of a plugin that is too broken for one
        torch.manual_seed(0)
        generator = resolve(plugin, "generator")(parse(resolve(plugin, "config"), config, where="test")).eval()
        output = check_output(TorchModel(name, generator, {"plugin": name}), 0)
        data = save_tensors({key: value.contiguous() for key, value in generator.state_dict().items()})
        (package / "one.safetensors").write_bytes(data)
        models[f"{name}.one"] = {
            "plugin": name,
            "distribution": f"artgan-{name}",
            "config": config,
            "weights": {
                "bundled": f"{package.name}/one.safetensors",
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
            },
            "license": {"weights": "cc0-1.0"},
            "check": {"seed": 0, "output": output, "tolerance": 2},
        }
    (package / "registry.yaml").write_text(json.dumps({"schema": 1, "models": models}))  # JSON is YAML


# Sound plugins


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "skipped"),
    [
        (
            DAUB,
            {"test_noise_is_drawn_as_its_seed_says", "test_exported_forms_are_the_same_networks", PAINT_HELP, STYLE},
        ),
        (
            DRIP,
            {
                PAINT_HELP,
                STYLE,
                "test_the_manifests_generator_is_the_trained_one",
                "test_the_smallest_and_oblong_pictures",
                "test_photos_of_any_size_are_painted",
                "test_photos_are_painted_over_strokes",
                "test_tiles_are_what_the_whole_is",
                "test_the_registry_can_be_read",
                "test_models_have_a_config_and_a_license",
                "test_models_are_listed",
                "test_bundled_weights_load",
                "test_exported_forms_are_the_same_networks",
                "test_models_make_the_picture_of_their_check",
                "test_weights_of_no_known_layout_are_passed_over",
                "test_metrics_score_pictures",
            },
        ),
    ],
    ids=["daub", "drip"],
)
def test_a_sound_plugin_passes(check: Check, files: Files, skipped: set[str]) -> None:
    outcomes = check(files, ALL)
    assert not failures(outcomes)
    assert {name for name, (outcome, _) in outcomes.items() if outcome == "skipped"} == skipped
    assert not [told for _, told in outcomes.values() if "cannot be tested, see" in told]


@pytest.mark.slow
def test_a_plugin_without_training_passes_and_says_what_does_not_apply(check: Check) -> None:
    outcomes = check(ETCH, ALL - SLOW)
    assert not failures(outcomes)
    assert "has no trainer" in outcomes["test_steps_move_every_network"][1]
    assert outcomes["test_photos_of_any_size_are_painted"][0] == "passed"
    assert outcomes["test_generate_is_for_use"][0] == "passed"


@pytest.mark.slow
def test_a_plugin_of_any_style_passes(check: Check) -> None:
    outcomes = check(WASH, ALL - SLOW)
    assert not failures(outcomes)
    for test in (STYLE, "test_photos_of_any_size_are_painted", "test_photos_are_painted_over_strokes"):
        assert outcomes[test][0] == "passed"


@pytest.mark.slow
def test_a_plugin_without_weights_passes_with_the_options_of_its_test_class(check: Check) -> None:
    outcomes = check(RUB, ALL - {TORCH}, options=RUBBED)
    assert not failures(outcomes)
    for test, told in {
        "test_weights_survive_a_file": "has no weights of its own",
        "test_the_generator_is_built_without_memory": "has no weights of its own",
        "test_bundled_weights_load": "no model's weights are bundled",
        "test_steps_move_every_network": "has no trainer",
    }.items():
        assert outcomes[test][0] == "skipped"
        assert told in outcomes[test][1]
    for test in (PAINT_HELP, "test_each_picture_is_made_alone", "test_models_have_a_config_and_a_license"):
        assert outcomes[test][0] == "passed"
    assert not [told for _, told in outcomes.values() if "cannot be tested, see" in told]


@pytest.mark.slow
def test_without_pytest_the_kit_says_so_and_the_rest_works() -> None:
    code = """
import sys
sys.modules["pytest"] = None
from artgan.testing import check_output
try:
    from artgan.testing import PluginTests
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "artgan.testing.PluginTests needs pytest: pip install pytest\n"


# Broken ones


@dataclass(frozen=True)
class Fault:
    """A sound plugin with one text of one file replaced.

    Attributes:
        file: where the fault is.
        told: the tests that must fail, with a piece of what each must tell. All others must not fail.
        files: the sound plugin.
        change: what else is done to its package.
        attributes: of the author's test class.
    """

    file: str = "__init__.py"
    old: str = ""
    new: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    files: Files = field(default_factory=lambda: DAUB)
    change: Change | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def set_entry(**values: Any) -> Change:
    """Set values of the registry's entry; None takes one out."""

    def change(package: Path) -> None:
        path = package / "registry.yaml"
        document = json.loads(path.read_text())
        entry = document["models"]["daub.one"] | values
        document["models"]["daub.one"] = {key: value for key, value in entry.items() if value is not None}
        path.write_text(json.dumps(document))

    return change


def replaced(name: str, old: str, new: str) -> Change:
    """Replace a text of a file of the package."""

    def change(package: Path) -> None:
        text = (package / name).read_text()
        assert text.count(old) == 1
        (package / name).write_text(text.replace(old, new))

    return change


def write(name: str, data: bytes) -> Change:
    """Write a file of the package."""
    return lambda package: (package / name).write_bytes(data)


def pickled() -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(1)}, file)
    return file.getvalue()


TINT = 'self.register_buffer("tint", torch.rand(1, 3, 1, 1))'
OUT = "return torch.tanh(self.up(inside) + self.tint)"
UPDATE = 'self.run.minimize(total, self.optimizers["generator"])'
OPTIMIZERS = 'self.optimizers = {"generator": adam([self.generator], config), "critic": self.adversary.optimizer}'
STATE = """
    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]
"""

FAULTS: dict[str, Fault] = {
    # Options of painting
    "a painting option without help": Fault(
        "config.py",
        '"how many"',
        '""',
        {"test_the_config_is_a_frozen_dataclass_of_options": "Options.steps has no help text"},
        RUB,
        attributes={"options": RUBBED},
    ),
    "a painting option of a name that is taken": Fault(
        "config.py",
        '    steps: int = option(100, "how many", least=1)\n',
        '    steps: int = option(100, "how many", least=1)\n    batch: int = option(1, "at once")\n',
        {PAINT_HELP: "The name of the painting option batch is taken"},
        RUB,
        change=replaced("networks.py", "relief, steps)", "relief, steps, batch)"),
        attributes={"options": RUBBED},
    ),
    "painting options of the test class that are wrong": Fault(
        files=RUB,
        told={"test_the_settings_of_these_tests_are_valid": "options: unknown option 'stepps'"},
        attributes={"options": {"stepps": 2}},
    ),
    "painting options of a plugin that has none": Fault(
        files=ETCH,
        told={"test_the_settings_of_these_tests_are_valid": "options is not valid: the plugin has none"},
        attributes={"options": {"steps": 2}},
    ),
    "a style that is no part of the state": Fault(
        "networks.py", '{"color": mean', '{"hue": mean', {STYLE: "encode_style returns hue, which must be"}, WASH
    ),
    "a style that paints otherwise than its picture": Fault(
        "networks.py",
        "style)}",
        "style) / 2}",
        {STYLE: "the generator paints otherwise than with the option style"},
        WASH,
    ),
    "a style that cannot be found": Fault(
        "networks.py", "generator, *, style):", "generator, style):\n    style.x", {STYLE: "encode_style fails"}, WASH
    ),
    "rows that are painted together": Fault(
        "networks.py",
        "self.rate * gradient",
        "self.rate * gradient * (1 - x.mean() ** 2)",
        {"test_each_picture_is_made_alone": "changes with the other rows"},
        RUB,
        attributes={"options": RUBBED},
    ),
    "a model in the registry without the weights that it needs": Fault(
        change=set_entry(weights=None),
        told={"test_models_have_a_config_and_a_license": "has no weights in the registry, and a model of daub must be"},
    ),
    # The manifest
    "torch in the manifest": Fault(
        "__init__.py",
        "from artgan.plugin import Plugin",
        "from artgan.plugin import Plugin\nimport artgan.toolkit",
        {TORCH: "the plugin's manifest imports torch (daub_plugin -> artgan.toolkit -> "},
    ),
    "torch in the config's module": Fault(
        "config.py",
        "from dataclasses import dataclass",
        "from dataclasses import dataclass\nimport torch",
        {TORCH: "the plugin's config imports torch (daub_plugin.config -> torch)"},
    ),
    "a string that leads nowhere": Fault(
        "__init__.py",
        "metric:Grayness",
        "metrics:Grayness",
        {"test_import_strings_lead_to_the_right_things": "No module named 'daub_plugin.metrics'"},
    ),
    "a trainer that is none": Fault(
        "__init__.py",
        "trainer:DaubTrainer",
        "trainer:adam",
        {
            "test_import_strings_lead_to_the_right_things": "must be a subclass of artgan.toolkit.Trainer",
            "test_a_step_takes_batches_of_one_and_of_two": "The trainer cannot be created",
        },
    ),
    "a study of an option that there is not": Fault(
        "__init__.py",
        '    registry="registry.yaml",\n',
        '    registry="registry.yaml",\n    studies={"widths": "widht=4,8"},\n',
        {"test_studies_are_valid": "The study 'widths' of the manifest cannot be made: daub: there is no option"},
    ),
    "a study with one value": Fault(
        "__init__.py",
        '    registry="registry.yaml",\n',
        '    registry="registry.yaml",\n    studies={"widths": "width=4"},\n',
        {"test_studies_are_valid": "give two values or more"},
    ),
    "remedies for an alarm that there is not": Fault(
        "__init__.py",
        '    registry="registry.yaml",\n',
        '    registry="registry.yaml",\n    remedies={"boredom": "a higher --lr"},\n',
        {"test_the_manifest_says_what_it_must": "remedies for 'boredom', which is not an alarm"},
    ),
    "no domains to train on": Fault(
        "__init__.py",
        '{"photos": "folder of photos", "paintings": "folder of paintings"}',
        "{}",
        {
            "test_the_manifest_says_what_it_must": "names a trainer but no domains",
            "test_a_step_takes_batches_of_one_and_of_two": "KeyError: 'photos'",
        },
    ),
    "no registry where one is named": Fault(
        told={"test_import_strings_lead_to_the_right_things": "holds no such file"},
        change=lambda package: (package / "registry.yaml").unlink(),
    ),
    "another name than the entry point's": Fault(
        told={"test_the_plugin_is_installed": "no plugin named 'dab'; did you mean 'daub'"},
        attributes={"plugin": "dab"},
    ),
    # The config
    "a config that is not frozen": Fault(
        "config.py",
        "@dataclass(frozen=True)",
        "@dataclass",
        {"test_the_config_is_a_frozen_dataclass_of_options": "can be changed once it is made"},
        files=ETCH,
    ),
    "a field without help": Fault(
        "config.py",
        'option(8, "channels", least=1)',
        "8",
        {"test_the_config_is_a_frozen_dataclass_of_options": "Config.width has no help text"},
    ),
    "a default out of its range": Fault(
        "config.py", "option(0.1,", "option(0.95,", {"test_defaults_are_valid": "rate: must be at most 0.9, not 0.95"}
    ),
    "a name that all runs have": Fault(
        "config.py",
        "    rate: float",
        '    resume: bool = option(False, "the brush")\n    rate: float',
        {"test_the_manifest_says_what_it_must": "the config's field resume is taken by another option"},
    ),
    "a preset with an unknown key": Fault(
        "__init__.py",
        '{"width": 64}',
        '{"witdh": 64}',
        {"test_presets_are_valid": "preset 'wide': unknown option 'witdh'; did you mean 'width'?"},
    ),
    "settings of the tests that are not valid": Fault(
        told={"test_the_settings_of_these_tests_are_valid": "TestIt.config is not valid: config: width: must be"},
        attributes={"config": {"width": 0}},
    ),
    # The generator
    "pictures out of range": Fault(
        "networks.py",
        OUT,
        "return self.up(inside) + self.tint",
        {
            "test_pictures_are_finite_and_in_range": "end forward() with tanh()",
            "test_sample_sheets_can_be_drawn": "values of up to",
            "test_outputs_can_be_watched": "values of up to",
        },
    ),
    "pictures that are not finite": Fault(
        "networks.py",
        OUT,
        OUT.replace("return ", "made = ") + "\n        return made / (made * 0) if not self.training else made",
        {
            "test_pictures_are_finite_and_in_range": "values that are not finite",
            "test_photos_of_any_size_are_painted": "cannot be painted",
            "test_sample_sheets_can_be_drawn": "values of up to",
            "test_outputs_can_be_watched": "values of up to",
        },
    ),
    "pictures of another shape": Fault(
        "networks.py",
        "scale_factor=2.0",
        "scale_factor=4.0",
        {
            "test_pictures_have_the_right_shape": "makes (2, 3, 64, 64) from pictures (2, 3, 32, 32)",
            "test_the_smallest_and_oblong_pictures": "makes (1, 3, 8, 8) from a picture of 4 x 4",
            "test_photos_of_any_size_are_painted": "cannot be painted",
            "test_tiles_are_what_the_whole_is": "cannot paint in tiles",
        },
    ),
    "rows of a batch that mix": Fault(
        "networks.py",
        "nn.BatchNorm2d(config.width)",
        "nn.BatchNorm2d(config.width, track_running_stats=False)",
        {
            "test_each_picture_is_made_alone": "for a row changes with the other rows of the batch",
            "test_tiles_are_what_the_whole_is": "paints differently in tiles",
        },
    ),
    "dropout that never ends": Fault(
        "networks.py",
        "self.drop(F.relu(",
        "F.dropout(F.relu(",
        {
            "test_the_same_input_gives_the_same_pictures": "functional.dropout needs training=self.training",
            "test_models_make_the_picture_of_their_check": "colors differ by",
            "test_tiles_are_what_the_whole_is": "paints differently in tiles",
        },
    ),
    "weights that are not from torch's seed": Fault(
        "networks.py",
        TINT,
        "import random\n        " + TINT.replace("torch.rand(1, 3, 1, 1)", "torch.ones(1, 3, 1, 1) * random.random()"),
        {"test_the_same_seed_builds_the_same_weights": "has different weights (tint)"},
    ),
    "a tensor that the state dict lacks": Fault(
        "networks.py",
        TINT,
        "self.tint = torch.rand(1, 3, 1, 1)",
        {
            "test_weights_survive_a_file": "register_buffer",
            "test_models_make_the_picture_of_their_check": "daub.one makes no picture",
            "test_precision_and_device_are_those_of_the_input": "makes torch.float32 on cpu from torch.float16",
        },
    ),
    "a buffer that no file keeps": Fault(
        "networks.py",
        TINT,
        TINT.replace("))", "), persistent=False)"),
        {
            "test_weights_survive_a_file": "makes other pictures",
            "test_models_make_the_picture_of_their_check": "colors differ by",
        },
    ),
    "a constructor that looks at values": Fault(
        "networks.py",
        TINT,
        TINT + "\n        self.scale = self.up.weight.std().item()",
        {"test_the_generator_is_built_without_memory": "must not look at the values of tensors"},
    ),
    "a stride that is not true": Fault(
        "networks.py",
        "    stride = 2\n",
        "",
        {
            "test_the_smallest_and_oblong_pictures": "makes (1, 3, 4, 6) from a picture of 4 x 5 pixels, though it",
            "test_photos_of_any_size_are_painted": "cannot be painted",
        },
    ),
    "a minimum size that is not true": Fault(
        "networks.py",
        "F.relu(self.norm(self.down(x)))",
        "F.relu(self.norm(F.pad(self.down(x), (2, -2, 0, 0), mode='reflect')))",
        {
            "test_the_smallest_and_oblong_pictures": "fails on a picture of 4 x 4 pixels, though it says",
            "test_photos_of_any_size_are_painted": "1 x 1 pixels cannot be painted",
            "test_tiles_are_what_the_whole_is": "paints differently in tiles",
        },
    ),
    "a cast": Fault(
        "networks.py",
        OUT,
        f"{OUT}.float()",
        {"test_precision_and_device_are_those_of_the_input": "makes torch.float32 on cpu from torch.float16"},
    ),
    "a generator that detaches": Fault(
        "networks.py",
        "F.relu(self.norm(self.down(x)))",
        "F.relu(self.norm(self.down(x))).detach()",
        {
            "test_gradients_reach_every_parameter_of_a_generator": "No gradient reaches down.weight, down.bias",
            "test_steps_move_every_network": "No loss has a gradient for generator 'paintings': down.weight",
        },
    ),
    "a generate() that takes anything": Fault(
        "networks.py",
        "    def forward(self, x):\n        inside",
        "    def generate(self, x, **options):\n        return super().generate(x)\n\n"
        "    def forward(self, x):\n        inside",
        {"test_generate_is_for_use": "accepts an option that does not exist"},
    ),
    "a generator that is none": Fault(
        "networks.py",
        "def build_generator(config):\n    return Daub(config)",
        "def build_generator(config):\n    return nn.Sequential()",
        {"test_the_networks_are_built_as_the_interface_says": "Generator 'paintings' is a Sequential"},
    ),
    "a generator of the manifest that is another": Fault(
        "networks.py",
        "def build(config):\n",
        "def build(config):\n    config = type(config)(width=2 * config.width)\n",
        {"test_the_manifests_generator_is_the_trained_one": "differ in down.bias, down.weight"},
    ),
    "noise of a seed of its own": Fault(
        "networks.py",
        "torch.rand(count, 5, generator=generator)",
        "torch.rand(count, 5)",
        {"test_noise_is_drawn_as_its_seed_says": "differs for one seed"},
        files=DRIP,
    ),
    "noise of another length": Fault(
        "networks.py",
        "noise_size = 5",
        "noise_size = 6",
        {"test_noise_is_drawn_as_its_seed_says": "It must be (3, noise_size), here (3, 6)"},
        files=DRIP,
    ),
    # The discriminator
    "a forward() of its own": Fault(
        "networks.py",
        "    def judge(self, observed):",
        "    def forward(self, pictures):\n        return (2 * super().forward(pictures)[0],)\n\n"
        "    def judge(self, observed):",
        {"test_judging_what_was_observed_is_forward": "leave forward() to the base class"},
    ),
    "logits of the batch": Fault(
        "networks.py",
        "(self.layers(observed[0]),)",
        "(self.layers(observed[0] - observed[0].mean(0)),)",
        {"test_each_picture_is_judged_alone": "for a row changes with the other rows of the batch"},
        files=DRIP,
    ),
    "features without gradient": Fault(
        "networks.py",
        "        return pictures, F.pad",
        "        pictures = pictures.detach()\n        return pictures, F.pad",
        {
            "test_gradients_flow_to_the_judged_pictures": "a generator learns nothing from it",
            "test_steps_move_every_network": "No loss has a gradient for generator 'paintings'",
        },
    ),
    "observing with what is trained": Fault(
        "networks.py",
        ".requires_grad_(False)",
        "",
        {
            "test_gradients_flow_to_the_judged_pictures": "uses trainable parameters (frozen.weight",
            "test_steps_move_every_network": "No loss has a gradient for discriminator 'paintings': frozen.weight",
        },
    ),
    "a reach that is not true": Fault(
        "networks.py",
        "reach = 3",
        "reach = 1",
        {"test_tiles_are_what_the_whole_is": "paints differently in tiles than at once"},
    ),
    "a reach that is no number of pixels": Fault(
        "networks.py",
        "reach = 3",
        "reach = -1",
        {
            "test_the_networks_are_built_as_the_interface_says": "reach is -1",
            "test_tiles_are_what_the_whole_is": "paints differently in tiles",
        },
    ),
    "a discriminator's minimum size that is not true": Fault(
        "networks.py",
        "minimum_size = 8",
        "minimum_size = 4",
        {"test_the_smallest_pictures_are_judged": "fails on pictures of 4 x 4 pixels, its minimum_size"},
    ),
    # The trainer
    "one optimizer for both": Fault(
        "trainer.py",
        OPTIMIZERS,
        "self.adversary.optimizer = adam([self.generator, *networks.discriminators.values()], config)\n"
        '        self.optimizers = {"generator": self.adversary.optimizer}',
        {"test_each_update_changes_its_own_networks_alone": "holds parameters of generators and of discriminators"},
    ),
    "an update of the discriminator in the generator's step": Fault(
        "trainer.py",
        UPDATE,
        f"{UPDATE}\n        self.adversary.generator_loss('paintings', self.generator(batch['photos'])).backward()\n"
        '        self.optimizers["critic"].step()',
        {"test_each_update_changes_its_own_networks_alone": "change outside of run.minimize() (discriminator"},
    ),
    "gradients left over": Fault(
        "trainer.py",
        UPDATE,
        f"total.backward(retain_graph=True)\n        {UPDATE}",
        {"test_each_update_changes_its_own_networks_alone": "step() calls backward() itself"},
    ),
    "a parameter that no optimizer has": Fault(
        "trainer.py",
        "adam([self.generator], config)",
        "adam([self.generator.up], config)",
        {"test_every_parameter_has_one_optimizer": "No optimizer holds generator 'paintings': down.weight"},
    ),
    "an optimizer that is not used": Fault(
        "trainer.py",
        UPDATE,
        "pass",
        {"test_steps_move_every_network": "The optimizer 'generator' was not used in 3 steps"},
    ),
    "a figure that is no scalar": Fault(
        "trainer.py",
        "loss.detach()}",
        "made.detach()}",
        {"test_figures_can_be_logged": "'generator/paintings' as a tensor (2, 3, 32, 32)"},
    ),
    "a figure that is not finite": Fault(
        "trainer.py",
        "loss.detach()}",
        "(loss * 0).detach().log()}",
        {"test_figures_can_be_logged": "'generator/paintings' = -inf"},
    ),
    "a figure with its gradient": Fault(
        "trainer.py", "loss.detach()}", "loss}", {"test_figures_can_be_logged": "Return figure.detach()"}
    ),
    "a figure named as no other": Fault(
        "trainer.py", '"generator/paintings"', '"loss"', {"test_figures_can_be_logged": "Name it KIND/OF"}
    ),
    "samples of the trained generator": Fault(
        "trainer.py",
        '"painting": generators["paintings"]',
        '"painting": self.generator',
        {"test_sample_sheets_can_be_drawn": "runs the generator paintings of self.networks"},
    ),
    "outputs of another generator's name": Fault(
        "trainer.py",
        'return {"paintings": (batch',
        'return {"photos": (batch',
        {"test_outputs_can_be_watched": "names 'photos', but the generators are paintings"},
    ),
    "a batch that must be larger": Fault(
        "networks.py",
        "nn.ConvTranspose2d(5, config.width, 4)",
        "nn.Sequential("
        "nn.Flatten(), nn.BatchNorm1d(5), nn.Unflatten(1, (5, 1, 1)), nn.ConvTranspose2d(5, config.width, 4))",
        {"test_a_step_takes_batches_of_one_and_of_two": "step() fails with a batch of 1"},
        files=DRIP,
    ),
    "a state that cannot be written": Fault(
        "trainer.py",
        'return {"mean": self.mean}',
        'return {"mean": {self.mean}}',
        {"test_the_trainers_state_can_be_kept": "state_dict() cannot be written"},
    ),
    "a state that is not taken back": Fault(
        "trainer.py",
        'self.mean = state["mean"]',
        "pass",
        {"test_the_trainers_state_can_be_kept": "differs from the one that it was given"},
    ),
    "a state that is not saved": Fault(
        "trainer.py",
        STATE,
        "",
        {RESUME: "A run that was stopped and resumed differs from one that was not: at step 5"},
    ),
    "chance from the clock": Fault(
        "trainer.py",
        "random.random()",
        "random.SystemRandom().random()",
        {RESUME: "Two runs with one seed differ: at step "},
    ),
    # Models and metrics
    "another file than the registry promises": Fault(
        "registry.yaml", told={"test_bundled_weights_load": "expected"}, change=write("one.safetensors", b"?")
    ),
    "another picture than the registry promises": Fault(
        "registry.yaml",
        told={"test_models_make_the_picture_of_their_check": "colors differ by"},
        change=set_entry(check={"seed": 0, "output": [[0, 0, 0]] * 16, "tolerance": 2}),
    ),
    "no picture in the registry": Fault(
        "registry.yaml",
        told={"test_models_make_the_picture_of_their_check": "has no check"},
        change=set_entry(check={}),
    ),
    "another task in the registry": Fault(
        "registry.yaml",
        told={"test_models_make_the_picture_of_their_check": "its generator is image-to-image"},
        change=set_entry(task="noise-to-image"),
    ),
    "no license": Fault(
        "registry.yaml",
        told={"test_models_have_a_config_and_a_license": "names no license"},
        change=set_entry(license={}),
    ),
    "a config in the registry that is none": Fault(
        "registry.yaml",
        told={"test_models_have_a_config_and_a_license": "unknown option 'widht'"},
        change=set_entry(config={"widht": 8}),
    ),
    "a registry that cannot be read": Fault(
        "registry.yaml", told={"test_the_registry_can_be_read": "must be a mapping"}, change=set_entry(weights=[])
    ),
    "another plugin's model": Fault(
        "registry.yaml", told={"test_the_registry_can_be_read": "cannot be used"}, change=set_entry(plugin="dab")
    ),
    "a pickle": Fault(
        "registry.yaml",
        told={"test_the_package_holds_no_pickle": "holds weights.data"},
        change=write("weights.data", pickled()),
    ),
    "a conversion of what is another's": Fault(
        "networks.py",
        ' if "older" in state else None',
        "",
        {"test_weights_of_no_known_layout_are_passed_over": "It must return None for them"},
    ),
    "a metric that invents a score": Fault(
        "metric.py",
        'raise ValueError("needs a picture")',
        "return Score(self.name, 0.0, (0, 0))",
        {"test_metrics_score_pictures": "though it has seen no pictures"},
    ),
    "a metric that miscounts": Fault(
        "metric.py",
        "self.n += len(pictures)",
        "self.n += 1",
        {"test_metrics_score_pictures": "computed from (0, 2) pictures"},
    ),
    "a metric that does not say which values are better in one of the two words": Fault(
        "metric.py",
        'name = "grayness"',
        'name, better = "grayness", "smaller"',
        {"test_metrics_score_pictures": "has better = 'smaller'. Say 'lower' or 'higher'"},
    ),
    "a metric that says which values are better of a score that it does not give": Fault(
        "metric.py",
        'name = "grayness"',
        'name, better = "grayness", {"grayness": "lower", "whiteness": "lower"}',
        {"test_metrics_score_pictures": "but its scores are grayness"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_plugin_fails_for_its_own_reason(check: Check, name: str) -> None:
    fault = FAULTS[name]
    told = failures(broken(check, fault, fault.told.keys()))
    assert told.keys() == fault.told.keys(), told
    assert {test: piece for test, piece in fault.told.items() if piece not in told[test]} == {}, told


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_plugin_fails_no_other_test(check: Check, name: str) -> None:
    fault = FAULTS[name]
    told = failures(broken(check, fault, CONCERNED.get(fault.file, ALL - SLOW) | fault.told.keys()))
    assert told.keys() == fault.told.keys(), told


def broken(check: Check, fault: Fault, tests: Set[str]) -> Outcomes:
    """What some tests of the kit say of the plugin with the fault."""
    files = dict(fault.files)
    if fault.old:
        assert files[fault.file].count(fault.old) == 1
        files[fault.file] = files[fault.file].replace(fault.old, fault.new)
    return check(files, tests, change=fault.change, **fault.attributes)


def failures(outcomes: Outcomes) -> dict[str, str]:
    """What the failed tests tell, in one line each: no more is needed to understand them."""
    return {name: told.splitlines()[0] for name, (outcome, told) in outcomes.items() if outcome == "failed"}
