"""The pages of training runs, from folders as runs leave them: what they tell, what they survive, what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from support import processes

from artgan.reports import run as reports
from artgan.reports.record import is_run, read_run
from artgan.reports.run import ReportError, write_comparison, write_run_report

FILES = ("config.yaml", "log.jsonl", "timing.jsonl", "sessions.jsonl", "health.jsonl", "metrics.jsonl")


def write_lines(path: Path, *lines: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def make_run(
    run: Path, *, lr: float = 2e-4, domain: str = "photos", sheets: tuple[int, ...] = (20, 40), seed: int = 0
) -> Path:
    """40 of 60 steps of batch 2 on 9 and 5 pictures: 5 steps an epoch; killed after 30 and resumed from 20."""
    (run / "samples").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    description = {
        "plugin": "cyclegan",
        "config": {"lr": lr, "width": 32},
        "training": {"steps": 60, "epochs": None, "batch": 2, "seed": seed},
        "data": {
            domain: {"folder": "/pictures/photo", "pictures": 9, "fingerprint": "f00d"},
            "paintings": {"folder": "/pictures/monet", "pictures": 5, "fingerprint": "beef"},
        },
    }
    (run / "config.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
    losses = [
        {"generator/paintings": 1 / i, f"cycle/{domain}": 0.5, **({f"identity/{domain}": 0.1} if i % 2 else {})}
        for i in (1, 2, 3, 4)
    ]
    log = [{"step": 10 * i, "losses": losses[i - 1], "rates": {"generators": lr}} for i in (1, 2, 3, 4)]
    write_lines(run / "log.jsonl", *log)
    times = [(10, 1.0), (20, 1.0), (30, 9.0), (30, 2.0), (40, 2.0)]
    write_lines(run / "timing.jsonl", *({"step": step, "seconds": seconds} for step, seconds in times))
    command = ["artgan", "train", "cyclegan", "--photos", "/my pictures", "-o", str(run)]
    circumstances = {"steps": 60, "versions": {"torch": "9.8.7"}, "device": "cpu", "processes": 1}
    write_lines(
        run / "sessions.jsonl",
        {"started": "2026-11-21T07:00:00Z", "step": 0, "command": command, **circumstances},
        {"started": "2026-11-22T07:00:00Z", "step": 20, "command": [*command, "--resume"], **circumstances},
    )
    write_lines(run / "health.jsonl", {"step": 30, "kind": "collapse", "message": "the pictures are alike"})
    write_lines(run / "metrics.jsonl", {"step": 20, "metrics": {"fd": 12.25}}, {"step": 40, "metrics": {"fd": 9.75}})
    for step in sheets:
        pixels = rng.integers(0, 256, (30, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(run / "samples" / f"step-{step:08d}.jpg")
    return run


class Page(HTMLParser):
    """What matters of a page: its words, the addresses it refers to, its scripts and sheets."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.steps: list[int] = []
        self.words = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        self.steps += [int(value or "") for name, value in attrs if name == "data-step"]

    def handle_data(self, data: str) -> None:
        self.words += data + " "


@pytest.mark.slow
def test_a_page_tells_the_run_and_refers_to_nothing_outside(tmp_path: Path) -> None:
    path = write_run_report(make_run(tmp_path / "monet"))
    assert path == tmp_path / "monet" / "report.html"
    page = Page(path)
    for told in (
        "steps done 40 of 60 (epoch 8.00)",
        "started 2026-11-21T07:00:00Z, resumed 1 time ",
        "30 collapse the pictures are alike",
        "artgan train cyclegan --photos '/my pictures' -o",
        "--resume",
        "torch 9.8.7",
        "photos 9 /pictures/photo f00d",
        "12.25",
        "lr: 0.0002",
    ):
        assert told in page.text, told
    assert page.steps == [20, 40]
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import|<link|<iframe", page.source)
    assert not [p for p in path.parent.iterdir() if p.name.endswith(".part")]
    first = path.read_bytes()
    write_run_report(tmp_path / "monet")  # as a run does at each checkpoint
    assert path.read_bytes() == first


