"""``artgan publish``: what is checked, what is shown, and what the real client brings to a Hub on loopback."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.hub_server import TOKEN, Hub, git_hash, sha256

import artgan
from artgan.errors import ArtganError, ConfigError
from artgan.interfaces import Generator
from artgan.models.cards import card_files, checked_license, example_picture, weights_license
from artgan.models.folder import save_model
from artgan.models.publishing import Publication, prepare
from artgan.models.registry import read_registry

FILES = ["model.safetensors", "config.json", "README.md", "example-input.png", "example-output.png"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that comes with artgan, saved once."""
    folder = tmp_path_factory.mktemp("saved") / "monet"
    artgan.load("monet").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return shutil.copytree(saved, tmp_path / "monet")


def front_matter(folder: Path) -> Any:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


# What is saved


def test_a_saved_model_is_in_the_hubs_layout(saved: Path) -> None:
    entry = read_registry().entry("monet")
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)
    with safe_open(saved / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    assert list(metadata) == ["artgan"]  # safetensors writes several in any order
    assert json.loads(metadata["artgan"]) == {
        "plugin": "cyclegan",
        "config": dict(entry.config),
        "artgan_version": artgan.__version__,
        "license": dict(entry.license),
        "palette": artgan.load("monet").brushwork.palette.to_dict(),
    }
    config = json.loads((saved / "config.json").read_text())
    assert (config["name"], config["plugin"], config["metrics"]) == ("cyclegan.monet", "cyclegan", list(entry.metrics))
    assert front_matter(saved) == {
        "license": "apache-2.0",
        "library_name": "artgan",
        "pipeline_tag": "image-to-image",
        "tags": ["art", "cyclegan"],
    }
    text = (saved / "README.md").read_text()
    for part in (
        "# cyclegan.monet",
        "died: 1926",
        "| style-distance-vgg19 | 0.4939 | photos 100",
        "example-output.png",
    ):
        assert part in text


@pytest.mark.slow
def test_the_example_is_what_the_model_paints(saved: Path) -> None:
    given, shown = (Image.open(saved / name) for name in FILES[3:])
    assert given.size == shown.size
    assert given.tobytes() == example_picture().tobytes()
    assert artgan.load("monet").paint(given).tobytes() == shown.tobytes()


def test_saving_again_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    model = artgan.Model.from_pretrained(saved)
    model.save_pretrained(tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes(), name


def test_a_folder_and_a_model_of_the_hub_do_not_shadow_each_other(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved.parent)
    for source in (saved, str(saved), "./monet", Path("monet"), "local-dir:monet"):
        assert artgan.Model.from_pretrained(source).card["name"] == "cyclegan.monet"
    (saved.parent / "someone").mkdir(exist_ok=True)
    shutil.copytree(saved, "someone/monet", dirs_exist_ok=True)
    for source in ("someone/monet", "someone/monet@v1"):  # a folder of that name is there, and is not looked at
        with pytest.raises(ArtganError, match=r"someone/monet.* not in the cache"):
            artgan.Model.from_pretrained(source, local_files_only=True)
    with pytest.raises(ArtganError, match=r"'local-dir:PATH' or 'hf-hub:ORG/NAME'.*artgan\.load"):
        artgan.Model.from_pretrained("monet")
    with pytest.raises(ArtganError, match="a folder has no revisions"):
        artgan.Model.from_pretrained(saved, revision="main")


@pytest.mark.parametrize(
    ("license", "metadata"),
    [
        ({"weights": "CC0-1.0"}, {"license": "cc0-1.0"}),
        ("mit", {"license": "mit"}),
        ({"weights": "My own: ask"}, {"license": "other", "license_name": "My own: ask"}),
        ({"data": "public domain"}, {}),
        ({}, {}),
        (None, {}),
        (["mit"], {}),
    ],
)
def test_the_license_is_told_in_the_hubs_words(tmp_path: Path, license: Any, metadata: dict[str, str]) -> None:
    model = artgan.load("monet")
    model.card["license"] = license
    model.save_pretrained(tmp_path, examples=False)
    found = front_matter(tmp_path)
    assert {key: value for key, value in found.items() if key.startswith("license")} == metadata
    assert (weights_license(model.card) is None) == (not metadata)
    assert not (tmp_path / "example-input.png").exists()


class Noise(Generator):
    """Noise to gray pictures."""

    task = "noise-to-image"
    noise_size = 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)


def test_the_card_of_a_model_that_takes_noise_has_no_photo() -> None:
    files = card_files({"plugin": "gray", "config": {}, "license": "mit"}, Noise.task, paint=None)
    assert list(files) == ["README.md"]
    text = files["README.md"].decode()
    assert yaml.safe_load(text.split("---\n")[1])["pipeline_tag"] == "unconditional-image-generation"
    assert "model.sample(1)[0]" in text
    assert "example-" not in text


def test_the_card_of_a_model_that_needs_a_style_gives_it_one() -> None:
    """Without it, the call that the card shows would fail, and an example cannot be painted."""
    card = {"plugin": "gray", "config": {}, "license": "mit"}
    files = card_files(card, "image-to-image", paint=lambda picture: picture, needs_style=True)
    assert list(files) == ["README.md"]
    assert 'model.paint("photo.jpg", style="style.jpg").save' in files["README.md"].decode()


# What is checked


def test_what_a_training_run_leaves_is_completed(tmp_path: Path) -> None:
    model = artgan.load("monet")
    save_model(tmp_path, model.generator, plugin="cyclegan", config=model.card["config"], extra={"step": 3})
    with pytest.raises(ArtganError, match=r"config.json: names no license; .*, for example --license apache-2.0"):
        prepare(tmp_path, "someone/monet")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "license": {"weights": "mit"}}))
    publication = prepare(tmp_path, "someone/monet")
    assert [operation.path_in_repo for operation in publication.operations] == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def published(publication: Publication, name: str) -> str:
    operation = next(operation for operation in publication.operations if operation.path_in_repo == name)
    with operation.as_file() as file:
        return file.read().decode()


