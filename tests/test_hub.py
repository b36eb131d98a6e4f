"""Models from the Hub: the real client against a Hub on loopback, in processes of their own.

The client reads HF_ENDPOINT and its kin when it is imported, so each set of settings is one process that loads what it
is told to, line by line.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save
from support.hub_server import TOKEN, Hub, sha256

from artgan.errors import RegistryError
from artgan.models.registry_file import read_file

NETWORKS = """
from dataclasses import dataclass

from torch import nn

from artgan.config import option
from artgan.interfaces import Generator


@dataclass(frozen=True)
class Config:
    channels: int = option(16, "in the middle", least=1)


class Sketch(Generator):
    def __init__(self, config):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, config.channels, 3, padding=1), nn.Conv2d(config.channels, 3, 1))

    def forward(self, x):
        return self.body(x).tanh()
"""

WIDE = 200_000
"""As many channels make a file that the client does not write in one piece."""

MANIFEST = """
from artgan.plugin import Plugin
plugin = Plugin(
    "sketch", "A test.", config="sketch_plugin.networks:Config", generator="sketch_plugin.networks:Sketch",
    registry="registry.yaml",
)
"""

# Loads what each line says, and answers with a line. Blocking the network comes after the imports that need sockets.
WORKER = """
import json, os, sys
import artgan, artgan.models.torch_model, huggingface_hub, huggingface_hub.file_download
blocked, limit = json.loads(sys.argv[1])
if blocked:
    import socket
    def refuse(*_, **__):
        raise AssertionError("the network was used")
    socket.socket = socket.create_connection = socket.getaddrinfo = refuse
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for line in sys.stdin:
    try:
        model = artgan.load(**json.loads(line))
        answer = {"name": model.name, "card": model.card, "bias": model.generator.body[1].bias.tolist()}
    except artgan.ArtganError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), flush=True)
os._exit(0)  # torch takes its time to go
"""


def weights(seed: int, channels: int = 16) -> bytes:
    """A file of the network's weights, 120 bytes a channel."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "body.0.weight": (channels, 3, 3, 3),
        "body.0.bias": (channels,),
        "body.1.weight": (3, channels, 1, 1),
    }
    state = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    return save({**state, "body.1.bias": torch.full((3,), float(seed))})


def bias(seed: int) -> list[float]:
    """What tells the weights of one seed from another's."""
    return [float(seed)] * 3


CONFIG = json.dumps({"plugin": "sketch", "config": {"channels": 16}, "license": {"weights": "cc0-1.0"}}).encode()


class Trap:
    """Unpickled, it would end the process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (77,)


class World:
    """A Hub with repositories, a plugin whose registry names some of them, and a cache."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.folder, self.cache = hub, folder, folder / "cache"
        self.seeds = iter(range(1, 1000))
        self.commits: dict[str, str] = {}
        self.models: dict[str, Any] = {}

    def repository(self, name: str, seed: int, **options: bool) -> str:
        """A repository that needs no registry."""
        return self.hub.add(name, {"config.json": CONFIG, "model.safetensors": weights(seed)}, **options)

    def register(self, tag: str, seed: int, *, channels: int = 16, **more: Any) -> str:
        """A repository someone/TAG with weights, and the model sketch.TAG; ``more`` replaces what the registry says."""
        data = weights(seed, channels)
        commit = self.hub.add(f"someone/{tag}", {"model.safetensors": data})
        hub = {"repo_id": f"someone/{tag}", "revision": commit, "file": "model.safetensors"}
        self.models[f"sketch.{tag}"] = {
            "plugin": "sketch",
            "distribution": "artgan-sketch",
            "config": {"channels": channels},
            "license": {"weights": "cc0-1.0"},
            "metrics": [{"name": "fd", "value": 2.0}],
            "weights": {"hub": hub, "sha256": sha256(data), "size": len(data), **more},
        }
        return commit

    def install(self) -> None:
        """Write the plugin's package, where the workers find it."""
        package = self.folder / "site" / "sketch_plugin"
        info = self.folder / "site" / "artgan_sketch-1.0.dist-info"
        (package / "weights").mkdir(parents=True)
        info.mkdir()
        (package / "__init__.py").write_text(MANIFEST)
        (package / "networks.py").write_text(NETWORKS)
        (package / "registry.yaml").write_text(yaml.safe_dump({"schema": 1, "models": self.models}))
        (package / "weights" / "both.safetensors").write_bytes(weights(90))
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: artgan-sketch\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[artgan.plugins]\nsketch = sketch_plugin:plugin\n")

    def blobs(self, name: str, cache: Path | None = None) -> set[str]:
        """The names of a repository's files in the cache, half-written ones too."""
        folder = (cache or self.cache) / f"models--{name.replace('/', '--')}" / "blobs"
        return {path.name for path in folder.glob("*")}


