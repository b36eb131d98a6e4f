"""The page of a study: its order, its figures, and what it says of runs that failed."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from statistics import mean, stdev
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

from artgan.reports.study import SHEET, Kind, write_study

FIGURES = {"style-filters": "0 is best", "diversity": "more is better"}
T = {1: 12.706, 2: 4.303, 3: 3.182}  # 97.5 % quantiles of Student's t, as printed in textbooks


def make_run(folder: Path, seed: int, color: tuple[int, int, int]) -> Path:
    folder.mkdir(parents=True)
    config = {"plugin": "dcgan", "training": {"steps": 8, "seed": seed}, "data": {"pictures": {"pictures": 12}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [{"step": step, "losses": {"generator/pictures": 1.0 / step}, "rates": {}} for step in (4, 8)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    timing = [{"step": step, "seconds": 0.5} for step in (4, 8)]
    (folder / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in timing))
    (folder / "report.html").write_text("")
    Image.new("RGB", (8, 8), color).save(folder / SHEET)
    return folder


def kind(out: Path, name: str, values: list[float], errors: dict[int, str] | None = None) -> Kind:
    runs = [make_run(out / f"{abs(hash(name))}-{seed}", seed, (seed, 0, 0)) for seed in range(len(values))]
    figures = {"style-filters": values, "diversity": [value / 100 for value in values]}
    intervals = {}
    if len(values) > 1:
        for figure, own in figures.items():
            half = T[len(own) - 1] * stdev(own) / math.sqrt(len(own))
            intervals[figure] = (mean(own) - half, mean(own) + half)
    return Kind(name, runs, figures, intervals, errors or {})


def page(out: Path, kinds: list[Kind], seeds: int) -> str:
    given = out / "real.jpg"
    Image.new("RGB", (8, 8), "blue").save(given)
    write_study(out / "report.html", kinds, option="noise", figures=FIGURES, given={"real": given}, seeds=seeds)
    return (out / "report.html").read_text()


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_the_result_comes_first_and_times_last(tmp_path: Path) -> None:
    text = page(tmp_path, [kind(tmp_path, "normal(0,1)", [10.0, 12, 17]), kind(tmp_path, "gamma(2,1)", [5.0, 5, 8])], 3)
    heads = re.findall(r"<h[12]>(.*?)</h[12]>", text)
    assert heads == ["2 values of noise", "Pictures", "Figures", "Losses", "Runs and times"]
    # The real pictures once; then each kind by its name, from its first seed.
    shown = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]+)">', text)
    assert shown == ["real", "normal(0,1)", "gamma(2,1)"]
    words = text_of(text)
    assert "dcgan, 8 steps each, on 12 pictures; all else is equal. 3 seeds each" in words
    # 13 with a standard deviation of 3.6056: 4.303 * 3.6056 / sqrt(3) = 8.96.
    assert "normal(0,1) 13.0 ± 9.0 0.130 ± 0.090" in words
    assert "gamma(2,1) 6.0 ± 4.3 0.060 ± 0.043" in words
    assert "normal(0,1) 12 s 0.5 s seed 0 , seed 1 , seed 2" in words
    links = re.findall(r'<a href="([^"]+)">', text)
    assert len(links) == 6
    assert all((tmp_path / link).is_file() for link in links)


def test_the_charts_bars_end_where_the_intervals_do(tmp_path: Path) -> None:
    text = page(tmp_path, [kind(tmp_path, "a", [10.0, 12, 17]), kind(tmp_path, "b", [50.0, 51, 52])], 3)
    charts = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    bars = re.findall(r'<path d="M ([\d.]+) ([\d.]+) \nL ([\d.]+) \2 \n" clip-path', charts[0])  # level lines
    lengths = [float(end) - float(start) for start, _, end in bars]
    assert len(lengths) == 2
    assert [(tmp_path / f"{name}.svg").read_text().strip() for name in FIGURES] == charts[:2]
    assert ElementTree.parse(tmp_path / "diversity.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert lengths[0] / lengths[1] == pytest.approx(stdev([10.0, 12, 17]) / stdev([50.0, 51, 52]), rel=0.01)


def test_one_seed_has_no_intervals_and_says_so(tmp_path: Path) -> None:
    words = text_of(page(tmp_path, [kind(tmp_path, "1e-4", [0.1234567]), kind(tmp_path, "2e-4", [1234.5])], 1))
    assert "One seed each, so nothing tells chance from effect: --seeds 3 repeats each value." in words
    assert "±" not in words
    assert "1e-4 0.123 0.00123" in words
    assert "2e-4 1,234 12.3" in words


def test_failures_are_named_and_what_is_missing_is_a_dash(tmp_path: Path) -> None:
    failed = kind(tmp_path, "1e38", [], {0: "step 2: <not finite>"})
    text = page(tmp_path, [kind(tmp_path, "2e-4", [3.0, 4.0]), failed], 2)
    assert "1e38</strong>, seed 0: step 2: &lt;not finite&gt;" in text
    assert text.index("Failed") < text.index("Pictures")
    assert "1e38 – –" in text_of(text)
    assert 'alt="1e38"' not in text


def test_equal_values_are_no_error_and_names_are_only_text(tmp_path: Path) -> None:
    """An interval of no width; a name with what matplotlib and HTML would take for a formula and for a tag."""
    same = kind(tmp_path, "$x_1$ <b>", [2.0, 2.0])
    text = page(tmp_path, [same, kind(tmp_path, "other", [1.0, 3.0])], 2)
    assert "$x_1$ &lt;b&gt; 2.000 ± 0.000" in text_of(text)
    assert "<b>" not in text
    [chart, *_] = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert "$x_1$ &lt;b&gt;" in chart


def test_sheets_that_are_missing_leave_the_figures(tmp_path: Path) -> None:
    one = kind(tmp_path, "a", [1.0])
    (one.runs[0] / SHEET).unlink()
    text = page(tmp_path, [one, kind(tmp_path, "b", [2.0])], 1)
    assert re.findall(r'<img [^>]*alt="([^"]+)">', text) == ["real", "b"]
    assert "a style-filters 1, diversity 0.01" in text_of(text)


def test_a_mosaic_has_its_pictures_in_rows() -> None:
    from artgan.sheets import mosaic

    pictures = [Image.new("RGB", (10, 10), (index * 40, 0, 0)) for index in range(5)]
    pixels = np.asarray(mosaic(pictures, columns=3, cell=10))
    assert pixels.shape == (24, 38, 3)
    assert [int(pixels[5 + 14 * (i // 3), 5 + 14 * (i % 3), 0]) for i in range(5)] == [0, 40, 80, 120, 160]
    assert (pixels[5, 11:13] == 255).all()
    assert (pixels[19, 33] == 255).all()
