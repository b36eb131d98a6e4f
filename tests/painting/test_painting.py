"""From pictures to paintings: sizes, batches, files and folders, with tiny generators."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.painting import paint, paint_batch, paint_files
from torch import Tensor, nn

from artgan import images
from artgan.errors import ArtganError, ConfigError, PictureError, WeightsError
from artgan.images import Picture
from artgan.interfaces import Generator, Interrupted
from artgan.painting import Job, Result, files, plan
from artgan.painting.fitting import pad


class Identity(Generator):
    """Gives back what it gets, and remembers it."""

    stride = 4

    def __init__(self, minimum_size: int = 1, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.minimum_size = minimum_size
        self.weight = nn.Parameter(torch.ones(1, dtype=dtype))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen = [*self.seen[-3:], x]
        assert min(x.shape[2:]) >= self.minimum_size
        assert x.shape[2] % self.stride == x.shape[3] % self.stride == 0
        return x * self.weight


class Inverter(Generator):
    def forward(self, x: Tensor) -> Tensor:
        return -x


class Broken(Generator):
    """Returns or raises what it is told to."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result(x)


class FromNoise(Generator):
    task = "noise-to-image"

    def forward(self, x: Tensor) -> Tensor:
        return x


class Brighter(Generator):
    """Has an option, as Gatys has; records gradients while it works."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    def generate(self, x: Tensor, **options: Any) -> Tensor:
        y = x.clone().requires_grad_()
        (y.sum() * 2).backward()
        return x + options["by"] * y.grad / 2


class Fussy(Identity):
    """Fails on batches, and on dark pictures."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        if x.mean() < -0.9:
            raise ValueError("too dark\nfor me")
        return super().forward(x)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tiny pictures gain nothing from more, and on a busy machine lose much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8))


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.mode == b.mode and np.array_equal(np.asarray(a), np.asarray(b))


# ---- one picture


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 4, 32]), st.sampled_from([1, 4, 7, 64]))
def test_any_size_comes_back_exactly(width, height, stride, minimum_size):
    generator = Identity(minimum_size)
    generator.stride = stride
    assert same(paint(generator, noise(width, height)), noise(width, height))


def test_the_picture_is_extended_by_its_mirror_image():
    generator = Identity()
    photo = noise(6, 5)
    paint(generator, photo)
    expected = np.pad(np.asarray(photo), ((0, 3), (0, 2), (0, 0)), mode="reflect")
    assert same(images.to_rgb(generator.seen[-1][0]), Image.fromarray(expected))


def test_a_side_too_small_for_a_mirror_repeats_its_edge():
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert pad(x, 4)[0, 0].tolist() == [[0, 1, 1, 1], [2, 3, 3, 3], [2, 3, 3, 3], [2, 3, 3, 3]]
    assert pad(torch.ones(2, 3, 1, 9), 8, 20).shape == (2, 3, 24, 24)
    assert pad(x, 2) is x


def test_painting_is_what_the_generator_made():
    photo = noise(9, 7)
    assert same(paint(Inverter(), photo), Image.fromarray(255 - np.asarray(photo)))


def test_every_kind_of_source(tmp_path):
    photo = noise(9, 7)
    photo.save(tmp_path / "x.png")
    tensor = images.to_tensor(photo)
    for source in (tmp_path / "x.png", str(tmp_path / "x.png"), photo, np.asarray(photo), tensor, tensor[None]):
        assert same(paint(Identity(), source), photo)


def test_transparency_and_profile_are_kept():
    profile = b"\0" * 16 + b"RGB " + b"\0" * 16 + b"acsp" + b"\0" * 92
    photo = noise(9, 7, 4)
    photo.info["icc_profile"] = profile
    painting = paint(Identity(), photo)
    assert painting.mode == "RGBA"
    assert same(painting.getchannel("A"), photo.getchannel("A"))
    assert painting.info["icc_profile"] == profile
    assert paint(Identity(), noise(9, 7)).info == {}