def test_a_license_is_given_to_a_new_model_and_its_folder_is_left_alone(tmp_path: Path) -> None:
    model = artgan.load("monet")
    training = {"steps": 3, "data": {"photos": {"pictures": 12, "fingerprint": "ab"}}}
    scores = [{"name": "kid", "value": 0.25, "n": 12, "step": 3}]
    save_model(
        tmp_path,
        model.generator,
        plugin="cyclegan",
        config=model.card["config"],
        extra={"step": 3, "license": {"data": "public domain"}, "training": training, "metrics": scores},
    )
    before = (tmp_path / "config.json").read_bytes()
    publication = prepare(tmp_path, "someone/monet", license="cc-by-4.0")
    assert [operation.path_in_repo for operation in publication.operations] == FILES
    card = json.loads(published(publication, "config.json"))
    assert card == {**json.loads(before), "license": {"data": "public domain", "weights": "CC-BY-4.0"}}
    text = published(publication, "README.md")
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "cc-by-4.0"
    for part in ("- steps: 3", "photos pictures 12, fingerprint ab", "| kid | 0.25 | 12 | 3 |", "data: public domain"):
        assert part in text
    assert "## Not stated here" not in text
    assert (tmp_path / "config.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_new_models_card_names_what_it_does_not_tell(tmp_path: Path) -> None:
    model = artgan.load("monet")
    save_model(tmp_path, model.generator, plugin="cyclegan", config=model.card["config"], extra={"step": 3})
    told = published(prepare(tmp_path, "someone/monet", license="mit"), "README.md").split("## Not stated here")[1]
    assert told.strip().splitlines() == [
        "- what it was trained on, and how long",
        "- the license of the pictures that it was trained on",
        "- measured figures, such as `artgan evaluate` gives",
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("CC-by-4.0", "CC-BY-4.0"),
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("LicenseRef-Mine", "LicenseRef-Mine"),
        ("OpenRAIL", "openrail"),
    ],
)
def test_names_of_licenses_are_those_of_spdx_or_of_the_hub(text: str, name: str) -> None:
    assert checked_license(text) == name


@pytest.mark.parametrize(
    ("text", "told"),
    [("apache2.0", "did you mean apache-2.0?"), ("mine", "for example apache-2.0"), ("", "for example")],
)
def test_another_name_of_a_license_is_refused(folder: Path, text: str, told: str) -> None:
    for call in (lambda: prepare(folder, "someone/monet", license=text), lambda: checked_license(text)):
        with pytest.raises(ConfigError) as caught:
            call()
        assert str(caught.value).startswith(f"--license {text!r}: neither SPDX")
        assert told in str(caught.value)
        assert str(caught.value).endswith("For a license of your own, write LicenseRef-NAME")


