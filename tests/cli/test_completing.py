"""Shell completion, by the shells themselves: what is in the command line after the Tab key, and what is offered."""

from __future__ import annotations

import contextlib
import os
import pty
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artgan.cli import completing
from artgan.cli.status import COMPLETING
from artgan.discovery import load_plugin
from artgan.metrics import METRICS
from artgan.models.registry import read_registry
from artgan.sampling.noise import Noise

PROGRAM = "#!{python}\nimport sys\nsys.path[:0] = {path!r}\nfrom artgan.cli import main\nmain()\n"

# How each shell loads the script, and what it calls: the words of the command line as they stand after the Tab key.
PREPARED = {
    "bash": "PS1='> '; . {script}; artgan() {{ printf '%s\\n' \"$@\" END >> {words}; }}",
    "zsh": "PS1='> '; autoload -Uz compinit; compinit -u -d {folder}/zcompdump; . {script}; "
    "artgan() {{ printf '%s\\n' \"$@\" END >> {words}; }}",
}


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the program ``artgan``, each shell's script, and a photo."""
    folder = tmp_path_factory.mktemp("completing")
    program = folder / "bin/artgan"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, path=[entry for entry in sys.path if entry]))
    program.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        script = asked(folder, COMPLETING, f"source_{shell}")
        (folder / f"script.{shell}").write_text(script)
    (folder / "photo.jpg").touch()
    return folder


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(folder), "TERM": "dumb", "HISTFILE": ""}


def asked(folder: Path, variable: str, value: str, **others: str) -> str:
    """What the program prints when a shell's script calls it; never anything on standard error."""
    done = subprocess.run(
        [folder / "bin/artgan"],
        env={**environment(folder), variable: value, **others},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


def offered(folder: Path, line: str) -> list[str]:
    """The candidates for the last word of a line, as bash asks for them."""
    words = line.split(" ")
    text = asked(folder, COMPLETING, "complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    return text.split()


class Terminal:
    """A shell at a terminal, into which a user types."""

    def __init__(self, shell: str, folder: Path) -> None:
        self.words = folder / f"words-{shell}"
        self.words.touch()
        command = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environment(folder),
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        names = {"script": folder / f"script.{shell}", "words": self.words, "folder": folder}
        prepared = PREPARED[shell].format(**{name: shlex.quote(str(path)) for name, path in names.items()})
        self.shown = b""
        self.type(f"{prepared}; artgan ready\n")

    def type(self, text: str) -> list[str]:
        """The words with which ``artgan`` is called when this has been typed."""
        before = self.words.read_text()
        os.write(self.master, text.encode())
        end = time.monotonic() + 60
        while not self.words.read_text()[len(before) :].endswith("END\n"):
            assert time.monotonic() < end, self.shown.decode(errors="replace")
            time.sleep(0.02)
            self.read()
        return self.words.read_text()[len(before) :].splitlines()[:-1]

    def read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.shown += os.read(self.master, 65536)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture(scope="module", params=["bash", "zsh"])
def terminal(request: pytest.FixtureRequest, folder: Path) -> Iterator[Terminal]:
    needs(request.param)
    opened = Terminal(request.param, folder)
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("artgan sho\t monet", ["show", "monet"]),
        ("artgan show dcgan.\t", ["show", "dcgan.monet"]),
        ("artgan compare ph\t --models monet,vang\t", ["compare", "photo.jpg", "--models", "monet,vangogh"]),
        ("artgan sample dcgan.monet --noise uni\t", ["sample", "dcgan.monet", "--noise", "uniform(-1,1)"]),
    ],
)
def test_the_tab_key_completes(terminal: Terminal, typed: str, words: list[str]) -> None:
    assert terminal.type(f"{typed}\n") == words
    assert b"Traceback" not in terminal.shown
    assert b"rror" not in terminal.shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("artgan show sn", ["sngan.monet"]),
        ("artgan compare photo.jpg --models monet,vang", ["monet,vangogh"]),
        ("artgan train cyclegan --preset one", ["one-sided"]),
        ("artgan paint pho", ["photo.jpg"]),
    ],
)
def test_fish_completes(folder: Path, line: str, candidates: list[str]) -> None:
    needs("fish")
    code = f"source {shlex.quote(str(folder / 'script.fish'))}; complete -C {shlex.quote(line)}"
    done = subprocess.run(
        ["fish", "--no-config", "-c", code],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert [candidate.split("\t")[0] for candidate in done.stdout.splitlines()] == candidates


def test_names_are_those_that_the_commands_take() -> None:
    registry = read_registry()
    models = completing.models("")
    assert {registry.entry(name).name for name in models} == set(registry.entries)
    assert {registry.entry(name).task for name in completing.painters("")} == {"image-to-image"}
    assert {registry.entry(name).task for name in completing.samplers("")} == {"noise-to-image"}
    assert set(completing.painters("")) | set(completing.samplers("")) == set(models)
    assert all(registry.entry(name).brushwork for name in completing.brushes("") if name != "none")
    assert set(METRICS) <= set(completing.scores(""))
    assert all(str(Noise.parse(noise)) == noise for noise in completing.NOISES)


def test_a_list_is_completed_after_its_last_comma_without_repetition() -> None:
    candidates = completing.several_scores("fid,kid,")
    assert "fid,kid,style" in candidates
    assert all(candidate.startswith("fid,kid,") for candidate in candidates)
    assert not {"fid,kid,fid", "fid,kid,kid"} & set(candidates)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("artgan paint --model gatys --style-w", ["--style-weight"]),
        ("artgan study --plugin dcgan --preset ", list(load_plugin("dcgan").presets)),
        ("artgan train no-such-plugin --p", []),
        ("artgan paint --model no-such-model --style-w", []),
    ],
)
def test_what_depends_on_a_model_or_a_plugin(folder: Path, line: str, candidates: list[str]) -> None:
    assert offered(folder, line) == candidates


@pytest.mark.slow
def test_a_broken_registry_prints_nothing_into_the_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text("schema: [")
    broken = {"ARTGAN_REGISTRY": str(tmp_path / "registry.yaml")}
    text = asked(folder, COMPLETING, "complete_bash", COMP_WORDS="artgan show mo", COMP_CWORD="2", **broken)
    assert text == ""


@pytest.mark.slow
def test_completion_imports_neither_torch_nor_numpy(folder: Path) -> None:
    code = "import sys; sys.argv[0] = 'artgan'; from artgan.cli import main; main()"
    variables = {COMPLETING: "complete_bash", "COMP_WORDS": "artgan show mon", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys\natexit.register(lambda: print(*sys.modules))\n{code}"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, _, modules = done.stdout.partition("\n")
    assert first == "monet"
    assert not {"torch", "numpy", "PIL", "onnxruntime", "huggingface_hub"} & set(modules.split())