def test_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(9, 7).save(tmp_path / "x.png", exif=exif)
    assert same(paint(Identity(), tmp_path / "x.png"), noise(9, 7).transpose(Image.Transpose.ROTATE_270))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_pictures_come_in_the_precision_of_the_generator(dtype):
    generator = Identity(dtype=dtype)
    assert same(paint(generator, noise(6, 6)), noise(6, 6))
    assert generator.seen[-1].dtype == dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pictures_go_to_the_device_of_the_generator():
    generator = Identity(dtype=torch.float16).cuda()
    assert same(paint(generator, noise(6, 6)), noise(6, 6))
    assert generator.seen[-1].is_cuda


def test_options_go_to_the_generator():
    photo = Image.new("RGB", (3, 3), (0, 0, 0))
    assert paint(Brighter(), photo, by=2.0).getpixel((0, 0)) == (255, 255, 255)
    with pytest.raises(TypeError, match="by"):
        paint(Identity(), photo, by=2.0)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: x[:, :, :-1], r"returned \(1, 3, 3, 4\) for pictures of shape \(1, 3, 4, 4\)"),
        (lambda x: [x], "returned list"),
        (lambda x: x * float("nan"), "not finite"),
        (lambda x: (x.half() * 60000) * 60000, "float32"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "4 x 4 pixels.*smaller"),
        (torch.OutOfMemoryError("CUDA out of memory."), "4 x 4 pixels.*smaller"),
        (MemoryError(), "4 x 4 pixels.*smaller"),
    ],
)
def test_what_goes_wrong_in_a_generator_is_told(result, message):
    with pytest.raises(PictureError, match=message):
        paint(Broken(result), Image.new("RGB", (4, 4), "white"))


def test_other_errors_of_a_generator_are_not_hidden():
    with pytest.raises(RuntimeError, match="a bug"):
        paint(Broken(RuntimeError("a bug")), noise(4, 4))


def test_noise_models_do_not_paint():
    with pytest.raises(ArtganError, match="noise-to-image"):
        paint(FromNoise(), noise(4, 4))


def test_batch():
    photos = [noise(9, 7, 3 + i % 2, seed=i) for i in range(5)]
    pictures = [images.decode(photo) for photo in photos]
    generator = Identity()
    paintings = paint_batch(generator, pictures)
    assert generator.seen[-1].shape == (5, 3, 8, 12)
    for picture, painting in zip(pictures, paintings, strict=True):
        assert same(painting, images.assemble(picture, picture.rgb))
    assert paint_batch(generator, []) == []
    with pytest.raises(PictureError, match="one size"):
        paint_batch(generator, [Picture(noise(4, 4)), Picture(noise(4, 5))])


# ---- where paintings go


