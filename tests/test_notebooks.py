"""The notebooks: clean in the repository, and doing what they say when they are executed on tiny settings."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import ROOT, plain_vgg
from typer.testing import CliRunner

import artgan
from artgan.cli.app import app
from artgan.data.samples import KAGGLE_INPUT
from artgan.sheets import mosaic, sheet

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

FOLDER = ROOT / "notebooks"
NAMES = ("noise-study", "paint", "train-your-own-artist")


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def source(name: str, cell: str) -> str:
    """The text of the cell with that id."""
    [found] = [found.source for found in read(name).cells if found.id == cell]
    return str(found)


def test_all_notebooks_are_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_holds_its_text_and_nothing_of_a_run(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z-]+", cell.id), "ids are names, so that they do not change at each save"
        assert cell.metadata == ({"tags": ["parameters"]} if cell.id == "settings" else {})
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_by_installing_and_with_its_settings_and_ends_with_what_to_try(name: str) -> None:
    cells = read(name).cells
    assert [cell.id for cell in cells[:3]] == ["title", "install", "settings"]
    assert source(name, "install") == source(NAMES[0], "install")
    assert cells[-1].source.startswith("## What to try next\n")


def commands() -> list[str]:
    """Every command of artgan, in cells and in indented blocks of text."""
    found = []
    for name in NAMES:
        for cell in read(name).cells:
            text = cell.source.replace("\\\n", " ")
            pattern = r"^\s*!(artgan .*)" if cell.cell_type == "code" else r"^    (artgan .*)"
            found += re.findall(pattern, text, re.M)
    return found


def test_commands_are_found() -> None:
    assert {command.split()[1] for command in commands()} >= {"paint", "compare", "sample", "study", "train", "publish"}


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_command_has_the_options_that_are_given(command: str) -> None:
    words = shlex.split(re.sub(r"\{[^}]*\}", "1", command.split(" > ")[0]), comments=True)
    done = CliRunner().invoke(app, [*words[1:], "--help"])  # which comes after the options are parsed
    assert done.exit_code == 0, done.output


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, missing: bool = True, chosen: str = ""
) -> list[list[str]]:
    """Run the first cell in a folder, and return what it gives to pip."""
    code = source("paint", "install").replace('SOURCE = ""', f"SOURCE = {chosen!r}")
    code, magics = re.subn(r"%pip (.*) \{wanted\}", r"pip('\1 ' + wanted)", code)  # as IPython does
    assert magics == 1
    installed: list[list[str]] = []
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if missing else object())
    exec(code, {"pip": lambda line: installed.append(shlex.split(line))})
    monkeypatch.undo()
    return installed


def checkout(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "registry.yaml").touch()
    return folder


def wanted(folder: Path) -> list[str]:
    plugins = [f"{folder}/plugins/artgan-{name}" for name in ("cyclegan", "dcgan", "gatys", "sngan")]
    return ["install", "-q", f"{folder}[metrics]", *plugins]


def test_it_installs_from_the_checkout_that_it_lies_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout(tmp_path / "a checkout")
    (folder / "notebooks").mkdir()
    assert install(folder / "notebooks", monkeypatch) == [wanted(folder)]
    assert all(Path(word).is_dir() for word in wanted(ROOT)[3:])


def test_it_installs_from_a_folder_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout(tmp_path / "input" / "artgan")
    assert install(tmp_path, monkeypatch, chosen=str(folder)) == [wanted(folder)]


def test_it_installs_nothing_where_artgan_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install(checkout(tmp_path / "artgan"), monkeypatch, missing=False) == []


def test_without_a_copy_of_artgan_it_says_in_a_sentence_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"^artgan is not installed: upload a copy .* set SOURCE to its folder\.$"):
        install(tmp_path, monkeypatch)


def test_without_weights_of_vgg19_the_rest_of_the_notebook_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    def paint(photo: object, **options: object) -> None:
        raise artgan.WeightsError("timm/vgg19: cannot be fetched")

    names = {
        "artgan": SimpleNamespace(load=lambda name: SimpleNamespace(paint=paint), WeightsError=artgan.WeightsError),
        "VGG19": "",
        "STYLE": "style.jpg",
        "SIZE": 64,
        "ITERATIONS": 1,
        "photo": None,
        "Path": Path,
    }
    exec(source("paint", "gatys"), names)
    assert capsys.readouterr().out == (
        "Not painted: VGG-19's weights are neither in the file VGG19 nor to be had (timm/vgg19: cannot be fetched).\n"
    )


# Executed.

Outputs = dict[str, list[Any]]
Execute = Callable[..., Outputs]


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Kaggle attaches, in its present layout: 8 photos and 8 paintings of 80 x 64 pixels; with a space."""
    folder = tmp_path / "kaggle input" / "competitions" / "gan-getting-started"
    draw = np.random.default_rng(0)
    for name in ("photo_jpg", "monet_jpg"):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            coarse = Image.fromarray(draw.integers(0, 256, (4, 5, 3), np.uint8))
            coarse.resize((80, 64), Image.Resampling.BICUBIC).save(folder / name / f"{number}.jpg", quality=95)
    monkeypatch.setenv(KAGGLE_INPUT, str(tmp_path / "kaggle input"))
    return folder


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """A function that executes a notebook in ``tmp_path/work`` with some settings and returns its outputs by cell."""
    work = tmp_path / "work"
    work.mkdir()
    for variable in ("XDG_CACHE_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    for variable, value in {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "JPY_PARENT_PID": "1"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("ARTGAN_VGG19", raising=False)

    def run(name: str, **settings: object) -> Outputs:
        notebook = read(name)
        place = next(index for index, cell in enumerate(notebook.cells) if cell.id == "settings")
        text = "\n".join(f"{key} = {value!r}" for key, value in settings.items())
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(text, id="injected"))
        resources = {"metadata": {"path": str(work)}}
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
        return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    return run


