"""docs/plugins.md does what it says: every block of it is run, in order, where nothing but the wheels is installed."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from support import ROOT
from support.hub_server import TOKEN, Hub
from support.warm import warm
from support.wheels import build, environment, make_venv

PAGE = ROOT / "docs/plugins.md"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        title: the line above it, where that ends in a colon.
    """

    line: int
    language: str
    title: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    for match in re.finditer(r"(?:^(?P<title>[^\n]*:)\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", page, re.M | re.S):
        line = page.count("\n", 0, match.start("language")) + 1
        yield Block(line, match["language"], match["title"] or "", match["text"])


class Reader:
    """Someone who follows the page to the letter."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.variables = variables

    def follow(self, block: Block) -> None:
        titled = re.fullmatch(r"`(?P<path>[^`]+)`(?P<has> has)?:", block.title)
        if titled and titled["has"]:
            assert block.text in (self.folder / titled["path"]).read_text(), "the file says something else"
        elif titled:
            path = self.folder / titled["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "bash":
            self.shell(block.text)
        elif block.language == "python":
            self.run("python", "-c", block.text)
        elif block.language == "console":
            for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block.text, re.M):
                assert self.shell(command) == output, command
        else:
            pytest.fail(f"nothing is known of how to test a {block.language or 'plain'} block")

    def shell(self, commands: str) -> str:
        return self.run("bash", "-ec", commands)

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.mark.exhaustive
def test_the_page_on_plugins_works_from_top_to_bottom(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    programs = make_venv(tmp_path / "venv", build(tmp_path_factory.getbasetemp() / "wheels"))
    folder = tmp_path / "page"
    for name in ("photos", "paintings"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            Image.effect_noise((80, 72), 64 + number).convert("RGB").save(folder / name / f"{number}.png")
    Image.radial_gradient("L").resize((61, 45)).convert("RGB").save(folder / "photo.jpg")

    with Hub().serve() as hub:
        online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": TOKEN}
        online["HF_HUB_DISABLE_XET"] = "1"  # a protocol that this Hub does not speak
        with warm(programs, environment() | online) as variables:
            reader = Reader(folder, variables)
            for block in blocks(PAGE.read_text()):
                try:
                    reader.follow(block)
                except AssertionError as error:
                    pytest.fail(f"docs/plugins.md:{block.line}: {error}", pytrace=False)

    # What the page says of what it made.
    assert set(hub.repositories) == {"models/someone/pointillism-seurat"}
    for name in ("photo-coarse.jpg", "gaps.jpg", "photo-seurat.jpg", "published.jpg"):
        with Image.open(folder / name) as painting:
            assert painting.size == (61, 45)
    assert (folder / "published.jpg").read_bytes() == (folder / "photo-seurat.jpg").read_bytes()
    assert (folder / "converted/model.safetensors").is_file()
    assert any('"colorfulness"' in log.read_text() for log in (folder / "run").glob("*.jsonl"))
    [wheel] = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
    assert {"artgan_pointillism/registry.yaml", "artgan_pointillism/weights/seurat/model.safetensors"} <= set(held)


def test_no_block_of_the_page_is_missed() -> None:
    page = PAGE.read_text()
    assert 2 * len(list(blocks(page))) == len(re.findall(r"^\s*(```|~~~)", page, re.M))
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([\w-]+))?\)", page)
    headings = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", page, re.M)
    }
    for path, anchor in links:
        assert (PAGE.parent / path).exists()
        assert path or anchor in headings