def photos(folder: Path, *names: str, size: tuple[int, int] = (6, 5)) -> None:
    """Make small pictures; names that are no pictures become text files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if images.is_picture(name):
            noise(*size).save(path)
        else:
            path.write_text("text")


def outputs(jobs: list[Job], root: Path) -> dict[str, str | None]:
    return {os.path.relpath(job.input, root): job.output and os.path.relpath(job.output, root) for job in jobs}


def test_beside_the_file_with_a_tag(tmp_path):
    photos(tmp_path, "a.jpg", "b.PNG", "c.jp2", "d.e.webp")
    (tmp_path / "bare").write_bytes((tmp_path / "b.PNG").read_bytes())
    jobs = plan([*sorted(tmp_path.iterdir())], tag="monet")
    assert outputs(jobs, tmp_path) == {
        "a.jpg": "a-monet.jpg",
        "b.PNG": "b-monet.PNG",
        "bare": "bare-monet.png",
        "c.jp2": "c-monet.png",
        "d.e.webp": "d.e-monet.webp",
    }


def test_folder_to_a_sibling_so_that_a_second_run_paints_no_paintings(tmp_path):
    photos(tmp_path, "photos/b.jpg", "photos/a.jp2", "photos/.hidden.jpg", "photos/notes.txt", "photos/sub/c.jpg")
    expected = {"photos/a.jp2": "photos-monet/a.png", "photos/b.jpg": "photos-monet/b.jpg"}
    assert outputs(plan([tmp_path / "photos"], tag="monet"), tmp_path) == expected
    for overwrite in (False, True):
        jobs = plan([tmp_path / "photos"], tag="monet", overwrite=overwrite)
        assert outputs(jobs, tmp_path) == expected
        assert all(result.error is None for result in paint_files(Identity(), jobs, overwrite=overwrite))
    assert len(list((tmp_path / "photos").iterdir())) == 5


def test_folder_named_by_dots(tmp_path, monkeypatch):
    photos(tmp_path, "photos/a.jpg", "photos/sub/b.jpg")
    monkeypatch.chdir(tmp_path / "photos")
    assert [str(job.output) for job in plan(["."], tag="m")] == [str(tmp_path / "photos-m" / "a.jpg")]
    monkeypatch.chdir(tmp_path / "photos" / "sub")
    assert [str(job.output) for job in plan([".."], tag="m")] == [str(tmp_path / "photos-m" / "a.jpg")]


def test_recursive_keeps_the_tree_in_sorted_order(tmp_path):
    photos(tmp_path, "p/z.jpg", "p/b/2.jpg", "p/b/1.jpg", "p/a/deep/0.jpg", "p/.git/x.jpg")
    jobs = plan([tmp_path / "p"], tmp_path / "out", tag="m", recursive=True)
    assert outputs(jobs, tmp_path) == {
        "p/z.jpg": "out/z.jpg",
        "p/a/deep/0.jpg": "out/a/deep/0.jpg",
        "p/b/1.jpg": "out/b/1.jpg",
        "p/b/2.jpg": "out/b/2.jpg",
    }
    assert [job.input.name for job in jobs] == ["z.jpg", "0.jpg", "1.jpg", "2.jpg"]
    assert [r.error for r in paint_files(Identity(), jobs)] == [None] * 4
    assert (tmp_path / "out/a/deep/0.jpg").is_file()


def test_links_in_a_circle_end(tmp_path):
    photos(tmp_path, "p/a.jpg", "p/sub/b.jpg")
    (tmp_path / "p/sub/up").symlink_to(tmp_path / "p", target_is_directory=True)
    names = [job.input.name for job in plan([tmp_path / "p"], tag="m", recursive=True)]
    assert names == ["a.jpg", "b.jpg"]


def test_an_output_folder_inside_the_input_is_not_read(tmp_path):
    photos(tmp_path, "p/a.jpg")
    for _ in range(2):
        jobs = plan([tmp_path / "p"], tmp_path / "p" / "out", tag="m", recursive=True, overwrite=True)
        assert outputs(jobs, tmp_path) == {"p/a.jpg": "p/out/a.jpg"}
        assert [r.error for r in paint_files(Identity(), jobs, overwrite=True)] == [None]


def test_out_names_the_painting_of_a_single_file(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    assert outputs(plan([tmp_path / "a.jpg"], tmp_path / "new/p.webp", tag="m"), tmp_path) == {"a.jpg": "new/p.webp"}
    (tmp_path / "dir.png").mkdir()
    assert outputs(plan([tmp_path / "a.jpg"], tmp_path / "dir.png", tag="m"), tmp_path) == {"a.jpg": "dir.png/a.jpg"}
    assert outputs(plan([tmp_path / "a.jpg"], tmp_path / "out", tag="m"), tmp_path) == {"a.jpg": "out/a.jpg"}
    assert (tmp_path / "out").is_dir()


def test_out_that_cannot_be_is_an_error_of_the_call(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg", "file", "p/c.jpg")
    both = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for inputs, out, message in (
        (both, "p.png", "name of one picture"),
        ([tmp_path / "p"], "p.png", "name of one picture"),
        (both[:1], "p.jp2", r"'\.jp2'; known"),
        (both, "file", "is a file"),
        (both, "file/below", "cannot be created"),
        (both[:1], "file/below/p.png", "cannot be created"),
    ):
        with pytest.raises(ArtganError, match=message):
            plan(inputs, tmp_path / out, tag="m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg", "file", "p"]


def test_unwritable_out_is_an_error_of_the_call(tmp_path, monkeypatch):
    photos(tmp_path, "a.jpg")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ArtganError, match="not permitted"):
        plan([tmp_path / "a.jpg"], tmp_path / "out", tag="m")


def test_bad_inputs_are_named_and_the_rest_goes_on(tmp_path):
    photos(tmp_path, "a.jpg", "texts/notes.txt", "tree/sub/b.jpg")
    (tmp_path / "empty").mkdir()
    names = ["none.jpg", "empty", "texts", "tree", "a.jpg"]
    jobs = plan([tmp_path / name for name in names], tmp_path / "out", tag="m")
    assert [job.output is None for job in jobs] == [True] * 4 + [False]
    for job, text in zip(jobs, ("no such file", "no pictures", "no pictures", "on request"), strict=False):
        assert job.error.startswith(f"{job.input}: ")
        assert text in job.error
    results = list(paint_files(Identity(), jobs))
    assert [result.error for result in results[:4]] == [job.error for job in jobs[:4]]
    assert results[4].output == tmp_path / "out" / "a.jpg"


def test_nothing_is_made_where_there_is_nothing_to_paint(tmp_path):
    plan([tmp_path / "none.jpg"], tmp_path / "out", tag="m")
    assert list(tmp_path.iterdir()) == []


def test_two_inputs_never_share_a_painting(tmp_path):
    photos(tmp_path, "p/a.jp2", "p/a.png", "q/a.png")
    jobs = plan([tmp_path / "p", tmp_path / "q"], tmp_path / "out", tag="m")
    assert [job.output and job.output.name for job in jobs] == ["a.png", None, None]
    assert all(job.error.startswith(f"{job.input}: ") and "a.jp2" in job.error for job in jobs[1:])


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(tmp_path, overwrite):
    photos(tmp_path, "a.jpg", "a-m.jpg", "p/x.png")
    (tmp_path / "link").symlink_to(tmp_path / "p", target_is_directory=True)
    for inputs, out in (
        (["a.jpg"], "a.jpg"),
        (["a.jpg"], "."),
        (["p"], "p"),
        (["p"], "link"),
        (["a.jpg", "a-m.jpg"], None),
    ):
        paths = [tmp_path / name for name in inputs]
        jobs = plan(paths, out and tmp_path / out, tag="m", overwrite=overwrite)
        assert jobs[0].output is None
        assert "would replace" in jobs[0].error


def test_existing_paintings_are_kept_unless_told_otherwise(tmp_path):
    photos(tmp_path, "a.png", "b.png")
    (tmp_path / "a-m.png").write_text("mine")
    jobs = plan([tmp_path / "a.png", tmp_path / "b.png"], tag="m")
    assert "exists already" in jobs[0].error
    assert [r.error is None for r in paint_files(Inverter(), jobs)] == [False, True]
    assert (tmp_path / "a-m.png").read_text() == "mine"
    jobs = plan([tmp_path / "a.png"], tag="m", overwrite=True)
    assert [r.error for r in paint_files(Inverter(), jobs, overwrite=True)] == [None]
    assert images.decode(tmp_path / "a-m.png").size == (6, 5)


def test_existing_paintings_are_left_alone_where_work_goes_on(tmp_path):
    photos(tmp_path, "p/a.png", "p/b.png", "p/b.jp2", "p/c.png", "p/d.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("painted before")
    (tmp_path / "out" / "c.png").mkdir()  # no painting
    (tmp_path / "out" / "d.png").symlink_to("nowhere")  # neither
    for again in (False, True):
        jobs = plan([tmp_path / "p"], tmp_path / "out", tag="m", skip_existing=True)
        results = list(paint_files(Inverter(), jobs))
        assert [(result.input.name, result.skipped, result.error is None) for result in results] == [
            ("a.png", True, True),
            ("b.jp2", again, True),
            ("b.png", False, False),  # its name belongs to the painting of b.jp2
            ("c.png", False, False),
            ("d.png", False, False),
        ]
        assert results[0].output == tmp_path / "out" / "a.png"
    assert (tmp_path / "out" / "a.png").read_text() == "painted before"
    photos(tmp_path, "x.png", "x-m.png")
    [first, _] = plan([tmp_path / "x.png", tmp_path / "x-m.png"], tag="m", skip_existing=True)
    assert "would replace a picture that is to be painted" in first.error
    with pytest.raises(ArtganError, match="not both"):
        plan([tmp_path / "p"], tag="m", skip_existing=True, overwrite=True)


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    photos(tmp_path, "a.png")
    out = tmp_path / "out"
    out.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = socket.gethostname()
    kept = {f".artgan-{here}-{os.getppid()}-1.part", f".artgan-not-{here}-{dead.pid}-1.part", ".artgan-x.part"}
    for name in {*kept, f".artgan-{here}-{dead.pid}-1.part"}:
        (out / name).touch()
    folder = out / f".artgan-{here}-{dead.pid}-2.part"  # of a picture that was read by strips
    folder.mkdir()
    (folder / "photo").touch()
    assert [result.error for result in paint_files(Identity(), plan([tmp_path / "a.png"], out, tag="m"))] == [None]
    assert {path.name for path in out.iterdir()} == {*kept, "a.png"}


def test_a_painting_that_appeared_in_the_meantime_is_kept(tmp_path):
    photos(tmp_path, "a.png")
    jobs = plan([tmp_path / "a.png"], tag="m")
    (tmp_path / "a-m.png").write_text("mine")
    [result] = paint_files(Identity(), jobs)
    assert "exists already" in result.error
    assert (tmp_path / "a-m.png").read_text() == "mine"


# ---- the work


def job(folder: Path, name: str) -> Job:
    return Job(folder / name, folder / "out" / f"{name}.png")


def test_a_failing_input_stops_no_other_and_leaves_nothing(tmp_path):
    photos(tmp_path, "a.png", "z.png")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    names = ["a.png", "text.jpg", "empty.png", "cut.png", "none.png", "z.png"]
    results = list(paint_files(Identity(), [job(tmp_path, name) for name in names], batch=4))
    assert [result.input.name for result in results] == names
    assert [result.error is None for result in results] == [True, False, False, False, False, True]
    for result in results:
        assert (result.output is None) == (result.error is not None)
        assert result.error is None or result.error.startswith(f"{result.input}: ")
        assert result.size == (None if result.error else (6, 5))
        assert result.seconds >= 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png.png", "z.png.png"]


def test_neighbors_of_one_size_are_painted_together(tmp_path):
    sizes = [(8, 8)] * 5 + [(8, 4)] * 2 + [(8, 8)]
    for i, size in enumerate(sizes):
        noise(*size, seed=i).save(tmp_path / f"{i}.png")
    seen = []

    class Counting(Identity):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return super().forward(x)

    results = list(paint_files(Counting(), [job(tmp_path, f"{i}.png") for i in range(8)], batch=3))
    assert seen == [3, 2, 2, 1]
    for i, result in enumerate(results):
        assert same(images.decode(result.output).rgb, noise(*sizes[i], seed=i))


def test_a_failing_batch_falls_back_to_single_pictures(tmp_path):
    photos(tmp_path, "a.png", "b.png")
    Image.new("RGB", (6, 5)).save(tmp_path / "dark.png")
    jobs = [job(tmp_path, name) for name in ("a.png", "dark.png", "b.png")]
    results = list(paint_files(Fussy(), jobs, batch=3))
    assert [result.error is None for result in results] == [True, False, True]
    assert results[1].error == f"{tmp_path / 'dark.png'}: cannot be painted (ValueError: too dark for me)"
    assert not (tmp_path / "out" / "dark.png.png").exists()


class Crowded(Identity):
    """Takes so many pixels at once, and remembers how many pictures it was given."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels
        self.given: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(len(x))
        if x[:, 0].numel() > self.pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().forward(x)