class Worker:
    """A process that loads models."""

    def __init__(self, world: World, *, blocked: bool = False, limit: int = 0, **environment: str) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "ARTGAN_"))}
        settings = {
            "PYTHONPATH": str(world.folder / "site"),
            "HF_ENDPOINT": world.hub.url,
            "HF_HOME": str(world.folder / "home"),
            "HF_HUB_CACHE": str(world.cache),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self.stderr = (world.folder / f"stderr-{os.urandom(4).hex()}").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps([blocked, limit])],
            env={**inherited, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
        )
        self.said = ""

    def load(self, name: str, **options: Any) -> dict[str, Any]:
        """What :func:`artgan.load` gives, or its error."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"name": name, **options}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        self.said += line
        assert line, self.errors()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def refusal(self, name: str, **options: Any) -> str:
        """The message of the error that loading ends in: one line."""
        answer = self.load(name, **options)
        assert answer.get("error") == "WeightsError", answer
        assert "\n" not in answer["message"]
        return str(answer["message"])

    def errors(self) -> str:
        """All that it wrote to standard error."""
        self.stderr.seek(0)
        return self.stderr.read()

    def close(self) -> None:
        """End it, and check that it told nobody the token, nor showed a traceback or a progress bar."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
        said = self.said + self.errors()
        self.stderr.close()
        assert TOKEN not in said
        assert "Traceback" not in said
        assert "%|" not in said


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Hub().serve() as hub:
        world = World(hub, tmp_path_factory.mktemp("hub"))
        for number, tag in enumerate(("plain", "wrong", "flaky", "race", "full", "offline", "away"), start=1):
            world.commits[tag] = world.register(tag, number)
        world.commits["once"] = world.register("once", 30)
        world.register("cut", 9, channels=WIDE)
        world.register("size", 20, size=len(weights(20)) + 1)
        world.register("hash", 21, sha256="0" * 64)
        world.register("both", 91, bundled="sketch_plugin/weights/both.safetensors", sha256=sha256(weights(90)))
        world.install()
        yield world


@pytest.fixture(scope="module")
def start(world: World) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(**settings: Any) -> Worker:
        workers.append(Worker(world, **settings))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture(scope="module")
def worker(start: Callable[..., Worker]) -> Worker:
    return start()


@pytest.fixture(scope="module")
def stranger(start: Callable[..., Worker]) -> Worker:
    """One without access to what is private or gated."""
    return start(HF_TOKEN="")


@pytest.fixture(autouse=True)
def no_faults_left(world: World) -> Iterator[None]:
    world.hub.requests.clear()
    yield
    world.hub.faults.clear()


# What loads


@pytest.mark.slow
def test_a_registered_model_is_fetched_once_and_then_needs_no_network(
    world: World, worker: Worker, start: Callable[..., Worker]
) -> None:
    first = worker.load("sketch.once")
    assert first["bias"] == bias(30)
    assert first["name"] == "sketch.once"
    assert first["card"]["weights"]["hub"]["revision"] == world.commits["once"]
    asked = {request.path.split("/")[1]: request.headers for request in world.hub.requests}
    assert asked["api"]["authorization"] == asked["someone"]["authorization"] == f"Bearer {TOKEN}"
    assert not asked["cdn"].keys() & {"authorization", "cookie"}  # another host must not have it

    world.hub.requests.clear()
    assert worker.load("sketch.once")["bias"] == bias(30)
    blocked = start(blocked=True)
    assert blocked.load("sketch.once")["bias"] == bias(30)
    assert not world.hub.requests


