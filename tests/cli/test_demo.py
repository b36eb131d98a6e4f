"""The command ``artgan demo`` when it cannot be run as asked."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from support.processes import artgan


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: other computers can reach this address; set a token by --token or"),
        (["--no-auth", "--token", "x"], "--token and --no-auth contradict each other"),
        (["--host", "no.such.host.invalid", "--no-auth"], "--host no.such.host.invalid: there is no such address ("),
        (["--host", "192.0.2.1", "--no-auth"], "--host 192.0.2.1: cannot be used (Cannot assign requested address)"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], told: str) -> None:
    done = artgan("demo", "--no-open", *(["--port", "0"]), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"artgan: {told}")
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = artgan("demo", "--no-open", "--port", str(port))
    assert (done.returncode, done.stdout) == (2, "")
    told = (
        f"artgan: --port {port}: cannot be used on 127.0.0.1 (Address already in use); give another one, or 0 for any"
    )
    assert done.stderr.startswith(told)


def test_without_gradio_it_says_what_to_install() -> None:
    code = """
import sys
for name in ("gradio", "uvicorn", "starlette", "fastapi"):
    sys.modules[name] = None
sys.argv = ["artgan", "demo"]
from artgan.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("artgan: demo needs ")
    assert done.stderr.endswith('which comes with: pip install "artgan[demo]"\n')


def test_the_token_in_the_environment_is_the_option() -> None:
    done = artgan("demo", "--no-auth", timeout=60, ARTGAN_DEMO_TOKEN="secret")
    assert done.returncode == 2
    assert "contradict" in done.stderr
    assert "secret" not in done.stderr