def test_a_batch_that_does_not_fit_is_halved_and_so_are_those_after_it(tmp_path):
    photos(tmp_path, *(f"{i:02}.png" for i in range(16)), size=(8, 8))
    photos(tmp_path, *(f"large{i}.png" for i in range(2)), size=(16, 16))
    photos(tmp_path, *(f"small{i}.png" for i in range(8)), size=(4, 4))
    generator = Crowded(3 * 64)
    jobs = [job(tmp_path, path.name) for path in sorted(tmp_path.glob("*.png"))]
    results = list(paint_files(generator, jobs, batch=8))
    assert [result.input for result in results] == [job.input for job in jobs]
    large, small = [1, 1], [8]  # as many pixels as two of 8 x 8
    assert generator.given == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2, *large, *small]
    failed = {result.input.name: result.error for result in results if result.error}
    assert failed.keys() == {"large0.png", "large1.png"}
    assert all("did not fit in the memory" in error for error in failed.values())


def test_pictures_of_a_failing_batch_do_not_make_the_next_ones_smaller(tmp_path):
    photos(tmp_path, "a.png", "b.png", "c.png", "d.png")
    Image.new("RGB", (6, 5)).save(tmp_path / "b.png")
    seen = []

    class Picky(Identity):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            if (x.mean((1, 2, 3)) == -1).any():
                raise ValueError("too dark")
            return super().forward(x)

    results = list(paint_files(Picky(), [job(tmp_path, f"{n}.png") for n in "abcd"], batch=2))
    assert [result.error is None for result in results] == [True, False, True, True]
    assert seen == [2, 1, 1, 2]