def test_the_numbers(tmp_path: Path) -> None:
    record = read_run(make_run(tmp_path / "run"))
    assert (record.steps_per_epoch, record.steps, record.done) == (5, 60, 40)
    assert record.epoch(40) == 8
    # Of the steps from 20 to 30, which a kill made be taken twice, the later time counts.
    assert record.seconds == {10: 1, 20: 1, 30: 2, 40: 2}
    assert record.total_seconds == pytest.approx(60)
    assert record.seconds_per_step == pytest.approx(1.5)
    assert record.seconds_per_epoch == pytest.approx(7.5)
    assert record.losses["identity/photos"] == {10: 0.1, 30: 0.1}

    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    config["training"] |= {"accumulate": 2, "steps": None, "epochs": 7}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    sessions = [{"step": 0, "processes": 2}]
    write_lines(tmp_path / "run" / "sessions.jsonl", *sessions)
    record = read_run(tmp_path / "run")
    assert (record.steps_per_epoch, record.steps) == (2, 14)  # 9 pictures, 2 x 2 x 2 at once


def damaged(text: str, damage: str) -> bytes:
    """The text of a run's file after a kill, or as nobody would expect it."""
    if damage == "empty":
        return b""
    if damage == "half a line":
        return text[: -len(text.splitlines()[-1]) // 2 - 1].encode()
    lines = ["[1]", "7", '{"step": -1}', '{"step": true}', '{"step": 1e3}', '{"step": 5}', "\x00", "{" * 9999]
    for key in ("losses", "rates", "metrics", "seconds", "versions", "message", "command", "processes"):
        for value in ('{"a": NaN, "b": 1e999, "c": null, "d": "x", "$_{": 1}', "[]", "null", "-1", "1e999"):
            lines.append(f'{{"step": 5, "{key}": {value}}}')
    return "\n".join([text, *lines]).encode() + b"\xff\xfe"


@pytest.mark.slow
@pytest.mark.parametrize("names", [*((name,) for name in FILES), FILES[1:]])
def test_a_page_comes_out_whatever_is_missing(tmp_path: Path, names: tuple[str, ...]) -> None:
    run = make_run(tmp_path / "run", sheets=(20,))
    for name in names:
        (run / name).unlink()
    page = Page(write_run_report(run))
    assert "Configuration" in page.text
    assert page.steps == [20]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty", "half a line", "odd"])
@pytest.mark.parametrize("names", [FILES, FILES[1:]])
def test_a_page_comes_out_whatever_is_half_written(tmp_path: Path, names: tuple[str, ...], damage: str) -> None:
    run = make_run(tmp_path / "run", sheets=(20,))
    for name in names:
        (run / name).write_bytes(damaged((run / name).read_text(), damage))
    write_comparison([run, make_run(tmp_path / "other")], tmp_path / "page.html")
    for path in (write_run_report(run), tmp_path / "page.html"):
        assert 20 in Page(path).steps


def test_half_a_line_costs_that_line_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 50, "losses": {"generator/pai')
    assert list(read_run(run).losses["generator/paintings"]) == [10, 20, 30, 40]


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", sheets=())
    for name in FILES[1:]:
        (run / name).unlink()
    page = Page(write_run_report(run))
    assert "steps done 0 of 60" in page.text
    assert "No sample sheets yet." in page.text
    assert "Nothing is logged yet." in page.text
    assert "No warnings." in page.text
    assert "script" not in page.tags


@pytest.mark.slow
def test_names_from_files_are_text(tmp_path: Path) -> None:
    hostile = "<script>alert('&')</script>"
    run = make_run(tmp_path / hostile.replace("/", "|"), domain=hostile)
    write_lines(run / "health.jsonl", {"step": 1, "kind": hostile, "message": hostile})
    write_lines(run / "metrics.jsonl", {"step": 1, "metrics": {hostile: 1.0, "$\\frac{$": 2.0, "_": 3.0}})
    other = make_run(tmp_path / "other")
    write_comparison([run, other], tmp_path / "page.html")
    for path in (write_run_report(run), tmp_path / "page.html"):
        page = Page(path)
        assert page.tags.count("script") == 1
        assert "<script>alert" not in page.source
        assert "<script>alert" in page.text
        assert "$\\frac{$" in page.text


@pytest.mark.slow
def test_the_sheets_are_bounded_in_number_and_size(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", sheets=tuple(range(1, 98)))
    noise = np.random.default_rng(0).integers(0, 256, (600, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(run / "samples" / "step-00000098.jpg", quality=95)
    (run / "samples" / "step-00000099.jpg").write_bytes(b"")
    (run / "samples" / "step-x.jpg").write_bytes(b"")
    sheets = read_run(run).sheets
    page = Page(write_run_report(run))
    assert len(page.steps) == reports._SHEETS - 1  # the last one is no picture
    assert page.steps[0] == 1
    assert page.steps[-1] >= 96
    assert set(np.diff(page.steps)) <= {2, 3}
    (run / "samples" / "step-00000099.jpg").unlink()
    page = Page(write_run_report(run))
    assert (len(page.steps), page.steps[0], page.steps[-1]) == (reports._SHEETS, 1, 98)
    largest = max(len(address) for address in page.addresses)
    assert largest < sheets[98].stat().st_size / 2


@pytest.mark.slow
def test_a_long_log_makes_no_larger_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    rng = np.random.default_rng(0)
    for count, name in ((1000, "short"), (5000, "long")):
        values = rng.normal(size=count)
        write_lines(run / "log.jsonl", *({"step": i + 1, "losses": {"a/b": v}} for i, v in enumerate(values)))
        write_run_report(run).rename(tmp_path / name)
    assert (tmp_path / "long").stat().st_size < 1.2 * (tmp_path / "short").stat().st_size


def test_a_few_extreme_losses_do_not_flatten_the_others() -> None:
    values = np.r_[1000.0, np.linspace(1, 2, 199)]
    low, high, cut = reports._limits(values)
    assert cut
    assert (low, high) == pytest.approx((1, 2.2), abs=0.05)
    assert reports._limits(values[1:]) == (1, 2, False)
    assert reports._limits(np.ones(5)) == (1, 1, False)


@pytest.mark.parametrize("scale", [1e-9, 2.5e-4, 0.0123, 1, 9999, -12345, 3e9, -4e120])
def test_all_text_of_a_plot_is_within_it(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(reports, "figure_svg", lambda figure, **_: drawn.append(figure))
    for spread, last in ((0, 7), (1e-7, 200_000), (0.3, 123_456_789)):
        curve = {step * last // 7: scale * (1 + spread * step) for step in range(1, 8)}
        reports._plot("loss", {"loss": curve}, {"loss": "#000"}, smooth=True)
    for figure in drawn:
        text, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert 0 <= text.x0 < text.x1 <= width
        assert 0 <= text.y0 < text.y1 <= height


@pytest.mark.slow
def test_a_comparison_shows_what_differs(tmp_path: Path) -> None:
    one = make_run(tmp_path / "a" / "monet", lr=1e-3, sheets=(10, 30))
    other = make_run(tmp_path / "b" / "monet", seed=1, sheets=(20, 40))
    write_comparison([one, other], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    section = page.text.split("Options that differ")[1].split("Samples")[0]
    assert " ".join(section.split()) == "a/monet b/monet config.lr 0.001 0.0002 training.seed 0 1"
    assert page.steps == [10, 30, 20, 40]
    assert "fd 9.75 9.75" in page.text
    assert "generator/paintings 0.5208 0.5208" in page.text
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in page.addresses)


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "one"), make_run(tmp_path / "other")
    out = tmp_path / "page.html"
    assert is_run(one)
    assert not is_run(tmp_path)
    for runs, path, told in (
        ([one], out, "at least two runs"),
        ([], out, "at least two runs"),
        ([one, tmp_path / "one" / ".." / "one"], out, "given twice"),
        ([one, tmp_path], out, "not a run's folder"),
        ([one, other], tmp_path / "sheet.png", "ends in .html"),
        ([one, other], tmp_path / "absent" / "page.html", "cannot be written"),
    ):
        with pytest.raises(ReportError, match=told):
            write_comparison(runs, path)
        assert not path.exists()
    with pytest.raises(ReportError, match="not a run's folder"):
        write_run_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def artgan(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = processes.artgan(*arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.slow
def test_the_command_line(tmp_path: Path) -> None:
    one, other, out = make_run(tmp_path / "one"), make_run(tmp_path / "other"), tmp_path / "page.html"
    done = artgan("compare", one, other, "-o", out)
    assert (done.returncode, done.stdout.strip()) == (0, str(out))
    assert Page(out).steps == [20, 40, 20, 40]
    out.write_text("precious")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(photo)
    for arguments, told in (
        ([one, other, "-o", out], "exists already"),
        ([one, photo, "-o", tmp_path / "new.html"], f"{photo}: not a run's folder"),
        ([one, "-o", tmp_path / "new.html"], "at least two runs"),
        ([one, other, "-o", tmp_path / "new.png"], "ends in .html"),
    ):
        done = artgan("compare", *arguments)
        assert done.returncode == 2, arguments
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert out.read_text() == "precious"
    assert not list(tmp_path.glob("new.*"))
    assert artgan("compare", one, other, "-o", out, "--overwrite").returncode == 0
    assert Page(out).steps


@pytest.mark.slow
def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    code = (
        "import sys; from pathlib import Path; from artgan.reports.run import write_run_report;"
        f"write_run_report(Path({str(run)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