def pictures(outputs: Sequence[Any]) -> list[Image.Image]:
    """The pictures that a cell shows."""
    found = []
    for output in outputs:
        data = output.get("data", {})
        encoded = data.get("image/png") or data.get("image/jpeg")
        if encoded:
            found.append(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
    return found


def printed(outputs: Sequence[Any]) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")


def apart(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures of one size, of 255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


@pytest.mark.exhaustive
def test_paint(execute: Execute, kaggle: Path, tmp_path: Path) -> None:
    vgg19 = plain_vgg.write(tmp_path / "vgg19.safetensors", "vgg19", "conv5_1")
    outputs = execute("paint", COUNT=2, VGG19=str(vgg19), SIZE=64, ITERATIONS=1, OUT="my paintings")
    work = tmp_path / "work"
    photo = opened(kaggle / "photo_jpg" / "0.jpg")
    [shown] = pictures(outputs["photos"])
    assert apart(shown, photo) == 0
    assert apart(opened(work / "photos" / "1.jpg"), opened(kaggle / "photo_jpg" / "1.jpg")) < 2

    painters = {name: artgan.load(name, runtime="onnxruntime") for name in ("monet", "vangogh", "cezanne")}
    paintings = [model.paint(photo) for model in painters.values()]
    [shown] = pictures(outputs["painters"])
    assert apart(shown, sheet({"": [photo, *paintings]}, cell=320, columns=["photo", *painters])) < 0.1

    monet = painters["monet"]
    rows = {
        "stroke_size 0.5, 1, 2": [monet.paint(photo, stroke_size=size) for size in (0.5, 1.0, 2.0)],
        "strength 0.3, 0.7, 1.4": [monet.paint(photo, strength=strength) for strength in (0.3, 0.7, 1.4)],
        "palette 0, 0.5, 1": [monet.paint(photo, palette=palette) for palette in (0.0, 0.5, 1.0)],
        "keep_colors, seed 1, 2": [
            monet.paint(photo, **how) for how in ({"keep_colors": True}, {"seed": 1}, {"seed": 2})
        ],
    }
    [shown] = pictures(outputs["options"])
    assert apart(shown, sheet(rows, cell=256)) < 0.1

    [shown] = pictures(outputs["compare"])
    assert apart(shown, opened(work / "sheet.png")) == 0
    assert shown.height > 4 * 64  # of photos and three painters
    assert "my paintings/0.jpg\n" in printed(outputs["folder"]).replace("\r", "")
    for number in range(2):
        own = painters["vangogh"].paint(work / "photos" / f"{number}.jpg", stroke_size=1.5)
        own.save(work / "own.jpg", quality=95, subsampling=2)  # the photo's
        assert apart(opened(work / "my paintings" / f"{number}.jpg"), opened(work / "own.jpg")) < 1

    [shown] = pictures(outputs["gatys"])
    blank = sheet({"": [photo, opened(kaggle / "monet_jpg" / "0.jpg"), photo]}, cell=320, columns=list("psp"))
    assert shown.size == blank.size
    assert 0 < apart(shown, blank) < 60


@pytest.mark.exhaustive
def test_noise_study(execute: Execute, kaggle: Path, tmp_path: Path) -> None:
    outputs = execute("noise-study", COUNT=3, STUDIES={})
    work = tmp_path / "work"
    models = [artgan.load(name) for name in ("dcgan.monet", "sngan.monet")]
    for shown, model in zip(pictures(outputs["sample"]), models, strict=True):
        assert apart(shown, mosaic(model.sample(3), columns=8, cell=64)) < 0.1
    assert printed(outputs["seeds"]) == "Number 3 of seed 0 is number 0 of seed 3: True\n"
    [shown] = pictures(outputs["noises"])
    noises = ["normal(0,1)", "normal(0,0.01)", "normal(0,9)", "normal(1,1)", "truncated(0,1,0.5)", "uniform(-1,1)"]
    assert apart(shown, sheet({noise: models[1].sample(8, noise=noise) for noise in noises}, cell=80)) < 0.1
    [shown] = pictures(outputs["way"])
    for column, seed in ((8, 3), (1, 8)):  # from the right, each with a margin of 4 pixels
        left = shown.width - 68 * column
        assert apart(shown.crop((left, 4, left + 64, 68)), models[1].sample(1, seed=seed)[0]) < 1
    [shown] = pictures(outputs["nearest"])
    assert apart(shown, opened(work / "nearest.png")) == 0
    left = shown.width - 68 * 5  # of a sample and its 4 neighbors
    assert apart(shown.crop((left, 4, left + 64, 68)), models[0].sample(1)[0]) < 1


@pytest.mark.exhaustive
def test_noise_study_with_a_study_and_without_pictures(
    execute: Execute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KAGGLE_INPUT, str(tmp_path / "nothing"))
    studies = {"noise": "noise=normal(0,1),gamma(2,1)"}
    outputs = execute("noise-study", COUNT=2, STUDIES=studies, STEPS=1, SEEDS=2, BATCH=4, WIDTH=4)
    work = tmp_path / "work"
    assert "There is no set of paintings, so this is practice" in printed(outputs["nearest"])
    names = [path.name for path in sorted((work / "practice" / "photos").iterdir())]
    assert len(names) == 64
    assert [path.name for path in sorted((work / "practice" / "pictures").iterdir())] == names

    runs = sorted((work / "study" / "noise").glob("*/metrics.jsonl"))
    assert len(runs) == 4  # two values with two seeds
    for path in runs:
        [line] = [json.loads(line) for line in path.read_text().splitlines()]
        assert line["metrics"].keys() == {"style-filters", "diversity"}
        assert all(math.isfinite(figure) for figure in line["metrics"].values())
    assert re.search(r"^gamma\(2,1\)  95 % of 2 seeds  style-filters \S+ to ", printed(outputs["study"]), re.M)
    [page] = [output.data["text/html"] for output in outputs["pages"]]
    assert page.startswith("<h3>noise</h3><iframe srcdoc=")
    assert "gamma(2,1)" in page


@pytest.mark.exhaustive
def test_train_your_own_artist(execute: Execute, kaggle: Path, tmp_path: Path) -> None:
    vgg19 = plain_vgg.write(tmp_path / "vgg19.safetensors", "vgg19", "conv5_1")
    outputs = execute(
        "train-your-own-artist",
        VGG19=str(vgg19),
        STEPS=2,
        BATCH=1,
        SIZE=32,
        EVERY=1,
        HELD_OUT=4,
        PAINTER="vangogh",
        SCORES="style-filters,content",
        RUN="my run",
    )
    work = tmp_path / "work"
    photos, paintings = (
        [opened(path) for path in sorted((kaggle / kind).iterdir())] for kind in ("photo_jpg", "monet_jpg")
    )
    [shown] = pictures(outputs["data"])
    rows = {"photos": photos[:6], "paintings": paintings[:6]}
    assert apart(shown, sheet(rows, cell=150)) == 0
    assert "8 pictures, 8 distinct" in printed(outputs["verify"])
    explored, report = (
        next(output.data["text/html"] for output in outputs[cell] if output.output_type == "execute_result")
        for cell in ("explore", "report")
    )
    assert html.escape((work / "paintings.html").read_text()) in explored
    assert all(cell.startswith('<div><iframe srcdoc="') for cell in (explored, report))
    assert "style-filters" in report

    lines = [json.loads(line) for line in (work / "my run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines][-1] == 3  # 2 steps, and one after the run was resumed
    scores = [json.loads(line) for line in (work / "my run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in scores] == [1, 2, 3]
    assert all(math.isfinite(line["metrics"]["style-filters"]) for line in scores)
    assert len(pictures(outputs["sheets"])) == 2
    assert len((work / "my run" / "sessions.jsonl").read_text().splitlines()) == 2

    held_out = json.loads((work / "my run" / "pictures.json").read_text())["photos"]["held_out"]
    assert len(held_out) == 4
    for number, name in enumerate(held_out):
        assert apart(opened(work / f"held-out/photos/{number}.png"), opened(kaggle / "photo_jpg" / name)) == 0
    measured = {
        (fake, score): [float(value), float(low), float(high)]
        for fake, score, value, low, high in re.findall(
            r"^(\S+) +(content|style-filters) +(\S+) +(\S+) to (\S+) ", printed(outputs["evaluate"]), re.M
        )
    }
    assert {key[0] for key in measured} == {"held-out/photos", "before", "after"}
    assert len(measured) == 6
    for value, low, high in measured.values():
        assert low <= value <= high
    assert measured["held-out/photos", "content"] == [1, 1, 1]

    best = artgan.load(f"local-dir:{work / 'my run/best'}")
    base = artgan.load("vangogh")
    chosen = photos[:3]
    rows = {"photo": chosen, "vangogh": [base.paint(p) for p in chosen], "yours": [best.paint(p) for p in chosen]}
    [shown] = pictures(outputs["paint"])
    assert apart(shown, sheet(rows, cell=280)) < 0.1
    assert apart(rows["vangogh"][0], rows["yours"][0]) > 0