class Stopped(Generator):
    """Is interrupted when it is given a dark picture, and fails on several at once if it is told to."""

    def __init__(self, *, single: bool = False, empty_handed: bool = False) -> None:
        super().__init__()
        self.single, self.empty_handed = single, empty_handed

    def forward(self, x: Tensor) -> Tensor:
        if self.single and len(x) > 1:
            raise ValueError("one at a time")
        if x.max() > -1:
            return x
        raise KeyboardInterrupt if self.empty_handed else Interrupted(x + 1)


def test_an_interrupted_picture_is_finished_with_what_there_is():
    dark = Image.new("RGB", (5, 3))
    with pytest.raises(Interrupted) as caught:
        paint(Stopped(), dark)
    [painting] = caught.value.made
    assert (painting.size, painting.getpixel((0, 0))) == ((5, 3), (128, 128, 128))
    with pytest.raises(KeyboardInterrupt) as plain:
        paint(Stopped(empty_handed=True), dark)
    assert not isinstance(plain.value, Interrupted)


@pytest.mark.parametrize(
    ("generator", "batch", "made"),
    [
        (Stopped(), 1, ["a", "b", "dark"]),
        (Stopped(single=True), 4, ["a", "b", "dark"]),
        (Stopped(empty_handed=True), 1, ["a", "b"]),
        (Stopped(single=True, empty_handed=True), 4, ["a", "b"]),
    ],
)
def test_what_is_painted_by_the_time_of_an_interruption_is_written(tmp_path, generator, batch, made):
    photos(tmp_path, "a.png", "b.png", "z.png")
    Image.new("RGB", (6, 5)).save(tmp_path / "dark.png")
    results = []
    with pytest.raises(KeyboardInterrupt) as caught:
        results.extend(
            paint_files(generator, [job(tmp_path, f"{n}.png") for n in ("a", "b", "dark", "z")], batch=batch)
        )
    assert not isinstance(caught.value, Interrupted)
    assert [(result.input.stem, result.error) for result in results] == [(name, None) for name in made]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{name}.png.png" for name in made]