def test_another_license_than_the_folders_is_refused(folder: Path) -> None:
    assert prepare(folder, "someone/monet", license="apache-2.0").operations
    with pytest.raises(ArtganError, match=r"config\.json: names the license apache-2\.0; omit --license, or change it"):
        prepare(folder, "someone/monet", license="mit")
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(text.replace("license: apache-2.0", "license: mit"))
    with pytest.raises(ArtganError, match=r"README\.md: names the license mit; omit --license, or remove the file"):
        prepare(folder, "someone/monet", license="apache-2.0")


@pytest.mark.parametrize("name", ["monet", "a/b/c", "/monet", "a/", "a--b/c", "a/b..c", "../monet", "a/b c", "-a/b"])
def test_what_is_no_name_on_the_hub_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ArtganError, match="write ORG/NAME"):
        prepare(folder, name)


def spoil_pickle(folder: Path) -> None:
    (folder / "optimizer.pt").write_bytes(pickle.dumps(1))


def spoil_subfolder(folder: Path) -> None:
    (folder / "checkpoints").mkdir()


def spoil_disguise(folder: Path) -> None:
    torch.save({}, folder / "model.safetensors")


def spoil_numbers(folder: Path) -> None:
    with safe_open(folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    state = load_file(folder / "model.safetensors")
    next(iter(state.values())).flatten()[0] = float("nan")
    save_file(state, folder / "model.safetensors", metadata)


def spoil_painting(folder: Path) -> None:
    shutil.copy(folder / "example-input.png", folder / "example-output.png")


def spoil_size(folder: Path) -> None:
    Image.new("RGB", (9, 9)).save(folder / "example-output.png")


def spoil_half(folder: Path) -> None:
    (folder / "example-input.png").unlink()


def spoil_png(folder: Path) -> None:
    (folder / "example-input.png").write_bytes(pickle.dumps(1))


def spoil_readme(folder: Path) -> None:
    (folder / "README.md").write_text("# Monet\n")


def spoil_yaml(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: [\n---\n# Monet\n")


def spoil_text(folder: Path) -> None:
    (folder / "README.md").write_bytes(b"---\nlicense: \xff\n---\n")


def spoil_large(folder: Path) -> None:
    with (folder / "LICENSE").open("wb") as file:
        file.truncate(2**30)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_pickle, "holds optimizer.pt, which is not published; move it away"),
        (spoil_subfolder, "holds checkpoints, which is not published"),
        (spoil_disguise, "not a safetensors file, or damaged"),
        (spoil_numbers, "holds weights that are not finite"),
        (spoil_painting, "example-output.png: not what the model paints of example-input.png"),
        (spoil_size, "example-output.png: not what the model paints of example-input.png"),
        (spoil_half, "holds one of example-input.png and example-output.png"),
        (spoil_png, "example-input.png"),
        (spoil_readme, "README.md: names no license in YAML"),
        (spoil_yaml, "README.md: names no license in YAML"),
        (spoil_text, "README.md: names no license in YAML"),
        (spoil_large, "LICENSE: larger than"),
    ],
)
def test_a_folder_that_is_not_fit_is_refused(folder: Path, spoil: Any, told: str) -> None:
    prepare(folder, "someone/monet")
    spoil(folder)
    with pytest.raises(ArtganError) as caught:
        prepare(folder, "someone/monet")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hidden_files_stay_behind(folder: Path) -> None:
    (folder / ".cache").mkdir()
    (folder / ".env").write_text("secret")
    assert [operation.path_in_repo for operation in prepare(folder, "someone/monet").operations] == FILES


# The command, and the Hub


# Runs the command line that each line holds, as often as asked: torch is imported once.
COMMANDS = """
import contextlib, io, json, os, sys
from artgan.cli import main
for line in sys.stdin:
    arguments, os.environ["HF_TOKEN"] = json.loads(line)
    sys.argv = ["artgan", *arguments]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
os._exit(0)  # torch takes its time to go
"""


