"""What is imported when: nobody waits for torch to read a help text."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAIN = "import sys; sys.argv = ['artgan', *{}]; from artgan.cli import main; main()"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import artgan", {"torch", "artgan_cyclegan", "numpy", "PIL", "yaml", "typer"}),
        ("import artgan; assert artgan.list_models()", {"torch", "artgan_cyclegan", "numpy"}),
        (MAIN.format(["--help"]), {"torch", "artgan_cyclegan"}),
        (MAIN.format(["models"]), {"torch", "artgan_cyclegan"}),
        (MAIN.format(["show", "monet"]), {"torch", "artgan_cyclegan"}),
        (MAIN.format(["paint", "--help"]), {"torch", "artgan_cyclegan"}),
        (MAIN.format(["train", "cyclegan", "--help"]), {"torch"}),
        ("import artgan_cyclegan", {"torch"}),
        (
            "import artgan, numpy; artgan.load('monet').paint(numpy.zeros((8, 8, 3), 'uint8'))",
            {"accelerate", "timm", "torchvision", "matplotlib", "huggingface_hub", "onnxruntime", "openvino"},
        ),
    ],
)
def test_imports(code: str, forbidden: set[str]) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    imported = {
        line.rsplit("|", 1)[1].strip().split(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert imported
    assert not imported & forbidden