def test_of_an_interrupted_batch_what_it_came_to_is_written(tmp_path):
    class Halfway(Identity):
        def generate(self, x: Tensor, **options: Any) -> Tensor:
            raise Interrupted(x[:1])

    photos(tmp_path, "a.png", "b.png")
    results = []
    with pytest.raises(KeyboardInterrupt):
        results.extend(paint_files(Halfway(), [job(tmp_path, f"{n}.png") for n in "ab"], batch=2))
    assert [(result.input.stem, result.error) for result in results] == [("a", None)]


@pytest.mark.parametrize("error", [ConfigError("no style"), WeightsError("no network")], ids=str)
def test_what_is_wrong_with_every_picture_ends_the_work(tmp_path, error):
    class Refusing(Identity):
        def generate(self, x: Tensor, **options: Any) -> Tensor:
            raise error

    photos(tmp_path, "a.png", "b.png")
    with pytest.raises(type(error), match=str(error)):
        list(paint_files(Refusing(), [job(tmp_path, f"{n}.png") for n in "ab"]))


def test_options_reach_the_generator(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    [result] = paint_files(Brighter(), [job(tmp_path, "a.png")], options={"by": 2.0})
    assert images.decode(result.output).rgb.getpixel((0, 0)) == (255, 255, 255)


def test_an_output_folder_that_cannot_be_made_costs_no_painting(tmp_path):
    photos(tmp_path, "a.png", "file")
    generator = Identity()
    [result] = paint_files(generator, [Job(tmp_path / "a.png", tmp_path / "file" / "a.png")])
    assert str(tmp_path / "file") in result.error
    assert generator.seen == []


def test_results_come_as_they_are_made(tmp_path):
    photos(tmp_path, "a.png", "b.png")

    def jobs():
        yield job(tmp_path, "a.png")
        yield job(tmp_path, "b.png")
        raise KeyboardInterrupt

    done: list[Result] = []
    with pytest.raises(KeyboardInterrupt):
        done.extend(paint_files(Identity(), jobs()))
    assert (tmp_path / "out" / "a.png.png").exists()


class Waiting(Identity):
    """Waits in its first picture for something to have happened meanwhile."""

    def __init__(self, happened: Callable[[], bool], **attributes: Any) -> None:
        super().__init__()
        self.happened, self.in_time = happened, False
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        end = time.monotonic() + 10
        while not (self.in_time or self.happened()) and time.monotonic() < end:
            time.sleep(0.01)
        self.in_time = self.in_time or self.happened()
        return super().forward(x)


def test_the_next_pictures_are_read_while_one_is_painted(tmp_path, monkeypatch):
    photos(tmp_path, *(f"{i}.png" for i in range(40)))
    decode, read = images.decode, []
    monkeypatch.setattr(images, "decode", lambda path: read.append(path) or decode(path))
    generator = Waiting(lambda: len(read) >= 5)
    for number, result in enumerate(paint_files(generator, [job(tmp_path, f"{i}.png") for i in range(40)])):
        assert result.error is None
        assert len(read) <= number + 1 + 25  # but not all of them
    assert generator.in_time


def test_the_last_painting_is_written_while_the_next_is_painted(tmp_path):
    photos(tmp_path, "a.png", "b.png")

    class Second(Waiting):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if self.seen else Identity.forward(self, x)

    generator = Second((tmp_path / "out" / "a.png.png").exists)
    assert [r.error for r in paint_files(generator, [job(tmp_path, "a.png"), job(tmp_path, "b.png")])] == [None] * 2
    assert generator.in_time


class Meeting(Identity):
    """Waits until another thread has come this far too."""

    def __init__(self) -> None:
        super().__init__()
        self.thread_safe = True
        self.threads = threading.Barrier(2, timeout=20)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] == 8:  # small ones alone
            self.threads.wait()
        assert (torch.get_num_threads() == 1) == (x.shape[2] == 8)
        return super().forward(x)