class Terminal:
    """A process that runs the command line against a Hub, with a home of its own."""

    def __init__(self, hub: Hub, home: Path) -> None:
        self.hub, self.home = hub, home
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
        self.errors = (home / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMANDS],
            env={**inherited, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def run(self, *arguments: str | Path, token: str = TOKEN) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of ``artgan ARGUMENTS``; neither tells the token."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([[*map(str, arguments)], token]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, (self.home / "stderr").read_text()
        status, out, err = json.loads(line)
        for text in (out, err, (self.home / "stderr").read_text()):
            assert TOKEN not in text
            assert not token or token not in text
            assert "Traceback" not in text
        return status, out, err

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
        self.errors.close()


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    with Hub().serve() as hub:
        terminal = Terminal(hub, tmp_path_factory.mktemp("home"))
        yield terminal
        terminal.close()


@pytest.mark.slow
def test_without_push_it_is_told_what_would_be_uploaded(terminal: Terminal, saved: Path) -> None:
    terminal.hub.requests.clear()
    status, out, err = terminal.run("publish", saved, "--repo", "someone/dry", token="")
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert [row[2] for row in rows] == FILES
    for digest, size, name in rows:
        data = (saved / name).read_bytes()
        assert (digest, int(size.replace(",", ""))) == (sha256(data), len(data))
    assert "nothing was uploaded; --push uploads these files to someone/dry" in err
    assert not terminal.hub.requests


@pytest.mark.slow
def test_with_push_it_is_uploaded_in_one_commit_and_loads_from_there(
    terminal: Terminal, saved: Path, tmp_path: Path
) -> None:
    status, out, _ = terminal.run("publish", saved, "--repo", "someone/monet-net", "--push")
    assert status == 0
    repository = terminal.hub.repositories["models/someone/monet-net"]
    commit = repository.branches["main"]
    assert len(repository.commits) == 2  # that of making it, and ours
    assert {name: sha256(data) for name, data in repository.commits[commit].items() if name != ".gitattributes"} == {
        name: sha256((saved / name).read_bytes()) for name in FILES
    }
    weights = yaml.safe_load(out)["weights"]
    data = (saved / "model.safetensors").read_bytes()
    assert weights == {
        "hub": {"repo_id": "someone/monet-net", "revision": commit, "file": "model.safetensors"},
        "sha256": sha256(data),
        "size": len(data),
    }

    model, painting = f"hf-hub:someone/monet-net@{commit}", tmp_path / "painting.png"
    status, _, err = terminal.run("paint", saved / "example-input.png", "--model", model, "-o", painting, token="")
    assert status == 0, err
    assert Image.open(painting).tobytes() == Image.open(saved / "example-output.png").tobytes()

    status, out, _ = terminal.run("publish", saved, "--repo", "someone/monet-net", "--push")  # nothing has changed
    assert status == 0
    assert yaml.safe_load(out)["weights"] == weights
    assert len(repository.commits) == 2


@pytest.mark.slow
def test_what_is_to_be_private_does_not_become_public(terminal: Terminal, saved: Path) -> None:
    terminal.hub.add("someone/open", {".gitattributes": b""})
    status, _, err = terminal.run("publish", saved, "--repo", "someone/open", "--private", "--push")
    assert status == 2
    assert "someone/open: exists already and is public" in err
    assert list(terminal.hub.repositories["models/someone/open"].commits.values()) == [{".gitattributes": b""}]
    assert terminal.run("publish", saved, "--repo", "someone/closed", "--private", "--push")[0] == 0
    assert terminal.hub.repositories["models/someone/closed"].private


def test_a_stored_login_will_do(terminal: Terminal, saved: Path) -> None:
    (terminal.home / "token").write_text(TOKEN)
    status, out, err = terminal.run("publish", saved, "--repo", "someone/stored", "--push", token="")
    (terminal.home / "token").unlink()
    assert status == 0, err
    assert "repo_id: someone/stored" in out


@pytest.mark.parametrize(
    ("repo", "token", "told"),
    [
        ("someone/none", "", "not logged in to the Hub: run `hf auth login`, or set HF_TOKEN"),
        ("someone/wrong", "hf_SomebodyElse", "someone/wrong: the Hub refuses access (status 401)"),
        ("stranger/monet", TOKEN, "stranger/monet: the Hub refuses access (status 403)"),
    ],
)
def test_without_access_nothing_is_uploaded(terminal: Terminal, saved: Path, repo: str, token: str, told: str) -> None:
    status, out, err = terminal.run("publish", saved, "--repo", repo, "--push", token=token)
    assert status == 2
    assert f"artgan: {told}" in err
    assert out == ""
    assert f"models/{repo}" not in terminal.hub.repositories


def test_what_the_hub_refuses_in_the_readme_is_told(terminal: Terminal, folder: Path) -> None:
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(text.replace("license: apache-2.0", "license: nonsense"))
    status, _, err = terminal.run("publish", folder, "--repo", "someone/nonsense", "--push")
    assert status == 2
    assert 'cannot be uploaded (Invalid metadata in README.md. - "license" must be one of' in err


def test_the_server_keeps_hashes_as_git_does() -> None:
    """The fixture itself, against what git prints for `printf 'test content\\n' | git hash-object --stdin`."""
    assert git_hash(b"test content\n") == "d670460b4b4aece5915caf5c68d12f560a9fe3e4"