@pytest.mark.slow
def test_a_hash_is_computed_once_and_again_if_the_file_has_changed(world: World, worker: Worker) -> None:
    worker.load("sketch.plain")
    repository = world.cache / "models--someone--plain"
    (note,) = (repository / "artgan-verified").iterdir()
    path = repository / "snapshots" / world.commits["plain"] / "model.safetensors"
    assert note.stem == sha256(weights(1))
    assert json.loads(note.read_text())["mtime_ns"] == path.stat().st_mtime_ns
    written = note.stat().st_mtime_ns
    worker.load("sketch.plain")
    assert note.stat().st_mtime_ns == written  # it was believed

    note.write_text("{half")
    worker.load("sketch.plain")
    assert json.loads(note.read_text())["size"] == len(weights(1))

    path.resolve().write_bytes(weights(99))  # as long, and another time
    told = worker.refusal("sketch.plain")
    assert sha256(weights(1)) in told
    assert sha256(weights(99)) in told
    assert worker.load("sketch.plain")["bias"] == bias(1)


def test_a_repository_that_no_registry_names(world: World, worker: Worker) -> None:
    old = world.repository("someone/free", 30)
    model = worker.load("hf-hub:someone/free")
    assert model["name"] == f"hf-hub:someone/free@{old}"
    assert model["card"]["license"] == {"weights": "cc0-1.0"}
    assert model["bias"] == bias(30)
    assert f"main is now {old}; write someone/free@{old}" in worker.errors()

    new = world.hub.commit("someone/free", {"model.safetensors": weights(31)})
    files = {"config.json": CONFIG, "model.safetensors": weights(32)}
    world.hub.commit("someone/free", files, branch="refs/try")
    names = {"": new, "@main": new, f"@{old}": old, "@refs/try": None}
    for (suffix, commit), seed in zip(names.items(), (31, 31, 30, 32), strict=True):
        model = worker.load(f"hf-hub:someone/free{suffix}")
        assert model.get("bias") == bias(seed), model
        assert commit is None or model["name"].endswith(commit)
    assert worker.load("hf-hub:someone/free", revision=old)["bias"] == bias(30)

    world.hub.requests.clear()
    assert worker.load(f"hf-hub:someone/free@{old}")["bias"] == bias(30)
    assert not world.hub.requests


def test_the_cache_can_be_elsewhere(world: World, worker: Worker, tmp_path: Path) -> None:
    commit = world.repository("someone/elsewhere", 33)
    name = f"hf-hub:someone/elsewhere@{commit}"
    assert worker.load(name, cache_dir=str(tmp_path))["bias"] == bias(33)
    assert world.blobs("someone/elsewhere", tmp_path)
    assert not world.blobs("someone/elsewhere")
    assert worker.load(name, cache_dir=str(tmp_path), local_files_only=True)["bias"] == bias(33)
    assert "not in the cache, and local_files_only is set" in worker.refusal(name, local_files_only=True)


def test_what_is_bundled_comes_first_unless_a_revision_is_asked_for(world: World, worker: Worker) -> None:
    model = worker.load("sketch.both")
    assert model["bias"] == bias(90)
    assert model["card"]["metrics"] == [{"name": "fd", "value": 2.0}]
    assert not world.hub.requests

    new = world.hub.commit("someone/both", {"model.safetensors": weights(92)})
    model = worker.load("sketch.both", revision=new)
    assert model["bias"] == bias(92)
    found = model["card"]["weights"]
    assert (found["sha256"], found["hub"]["revision"]) == (sha256(weights(92)), new)
    assert model["card"]["metrics"] == []  # they were measured on other weights


# Names that are no good


@pytest.mark.parametrize(
    ("name", "revision", "told"),
    [
        ("hf-hub:someone", None, "write hf-hub:ORG/NAME"),
        ("hf-hub:", None, "write hf-hub:ORG/NAME"),
        ("hf-hub:a/b/c", None, "write hf-hub:ORG/NAME"),
        ("hf-hub:../b", None, "not a name that a model can have"),
        ("hf-hub:a/b@../../etc", None, "not a revision"),
        ("hf-hub:a/b@/etc", None, "not a revision"),
        ("hf-hub:a/b@v1", "v2", "give only one of the two"),
    ],
)
def test_what_is_no_name_is_refused_before_anything_is_asked(
    world: World, worker: Worker, name: str, revision: str | None, told: str
) -> None:
    assert told in worker.refusal(name, revision=revision)
    assert not world.hub.requests


@pytest.mark.parametrize(("key", "value"), [("revision", "main"), ("revision", "v1.0"), ("file", "model.bin")])
def test_a_registry_pins_a_commit_and_promises_no_pickle(tmp_path: Path, world: World, key: str, value: str) -> None:
    entry = json.loads(json.dumps(world.models["sketch.plain"]))
    entry["weights"]["hub"][key] = value
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "models": {"sketch.plain": entry}}))
    with pytest.raises(RegistryError, match=key):
        read_file(path)


