"""scripts/gallery.py, run as its user runs it."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import ROOT

import artgan
from artgan import images
from artgan.models.registry import read_registry

SCRIPT = ROOT / "scripts/gallery.py"
MARGIN = 4


def gallery(*arguments: str | Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What the script prints and how it ends; ``path`` is searched for packages before all others."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)


@pytest.fixture(scope="module")
def script() -> dict[str, object]:
    return runpy.run_path(str(SCRIPT))


def cells(sheet: Path, cell: int, columns: int, heights: list[int]) -> list[list[np.ndarray]]:
    """The pictures of a sheet that has that many columns and these rows, and labels at its left and top alone."""
    page = np.asarray(images.decode(sheet).rgb, dtype=float)
    left = page.shape[1] - columns * (cell + MARGIN)
    top = page.shape[0] - sum(height + MARGIN for height in heights)
    assert 0 < left < cell
    assert 0 < top < cell / 4
    found = []
    for height in heights:
        found.append([page[top : top + height, left + c * (cell + MARGIN) :][:, :cell] for c in range(columns)])
        top += height + MARGIN
    return found


@pytest.mark.exhaustive  # a photo of 12 megapixels, painted six times
def test_the_sheets_have_each_photo_by_each_model_and_step(tmp_path: Path, script: dict) -> None:
    entries = [entry for entry in read_registry().entries.values() if entry.task == "image-to-image" and entry.weights]
    names = [entry.name for entry in sorted(entries, key=lambda entry: entry.weights.size)[:2]]
    models = [artgan.load(name) for name in names]
    for step, model in zip((50, 1200), models, strict=True):
        model.save_pretrained(tmp_path / f"run/models/step-{step:08d}", examples=False)

    ended = gallery(
        *("-o", tmp_path / "out", "--models", ",".join(names), "--photos", "temple,flower"),
        *("--steps-of", tmp_path / "run"),
    )

    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(r"(4241 x 2830 pixels are painted in \d+ tiles and \d passes, .*\n)+", ended.stderr)
    sheets = [tmp_path / "out" / name for name in ("styles.jpg", "hard.jpg", "large.jpg", "steps.jpg")]
    assert [Path(line) for line in ended.stdout.splitlines()] == sheets
    assert sorted((tmp_path / "out").iterdir()) == sorted(sheets)
    assert all(sheet.stat().st_size < 600_000 for sheet in sheets)
    cell = script["CELL"]
    whole, flower = (script["PHOTOS"][name].read() for name in ("temple", "flower"))
    temple, flower = script["reduced"](whole), script["reduced"](flower)
    half = temple.resize((cell // 2, temple.height // 2), Image.Resampling.LANCZOS)
    enlarged = half.resize(temple.size, Image.Resampling.BICUBIC)
    gray = Image.new("RGB", (cell, cell // 2), (128, 128, 128))
    graphic = script["flat_graphic"]()
    large = whole.resize((4243, 2831), Image.Resampling.BICUBIC)
    rows = [large, *(model.paint(large) for model in models)]
    part = (1414, 707, 1414 + cell, 707 + cell * 2 // 3)
    by_each = {
        "styles.jpg": [[photo, *(model.paint(photo) for model in models)] for photo in (temple, flower)],
        "hard.jpg": [
            [temple, *(model.paint(model.paint(temple)) for model in models)],
            [enlarged, *(model.paint(enlarged) for model in models)],
            [graphic, *(model.paint(graphic) for model in models)],
            [gray, *(model.paint(gray) for model in models)],
        ],
        "large.jpg": [[script["reduced"](picture) for picture in rows], [picture.crop(part) for picture in rows]],
        "steps.jpg": [[temple, *(model.paint(temple) for model in models)]],
    }
    for sheet in sheets:
        expected = by_each[sheet.name]
        found = cells(sheet, cell, 3, [row[0].height for row in expected])
        off = [
            [np.abs(picture - np.asarray(wanted, dtype=float)).mean() for picture, wanted in zip(*rows, strict=True)]
            for rows in zip(found, expected, strict=True)
        ]
        assert np.max(off) < 10, f"{sheet.name}: {off}"  # what JPEG changes; a model, 14

    saved = BytesIO()
    with Image.open(sheets[0]) as page:
        page.save(saved, "JPEG", quality=85)
        assert page.quantization == Image.open(saved).quantization


@pytest.mark.slow
def test_a_missing_package_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "skimage.py").touch()  # hides scikit-image where it is installed

    ended = gallery("-o", tmp_path / "out", "--photos", "flower,rocket", path=tmp_path)

    assert ended.returncode == 2
    assert re.fullmatch(r"gallery: .*rocket\.jpg.*pip install scikit-image\n", ended.stderr)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--photos", "cathedral"], "'cathedral'.* temple"),
        (["--photos", "flower", "--models", "moanet"], "'moanet'.* monet"),
        (["--photos", "flower", "--models", "monet", "--steps-of", "no-run"], "no-run"),
    ],
    ids=["photo", "model", "run"],
)
def test_a_wrong_name_is_told_in_one_line(
    arguments: list[str],
    told: str,
    script: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["gallery.py", "-o", str(tmp_path / "out"), *arguments])

    assert script["main"]() == 2

    assert re.fullmatch(rf"gallery: .*{told}.*\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_the_page_credits_every_photo_that_the_script_may_show(script: dict) -> None:
    rows = [line for line in (ROOT / "docs/gallery.md").read_text().splitlines() if line.startswith("| ")]
    for name, photo in script["PHOTOS"].items():
        assert any(name in row.split("|")[1] and f"{photo.distribution}, `{photo.file}`" in row for row in rows), name