@pytest.fixture
def three_threads():
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


def test_small_pictures_are_painted_by_several_threads_and_told_in_order(tmp_path, monkeypatch, three_threads):
    monkeypatch.setattr(files, "_SMALL", 100)
    names = [f"{i:02}.png" for i in range(12)]
    photos(tmp_path, *names)
    photos(tmp_path, "06-large.png", size=(40, 30))
    (tmp_path / "07-broken.png").write_bytes(b"no picture")
    names = sorted([*names, "06-large.png", "07-broken.png"])
    results = list(paint_files(Meeting(), [job(tmp_path, name) for name in names]))
    assert [result.input.name for result in results] == names
    assert [result.input.name for result in results if result.error] == ["07-broken.png"]
    for result in results:
        if not result.error:
            assert same(images.decode(result.output).rgb, images.decode(result.input).rgb)
    assert torch.get_num_threads() == 3


def test_what_goes_wrong_in_one_of_several_threads_stops_no_other(tmp_path, three_threads):
    class Fails(Identity):
        thread_safe = True

        def forward(self, x: Tensor) -> Tensor:
            if float(x.mean()) > 0.99:
                raise ValueError("too bright")
            return super().forward(x)

    photos(tmp_path, *(f"{i}.png" for i in range(6)))
    Image.new("RGB", (6, 5), "white").save(tmp_path / "3.png")
    results = list(paint_files(Fails(), [job(tmp_path, f"{i}.png") for i in range(6)]))
    assert [bool(result.error) for result in results] == [False] * 3 + [True] + [False] * 2
    assert "ValueError: too bright" in results[3].error