# What the Hub refuses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hf-hub:someone/absent", "no such model on the Hub, or it is private"),
        ("hf-hub:someone/secret", "no such model on the Hub, or it is private"),
        ("hf-hub:someone/gated", "this model is gated; ask for access"),
        ("hf-hub:someone/gated@v9", "the model has no revision 'v9'"),
        (f"hf-hub:someone/gated@{'0' * 40}", f"the model has no revision '{'0' * 40}'"),
        ("hf-hub:someone/bare", "holds no config.json; it has pytorch_model.bin"),
    ],
)
def test_what_is_not_there_or_not_allowed_is_told(
    world: World, worker: Worker, stranger: Worker, name: str, told: str
) -> None:
    world.repository("someone/secret", 40, private=True)
    world.repository("someone/gated", 41, gated=True)
    world.hub.add("someone/bare", {"pytorch_model.bin": b"x"})
    assert told in stranger.refusal(name)
    assert not any(world.blobs(f"someone/{repository}") for repository in ("secret", "gated", "bare"))
    if name in ("hf-hub:someone/secret", "hf-hub:someone/gated"):  # and with a token it is allowed
        assert "bias" in worker.load(name, cache_dir=str(world.folder / "other"))


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, "refuses access (status 401)"),
        (403, {}, "the Hub refuses access (status 403); check HF_TOKEN"),
        (429, {"Retry-After": "7"}, "the Hub answered with status 429; try again in 7 seconds"),
        (404, {}, "the Hub answered with status 404"),
    ],
)
def test_a_refusal_of_the_hub_is_one_line(
    world: World, worker: Worker, status: int, headers: dict[str, str], told: str
) -> None:
    world.hub.fault("GET /api/models/someone/refused", status=status, headers=headers)
    assert told in worker.refusal("hf-hub:someone/refused")


def test_a_fault_of_the_hub_passes(world: World, worker: Worker) -> None:
    for pattern in ("GET /api/", "HEAD /someone/flaky/resolve"):
        world.hub.fault(pattern, times=1, status=500)
    assert worker.load("sketch.flaky")["bias"] == bias(3)


@pytest.mark.slow
def test_where_the_hub_has_a_lasting_fault_the_cache_will_do(world: World, worker: Worker) -> None:
    world.repository("someone/ill", 42)
    worker.load("hf-hub:someone/ill")
    world.hub.fault("GET /api/", status=503)
    assert worker.load("hf-hub:someone/ill")["bias"] == bias(42)
    assert "the Hub answered with status 503; try again later; the copy in the cache is used" in worker.errors()


# Files that are not what they should be


@pytest.mark.slow
def test_a_connection_cut_at_half_is_resumed(world: World, worker: Worker) -> None:
    world.hub.fault("GET /cdn/", times=1, cut=len(weights(9, WIDE)) // 2)
    assert worker.load("sketch.cut")["bias"] == bias(9)
    ranges = [request.headers.get("range") for request in world.hub.requests if request.path.startswith("/cdn/")]
    assert ranges == [None, f"bytes={10 * 2**20}-"]  # the client writes ten mebibytes at a time


def test_wrong_bytes_are_refused_with_both_hashes_and_fetched_anew(world: World, worker: Worker) -> None:
    world.hub.fault("GET /cdn/", times=1, body=weights(88))
    told = worker.refusal("sketch.wrong")
    for part in ("someone/wrong@", sha256(weights(2)), sha256(weights(88)), "removed from the cache"):
        assert part in told
    assert not world.blobs("someone/wrong")
    assert worker.load("sketch.wrong")["bias"] == bias(2)


def test_wrong_bytes_of_what_no_registry_names_are_refused_too(world: World, worker: Worker) -> None:
    commit = world.repository("someone/swapped", 43)
    world.hub.fault("GET /cdn/", times=1, body=weights(44))
    told = worker.refusal(f"hf-hub:someone/swapped@{commit}")
    assert sha256(weights(43)) in told
    assert sha256(weights(44)) in told
    assert worker.load(f"hf-hub:someone/swapped@{commit}")["bias"] == bias(43)


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("size", f"has {len(weights(20))} bytes, expected {len(weights(20)) + 1}; it is not fetched"),
        ("hash", f"has sha256 {sha256(weights(21))}, expected {'0' * 64}; it is not fetched"),
    ],
)
def test_what_the_registry_does_not_promise_is_not_fetched(world: World, worker: Worker, tag: str, told: str) -> None:
    assert told in worker.refusal(f"sketch.{tag}")
    assert not any(request.path.startswith("/cdn/") for request in world.hub.requests)


