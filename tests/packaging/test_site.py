"""The documentation: the site builds without a warning and loads nothing from elsewhere; what pages show works."""

from __future__ import annotations

import glob
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from PIL import Image
from support import ROOT, films, processes

import artgan
import artgan.plugin
import artgan.testing
import artgan.toolkit
from artgan.cli.app import app
from artgan.models.registry_file import read_file

PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
PAGES += sorted(ROOT.glob("plugins/*/README.md"))

# Attributes by which a page loads something.
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}


class Page(HTMLParser):
    """The links, the loaded files and the anchors of an HTML page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See the base class."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in LOADED and LOADED[tag] in values:
            self.loaded.append(values[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    quiet = {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **quiet}, capture_output=True, text=True, timeout=300)
    said = [line for line in done.stderr.splitlines() if not line.startswith("INFO ")]
    assert (done.returncode, done.stdout, said) == (0, "", [])
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """The site's pages by path; a server alone shows 404.html, and from its root."""
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme in ("https", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if parts.scheme or not target.is_file() or (anchor and anchor not in pages[target].anchors):
                broken.append(f"{path.name}: {link}")
    assert not broken
    assert len(pages) > 20


@pytest.mark.slow
def test_a_page_loads_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loaded = {link for page in pages.values() for link in page.loaded}
    assert loaded
    assert not [link for link in loaded if urlsplit(link).netloc]
    for path in [*site.rglob("*.css"), *pages]:
        used = re.findall(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", path.read_text())
        assert not [url for pair in used for url in pair if urlsplit(url).netloc], path
    assert "fonts.g" not in "".join(path.read_text() for path in pages)


@pytest.mark.slow
def test_the_reference_documents_the_public_names(site: Path) -> None:
    authors, python = Page(site / "reference/authors.html"), Page(site / "reference/python.html")
    for module in (artgan.plugin, artgan.toolkit, artgan.testing):
        assert {f"{module.__name__}.{name}" for name in module.__all__} <= authors.anchors
    documented = {anchor.rpartition(".")[2] for anchor in python.anchors}
    assert set(artgan.__all__) <= documented
    text = (site / "reference/authors.html").read_text() + (site / "reference/python.html").read_text()
    assert not re.search(r":(class|func|meth|mod|data):", text)  # roles that were not replaced


@pytest.mark.exhaustive
def test_the_search_works_from_a_file(site: Path, tmp_path: Path) -> None:
    """In a browser that reaches no network: nothing is asked of it, and the search finds a page."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("chromium or its driver is not installed")
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    for argument in ("headless", "no-sandbox", "disable-gpu", "no-first-run", f"user-data-dir={tmp_path}"):
        options.add_argument(f"--{argument}")
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(str(shutil.which("chromedriver")))
    with webdriver.Chrome(options=options, service=service) as browser:
        browser.get((site / "index.html").as_uri())
        browser.find_element(By.CSS_SELECTOR, "input.md-search__input").send_keys("underpaint")
        results = ".md-search-result__link"
        WebDriverWait(browser, 30).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, results))
        found = [str(link.get_attribute("href")) for link in browser.find_elements(By.CSS_SELECTOR, results)]
        assert any("training.html" in address for address in found)
        assert not browser.get_log("browser")
        messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked
    assert not [url for url in asked if url.startswith("http")]


def test_the_reference_of_the_command_line_is_current() -> None:
    script = runpy.run_path(str(ROOT / "scripts/cli_reference.py"))
    assert script["PAGE"].read_text() == script["page"](), "run scripts/cli_reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_of_the_repository_lead_somewhere(page: Path) -> None:
    """As GitHub shows them; the site's links are tested above."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)|(?:href|src)=\"(?!https?:)([^\"]+)\"", text):
        path, _, anchor = "".join(target).partition("#")
        file = page.parent / path if path else page
        assert file.exists(), path
        if anchor:
            assert anchor in _anchors(file), f"{path}#{anchor}"


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def commands(page: Path, section: str = "") -> Iterator[list[str]]:
    """The commands of artgan and of its scripts in a page's blocks, or in those of one section, as words."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    if section:
        text = re.split(r"^#+ ", text.partition(f"# {section}\n")[2], maxsplit=1, flags=re.M)[0]
    for line in re.findall(r"^(?:    |\$ )((?:artgan|python scripts/\S+) .+)$", text, re.M):
        words = shlex.split(line, comments=True)
        yield words[: next((place for place, word in enumerate(words) if word in ("<", ">", "|")), None)]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_on_a_page_have_the_options_that_it_names(page: Path) -> None:
    for words in commands(page):
        if words[0] == "python":
            script = (ROOT / words[1]).read_text()
            assert not [word for word in words if word.startswith("--") and word[2:] not in script], words
        elif page.name not in ("cli.md", "plugins.md") and "..." not in words:  # the last is run as a whole
            _parse(words)


def _parse(words: list[str]) -> None:
    """Parse a command line as the program does, without running it.

    Models of one's own (local-dir:, hf-hub:) are not there; their options are those of every model.
    """
    words = [word if not word.startswith(("local-dir:", "hf-hub:")) else "monet" for word in words]
    command, context = typer.main.get_command(app), None
    name, *rest = words
    while True:
        try:
            context = command.make_context(name, rest, parent=context)
        except (typer.Exit, SystemExit):  # --list and the like
            return
        if not hasattr(command, "resolve_command"):
            return
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/painting.md"])
def test_python_on_a_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_desk(tmp_path))
    for block in re.findall(r"^```python\n(.*?)^```$", (ROOT / name).read_text(), re.M | re.S):
        exec(compile(block, name, "exec"), {})
    if name == "README.md":
        with Image.open("painting.png") as painting:
            assert painting.size == (61, 45)
    else:
        assert artgan.load("local-dir:my-monet").brushwork is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "section", "number"),
    [
        ("README.md", "On the command line", 4),
        ("docs/painting.md", "Painting", 5),
        ("docs/painting.md", "Strokes and colors", 7),
        pytest.param("docs/noise.md", "Pictures from noise", 5, marks=pytest.mark.exhaustive),
    ],
)
def test_commands_on_a_page_run(page: str, section: str, number: int, tmp_path: Path) -> None:
    """Those that name no files of the reader's own (PICTURES), need no pipe, and end by themselves."""
    found = [words for words in commands(ROOT / page, section) if not {"-", "--watch"} & set(words)]
    found = [words for words in found if not any(word.isupper() for word in words)]
    for place, words in enumerate(found):
        desk = _desk(tmp_path / str(place))
        expanded = [sorted(glob.glob(word, root_dir=desk)) if "*" in word else [word] for word in words[1:]]
        done = processes.artgan(*(word for part in expanded for word in part), cwd=desk)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert done.stdout
    assert len(found) == number


def _desk(folder: Path) -> Path:
    """A folder with what the pages take for granted: photos, a film, a folder, a brush, a model of one's own."""
    (folder / "holidays").mkdir(parents=True)
    for name in ("photo.jpg", "a.jpg", "b.jpg", "holidays/1.jpg"):
        Image.radial_gradient("L").resize((61, 45)).convert("RGB").save(folder / name)
    films.write(folder / "clip.mp4", [films.pattern(number) for number in range(3)])
    (folder / "hand.json").write_text('{"largest": 0.05, "longest": 16, "hue": 20}')
    artgan.load("monet").save_pretrained(folder / "my-artist", examples=False)
    return folder


def test_the_registry_file_on_its_page_is_valid(tmp_path: Path) -> None:
    block, *_ = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/registry.md").read_text(), re.M | re.S)
    (tmp_path / "registry.yaml").write_text(block)
    assert list(read_file(tmp_path / "registry.yaml").entries) == ["cyclegan.lilies"]
