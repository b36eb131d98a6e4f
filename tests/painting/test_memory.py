"""Painting many files, or large ones, takes no more memory than painting a few small ones."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from shutil import copyfile

import pytest
from PIL import Image

pytestmark = [pytest.mark.exhaustive, pytest.mark.numerical]

# Run in a process of its own. The peak is that of the process's own memory (VmHWM): on Linux, ru_maxrss of a
# fresh process begins with what its parent had, and pytest with torch loaded would hide any growth.
PROGRAM = """
import json, resource, sys
from pathlib import Path

import torch
from artgan.painting import paint_files, plan
from artgan.models.runtimes.pytorch import TorchNetwork
from artgan_cyclegan.networks import ResNetGenerator


def peak():
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


torch.set_num_threads(1)
torch.manual_seed(0)
photos, paintings = sys.argv[1:]
peaks, errors = {}, []
jobs = plan([photos], paintings, tag="tiny")
for number, result in enumerate(paint_files(TorchNetwork(ResNetGenerator(width=4, blocks=1).eval()), jobs, batch=4), 1):
    if result.error:
        errors.append(result.error)
    if number in (100, 1000):
        peaks[number] = peak()
print(json.dumps({"peaks": peaks, "errors": errors}))
"""


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    photos = tmp_path / "photos"
    drawn.mkdir()
    photos.mkdir()
    draw = random.Random(0)
    kinds = []  # big enough that a thousand kept in memory would show, small enough to be quick
    for number in range(12):
        width, height = draw.randrange(160, 225), draw.randrange(160, 225)
        noise = Image.frombytes("RGB", (7, 5), draw.randbytes(7 * 5 * 3))
        kinds.append(drawn / f"{number}.{'jpg' if number % 2 else 'png'}")
        noise.resize((width, height), Image.Resampling.BICUBIC).save(kinds[-1])
    for number in range(1000):
        kind = kinds[number // 3 % len(kinds)]  # threes of one size, so that batches form
        (photos / f"{number:04}{kind.suffix}").hardlink_to(kind)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, photos, tmp_path / "paintings"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["errors"] == []
    assert len(list((tmp_path / "paintings").iterdir())) == 1000
    after_100, after_1000 = found["peaks"]["100"], found["peaks"]["1000"]
    assert after_1000 <= 1.1 * after_100, f"peak of {after_100} after 100 pictures, {after_1000} after 1,000"


LARGE = """
import sys
from pathlib import Path

import torch
from artgan.painting import paint_files, plan
from artgan.models.runtimes.pytorch import TorchNetwork
from artgan_cyclegan.networks import SubpixelGenerator


def peak():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


torch.set_num_threads(1)
generator = SubpixelGenerator(width=16, blocks=1).eval()
generator.memory_per_pixel = 100  # about three times what this little one takes
[result] = paint_files(TorchNetwork(generator), plan([sys.argv[1]], tag="large"))
assert result.error is None, result.error
print(peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_of_a_large_picture_no_more_than_its_pixels_are_in_memory(tmp_path: Path) -> None:
    """21 megapixels more: Pillow takes 4 bytes for each in the file's picture, in a copy of it, and in the painting.

    A single tensor of floats would be 12 bytes more for each, and what the network makes of them all many times that.
    """
    peaks = []
    for side in (2048, 5000):
        photo = tmp_path / f"{side}.jpg"
        Image.effect_noise((64, 64), 60).convert("RGB").resize((side, side)).save(photo)
        done = subprocess.run([sys.executable, "-c", LARGE, photo], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) * 1024)
    small, large = peaks
    assert large - small < 20 * (5000**2 - 2048**2), peaks


SCORES = """
import json, sys
from pathlib import Path

import torch
from artgan.metrics.evaluation import Evaluator


def peak():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


torch.set_num_threads(1)
peaks = {}
for limit in (1024, 3072):  # blocks of 1024 are full by then
    evaluation = Evaluator(real=sys.argv[1], size=64, limit=limit).evaluate(sys.argv[2], ["style-filters"])
    assert evaluation.scores[0].n == (limit, limit)
    peaks[limit] = peak()
print(json.dumps(peaks))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_memory_does_not_grow_with_the_number_of_scored_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,048 pictures more of each kind would be 200 MB, as bytes or as the tensors of the network's size.

    What threads leave to the allocator moves peaks by up to 60 MB.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for kind in ("real", "fake"):
        (tmp_path / kind).mkdir()
        random.seed(kind)
        for number in range(10):
            picture = Image.frombytes("RGB", (16, 16), random.randbytes(768)).resize((128, 128))
            picture.save(tmp_path / kind / f"{number:04d}.jpg")
        for number in range(10, 3072):  # copies: a file that has two names is scored once
            copyfile(tmp_path / kind / f"{number % 10:04d}.jpg", tmp_path / kind / f"{number:04d}.jpg")
    done = subprocess.run(
        [sys.executable, "-c", SCORES, str(tmp_path / "real"), str(tmp_path / "fake")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    peaks = json.loads(done.stdout)
    assert peaks["3072"] - peaks["1024"] < 120_000, peaks  # kB