@pytest.mark.parametrize(("file", "limit"), [("config.json", 2**20), ("model.safetensors", 4 * 2**30)])
def test_what_is_too_large_is_not_fetched(world: World, worker: Worker, file: str, limit: int) -> None:
    world.repository("someone/large", 45)
    world.hub.repositories["models/someone/large"].claims[file] = limit + 1
    told = worker.refusal("hf-hub:someone/large")
    assert f"{file} has {limit + 1} bytes, over the limit of {limit}; it is not fetched" in told
    assert not [request.path for request in world.hub.requests if request.path.endswith(file)]


def test_a_pickle_under_another_name_is_refused_and_not_run(world: World, worker: Worker) -> None:
    world.hub.add("someone/trap", {"config.json": CONFIG, "model.safetensors": pickle.dumps(Trap())})
    assert "not a safetensors file, or damaged" in worker.refusal("hf-hub:someone/trap")
    assert "bias" in worker.load("sketch.plain")  # the process is still there


def test_a_config_that_names_no_installed_plugin_is_told(world: World, worker: Worker) -> None:
    files = {"config.json": b'{"plugin": "absent", "config": {}}', "model.safetensors": weights(1)}
    world.hub.add("someone/oil", files)
    answer = worker.load("hf-hub:someone/oil")
    assert answer["error"] == "PluginError"
    assert "no plugin named 'absent'" in answer["message"]


# Without a network, without room, and together


@pytest.mark.slow
def test_without_a_network_the_cache_will_do(world: World, worker: Worker, start: Callable[..., Worker]) -> None:
    world.repository("someone/moving", 50)
    worker.load("sketch.offline")
    worker.load("hf-hub:someone/moving")
    away, offline = start(HF_ENDPOINT="http://127.0.0.1:9"), start(HF_HUB_OFFLINE="1")
    for one in (away, offline):
        assert one.load("sketch.offline")["bias"] == bias(6)
        assert one.load("hf-hub:someone/moving")["bias"] == bias(50)
    assert "someone/moving: cannot be fetched from the Hub" in away.errors()
    assert "cannot be fetched from the Hub and is not in the cache" in away.refusal("sketch.away")
    assert "not in the cache, and HF_HUB_OFFLINE is set" in offline.refusal("sketch.away")
    assert "not in the cache, and HF_HUB_OFFLINE is set" in offline.refusal("hf-hub:someone/plain@v1")


@pytest.mark.slow
def test_a_full_disk_is_told_and_leaves_nothing_behind(
    world: World, worker: Worker, start: Callable[..., Worker]
) -> None:
    small = start(limit=len(weights(5)) // 2)
    told = small.refusal("sketch.full")
    assert told.startswith("someone/full@")
    assert "a file cannot be read or written here (File too large)" in told
    assert not world.blobs("someone/full")
    assert worker.load("sketch.full")["bias"] == bias(5)


@pytest.mark.slow
def test_two_processes_may_fetch_one_file_at_once(world: World, worker: Worker, start: Callable[..., Worker]) -> None:
    both = [worker, start()]
    for one in both:
        one.load("sketch.plain")  # both have imported all that they need
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda one=one: answers.append(one.load("sketch.race"))) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.get("bias") for answer in answers] == [bias(4), bias(4)]
    assert world.blobs("someone/race") == {sha256(weights(4))}


# Feature networks, which timm fetches

FEATURES = """
from artgan.errors import WeightsError
from artgan.features import load_vgg19
try:
    load_vgg19(["conv1_1"])
except WeightsError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "no such model on the Hub"),
        pytest.param({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set", marks=pytest.mark.exhaustive),
    ],
)
def test_a_feature_network_that_cannot_be_fetched_says_which_file_to_give(
    world: World, tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment = {**inherited, "HF_ENDPOINT": world.hub.url, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN, **settings}
    done = subprocess.run([sys.executable, "-c", FEATURES], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
    assert "or give its model.safetensors: --vgg19 FILE" in done.stdout
    assert done.stdout.count("\n") == 1
    assert TOKEN not in done.stdout + done.stderr