def test_options_that_cannot_be_followed_end_the_work_of_several_threads(tmp_path, three_threads):
    class Refusing(Identity):
        thread_safe = True

        def generate(self, x: Tensor, **options: Any) -> Tensor:
            raise ConfigError("no style")

    photos(tmp_path, *(f"{i}.png" for i in range(9)))
    with pytest.raises(ConfigError, match="no style"):
        list(paint_files(Refusing(), [job(tmp_path, f"{i}.png") for i in range(9)]))
    assert torch.get_num_threads() == 3


def test_a_large_picture_is_alone_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PIXELS_AT_ONCE", 100)
    photos(tmp_path, "small.png", "small2.png", size=(5, 5))
    photos(tmp_path, "large.png", "large2.png", size=(20, 20))
    decode, log = images.decode, []
    monkeypatch.setattr(images, "decode", lambda path: log.append(("read", path.stem)) or decode(path))
    encode = images.encode

    def slow(image: Image.Image, path: Path, **options: Any) -> None:
        time.sleep(0.05)
        encode(image, path, **options)
        log.append(("written", path.name.split(".")[0]))

    monkeypatch.setattr(images, "encode", slow)
    names = ("small", "large", "large2", "small2")
    results = list(paint_files(Identity(), [job(tmp_path, f"{name}.png") for name in names]))
    assert [result.error for result in results] == [None] * 4
    assert log == [(what, name) for name in names for what in ("read", "written")]


def test_more_pixels_than_are_read_ahead_may_be_painted_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PIXELS_AT_ONCE", 100)
    photos(tmp_path, *(f"{i}.png" for i in range(7)), size=(8, 8))
    generator = Crowded(4 * 64)
    results = list(paint_files(generator, [job(tmp_path, f"{i}.png") for i in range(7)], batch=4))
    assert [result.error for result in results] == [None] * 7
    assert generator.given == [4, 3]


def test_a_generator_that_takes_one_at_a_time_has_each_painting_told_at_once(tmp_path):
    photos(tmp_path, *(f"{i}.png" for i in range(4)))
    told: list[int] = []

    class Slow(Identity):
        one_at_a_time = True

        def forward(self, x: Tensor) -> Tensor:
            begun.append(len(told))
            assert len(x) == 1
            return super().forward(x)

    begun: list[int] = []
    for number, _ in enumerate(paint_files(Slow(), [job(tmp_path, f"{i}.png") for i in range(4)], batch=3)):
        told.append(number)
    assert begun == [0, 1, 2, 3]


def test_whoever_stops_early_leaves_no_thread_and_no_half_painting(tmp_path):
    photos(tmp_path, *(f"{i}.png" for i in range(30)))
    before = threading.active_count()
    results = paint_files(Identity(), [job(tmp_path, f"{i}.png") for i in range(30)])
    assert next(results).error is None
    results.close()
    assert threading.active_count() == before
    written = sorted((tmp_path / "out").iterdir())
    assert 1 <= len(written) < 30
    assert all(images.decode(path).size == (6, 5) for path in written)


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    noise(400, 300).save(tmp_path / "a.bmp")
    jobs = (Job(tmp_path / "a.bmp", tmp_path / f"{i % 2}.bmp") for i in range(400))
    process, peaks = psutil.Process(), []
    for result in paint_files(Inverter(), jobs, batch=2, overwrite=True):
        assert result.error is None
        peaks.append(process.memory_info().rss)
    assert max(peaks) <= 1.1 * max(peaks[:40])  # 400 pictures kept would be 190 MB


def test_a_picture_that_does_not_fit_in_memory_is_refused_before_it_is_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    class Hungry(Generator):
        memory_per_pixel = 1000

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10_000_000))
    assert paint(Hungry(), Image.new("RGB", (100, 100))).size == (100, 100)
    with pytest.raises(PictureError, match=r"take about 0.0 GB of memory to paint.*make the picture smaller"):
        paint(Hungry(), Image.new("RGB", (101, 100)))
