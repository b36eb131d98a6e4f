"""The check-up: what it tells, what it calls a fault, and what it keeps to itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic

import pytest
import yaml
from support import ROOT
from support.processes import started_artgan

from artgan import doctor
from artgan.doctor import Finding, brings, examine, in_words
from artgan.models.registry import read_registry
from artgan.plugin import Plugin

Install = Callable[..., Path]


class Hub(BaseHTTPRequestHandler):
    """Answers that it is there, and keeps what it was asked."""

    asked: list[tuple[str, str | None]]

    def do_HEAD(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a server of the test is ever asked."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def of(check: str, findings: list[Finding]) -> list[Finding]:
    found = [finding for finding in findings if finding.check == check]
    assert found
    return found


# The program


@pytest.mark.slow
def test_it_tells_versions_devices_cache_hub_files_and_models_but_no_token(tmp_path: Path, hub: str) -> None:
    models = yaml.safe_load((ROOT / "registry.yaml").read_text())["models"]
    card = {**models["cyclegan.monet"], "alias": "cached"}
    weights = (ROOT / "plugins/artgan-cyclegan/src" / card["weights"].pop("bundled")).read_bytes()
    card["weights"]["hub"] = {"repo_id": "someone/monet-net", "revision": "1" * 40, "file": "m.safetensors"}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"schema": 1, "models": {"cyclegan.cached": card}}))
    # As the client lays a cache out: the file under its hash, and a link to it at the commit.
    repository = tmp_path / "cache" / "models--someone--monet-net"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "b").write_bytes(weights)
    (repository / "snapshots" / ("1" * 40)).mkdir(parents=True)
    (repository / "snapshots" / ("1" * 40) / "m.safetensors").symlink_to(repository / "blobs" / "b")
    done = subprocess.run(
        [sys.executable, "-c", "from artgan.cli import main; main()", "doctor", "--format", "json"],
        env={
            **os.environ,
            "ARTGAN_REGISTRY": str(tmp_path / "r.yaml"),
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_ENDPOINT": hub.replace("//", "//someone:password@"),
            "HF_TOKEN": "hf_verysecret",
            "HF_HUB_OFFLINE": "0",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    findings = [Finding(**finding) for finding in json.loads(done.stdout)]
    for check in ("artgan", "python", "system", "torch", "accelerate", "huggingface-hub", "pillow", "timm", "memory"):
        assert any(digit in of(check, findings)[0].found for digit in "0123456789")
    assert "cores" in of("cpu", findings)[0].found
    assert of("cuda", findings)
    assert of("mps", findings)
    assert [finding.found for finding in of("registry", findings)][:2] == [
        f"{ROOT / 'registry.yaml'}: {len(models)} model{'' if len(models) == 1 else 's'}",
        f"{tmp_path / 'r.yaml'}: 1 model",
    ]
    assert of("hub", findings)[0].found == f"{hub}: answers with status 200"
    assert of("hub token", findings)[0].found == "yes"
    assert of("hub cache", findings)[0].found == f"{tmp_path / 'cache'}: 0.9 MiB of artgan's models"
    assert of("cyclegan.cached", findings)[0].found == "cached, loads, runs in torch"
    assert of("cyclegan.monet", findings)[0].found.startswith("bundled, loads")
    assert "secret" not in done.stdout + done.stderr
    assert "password" not in done.stdout + done.stderr
    assert [authorization for _, authorization in Hub.asked if "secret" in str(authorization)] == []


# The Hub


def test_a_hub_that_cannot_be_reached_is_told_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of("hub", list(doctor._hub(read_registry())))[0]
    assert found.ok
    assert found.note
    assert found.found.startswith("http://127.0.0.1:9: cannot be reached (")


@pytest.mark.exhaustive
def test_the_program_calls_an_unreachable_hub_a_note_with_status_0() -> None:
    done = started_artgan("doctor", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert done.returncode == 0, done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("hub  ")]
    assert line.split()[:2] == ["hub", "note"]
    assert "cannot be reached" in line


def test_a_setting_that_names_no_file_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTGAN_VGG19", "/no/such")
    found = of("vgg19", list(doctor._settings()))[0]
    assert not found.ok
    assert "ARTGAN_VGG19: there is no file" in found.found


def test_a_hub_that_never_answers_is_waited_for_some_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TIMEOUT", 1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        start = monotonic()
        reached, told = doctor._answer(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert monotonic() - start < 30  # a busy machine takes longer than 1 s; without a limit it never ends
    assert not reached
    assert "cannot be reached" in told


def test_offline_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, hub: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert doctor._answer(hub) == (False, "not asked, as HF_HUB_OFFLINE is set")
    assert Hub.asked == []


# Faults


def test_a_part_of_a_plugin_that_cannot_be_imported_is_a_fault_that_names_it(install_plugin: Install) -> None:
    code = "from artgan.plugin import Plugin\nplugin = Plugin('ink', 'A test.', config='ink_plugin:C', {})\nC = int\n"
    install_plugin("ink", code.format("trainer='ink_plugin.trainer:Trainer'"))
    install_plugin("oil", code.replace("ink", "oil").format("metrics={'gloss': 'oil_plugin:Gloss'}"))
    install_plugin("wax", "raise RuntimeError('melted')")
    findings = list(examine())
    [ink], [oil], [wax] = (of(f"plugin {name}", findings) for name in ("ink", "oil", "wax"))
    assert not any(finding.ok for finding in (ink, oil, wax))
    assert "trainer ink_plugin.trainer:Trainer cannot be imported: ModuleNotFoundError" in ink.found
    assert "metric gloss oil_plugin:Gloss cannot be imported: AttributeError" in oil.found
    assert "wax (artgan-wax 1.0) cannot be imported: RuntimeError: melted" in wax.found
    assert of("plugin cyclegan", findings)[0].ok
    assert of("cyclegan.monet", findings)[0].ok


def test_in_strict_mode_it_still_tells_all_that_it_can(
    install_plugin: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("wax", "raise RuntimeError('melted')")
    monkeypatch.setenv("ARTGAN_STRICT_PLUGINS", "1")
    findings = list(examine())
    assert not of("plugins", findings)[0].ok
    assert "melted" in of("plugins", findings)[0].found
    assert of("cyclegan.monet", findings)[0].ok


def test_a_faulty_registry_that_was_asked_for_is_a_fault_and_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.yaml").write_text("schema: 1\n")
    monkeypatch.setenv("ARTGAN_REGISTRY", str(tmp_path / "r.yaml"))
    findings = list(examine())
    assert of("registry", findings)[0] == Finding(
        "registry", False, f"ARTGAN_REGISTRY: {tmp_path / 'r.yaml'}: models: is missing"
    )
    assert of("plugin cyclegan", findings)[0].ok


def test_a_library_that_is_not_there_or_broken_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._library("artgan-no-such", "artgan_no_such") == Finding(
        "artgan-no-such", False, "not installed: pip install artgan-no-such"
    )
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = doctor._library("pillow", "broken_library")
    assert not found.ok
    assert "cannot be imported (RuntimeError: operator torchvision::nms does not exist)" in found.found


def test_a_model_whose_plugin_is_not_installed_is_told_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"bundled": "artgan_ink/w.safetensors", "sha256": "a" * 64, "size": 1}
    card = {"plugin": "ink", "distribution": "artgan-ink", "weights": weights}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"schema": 1, "models": {"ink.wash": card}}))
    monkeypatch.setenv("ARTGAN_REGISTRY", str(tmp_path / "r.yaml"))
    assert of("ink.wash", list(examine())) == [
        Finding("ink.wash", True, 'its plugin is not installed: pip install "artgan[ink]"')
    ]


# What a plugin brings


def test_what_a_plugin_brings_is_told_by_name() -> None:
    plugin = Plugin(
        "cyclegan",
        "A test.",
        config="m:C",
        networks="m:n",
        metrics={"kid": "m:K", "fid": "m:F"},
        presets={"paper": {}},
        convert="m:c",
        layouts={"reference": "the authors' own"},
    )
    brought = brings(plugin, read_registry())
    assert brought == {
        "networks": True,
        "metrics": ["fid", "kid"],
        "presets": ["paper"],
        "convert": ["reference"],
        "models": len(read_registry().names("cyclegan.*")),
    }
    assert in_words({**brought, "models": 1}) == (
        "networks, metrics (fid, kid), presets (paper), convert (reference), 1 model"
    )
    nothing = brings(Plugin("ink", "A test.", config="m:C", convert="m:c"), read_registry())
    assert in_words(nothing) == "convert, 0 models"
