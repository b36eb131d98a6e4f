"""Odd and hostile pictures: each is painted, or refused with one line, and none of them hurts the others."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from support.mirror import install_mirror
from support.painting import paint

from artgan import images
from artgan.errors import PictureError, printable
from artgan.interfaces import Generator

CORPUS = Path(__file__).parent / "corpus"
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
SIZE = (24, 18)

Made = dict[bytes, "tuple[int, int] | None"]
"""By name, the size of the painting; None where there is to be none."""


def file_bytes(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def ramp(size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert("RGB")


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = SIZE) -> bytes:
    """A white RGB picture with more chunks before its pixels."""
    head = (b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    rows = (b"IDAT", zlib.compress((b"\0" + b"\xff" * 3 * SIZE[0]) * SIZE[1]))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (head, *chunks, rows, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def put(folder: Path, name: str | bytes, data: bytes) -> bytes:
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    with open(path, "wb") as file:
        file.write(data)
    return os.fsencode(name)


def odd_pictures(folder: Path) -> Made:
    """Pictures that are unusual and whole."""
    made: Made = {}
    for mode in MODES:
        for format_, suffix in (("TIFF", "tif"), ("PNG", "png")):
            if (mode, format_) == ("YCbCr", "TIFF") and int(PIL.__version__.partition(".")[0]) < 13:
                continue  # older versions, the last for Python 3.10 among them, cannot read these uncompressed
            try:
                data = file_bytes(Image.new(mode, SIZE), format_)
            except OSError:  # a mode that the format does not have
                continue
            made[put(folder, f"mode {mode.replace(';', '-')}.{suffix}", data)] = SIZE
    rgb_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    cmyk = file_bytes(ramp().convert("CMYK"), "JPEG", icc_profile=rgb_profile)
    made[put(folder, "cmyk with a profile for RGB.jpg", cmyk)] = SIZE
    made[put(folder, "deep.png", file_bytes(Image.new("I;16", SIZE, 40_000), "PNG"))] = SIZE
    for format_ in ("GIF", "WEBP", "PNG", "TIFF"):
        frames = [Image.new("RGB", SIZE, color) for color in ("red", "blue", "green")]
        data = file_bytes(frames[0], format_, save_all=True, append_images=frames[1:])
        made[put(folder, f"animated {format_}.{format_.lower()}", data)] = SIZE
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright = SIZE if orientation < 5 else SIZE[::-1]
        made[put(folder, f"exif {orientation}.jpg", file_bytes(ramp(), "JPEG", exif=exif))] = upright
    made[put(folder, "followed by garbage.jpg", file_bytes(ramp(), "JPEG") + os.urandom(500))] = SIZE
    made[put(folder, "broken exif.jpg", file_bytes(ramp(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff ..."))] = SIZE
    for name in (
        "new\nline.png",
        "[bold]markup.png",
        "-o.png",
        "睡蓮 Кувшинки é.png",
        "x" * 200 + ".png",
        b"\xff\xfe.png",
    ):
        made[put(folder, name, file_bytes(ramp((1, 1)), "PNG"))] = (1, 1)
    (folder / "linked.png").symlink_to("deep.png")
    return {**made, b"linked.png": SIZE}


def hostile_pictures(folder: Path) -> Made:
    """What is no picture, broken or larger than it looks."""
    jpeg = file_bytes(ramp(), "JPEG")
    bomb = zlib.compress(bytes(200_000_000))
    data: dict[str | bytes, bytes] = {
        "empty.jpg": b"",
        "text.jpg": b"Dear diary,\n",
        "wrong length.jpg": jpeg.replace(b"\xff\xc0\x00\x11", b"\xff\xc0\x00\xff"),
        "large header.png": png(size=(20_000, 20_000)),
        "text bomb.png": png((b"zTXt", b"Comment\0\0" + bomb)),
        "large frame.gif": (CORPUS / "gif-frame-of-billions-of-pixels").read_bytes(),
        "broken\nname.jpg": b"\n\n",
        b"\xff\xfe broken.jpg": b"\xff",
        "программа.eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    }
    data |= {f"{tenth}0 percent.jpg": jpeg[: len(jpeg) * tenth // 10] for tenth in range(1, 10)}
    made: Made = dict.fromkeys(put(folder, name, content) for name, content in data.items())
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "loop a.png").symlink_to("loop b.png")
    (folder / "loop b.png").symlink_to("loop a.png")
    (folder / "device.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    names = ("dangling.png", "loop a.png", "loop b.png", "device.png", "pipe.png", "socket.png")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket must be short
        server.bind("socket.png")
        os.chdir(here)
    return {**made, **dict.fromkeys(map(os.fsencode, names))}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse some of these names")
def test_a_folder_of_them_in_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_plugin: Callable[..., Path]
) -> None:
    install_mirror(install_plugin, monkeypatch)
    folder = tmp_path / "photos"
    folder.mkdir()
    made = odd_pictures(folder) | hostile_pictures(folder)
    refused = {name for name, size in made.items() if size is None}
    bomb = put(folder, "profile bomb.png", png((b"iCCP", b"x\0\0" + zlib.compress(bytes(200_000_000)))))  # either way

    command = [
        sys.executable,
        "-m",
        "artgan",
        "paint",
        "photos",
        "-o",
        "out",
        "--model",
        "mirror.plain",
        "--batch",
        "4",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 1, done.stderr
    out = {os.fsencode(name) for name in os.listdir(tmp_path / "out")}
    refused |= {bomb} - out
    *lines, last = done.stderr.splitlines()
    assert last == f"artgan: {len(refused)} of {len(made) + 1} failed"
    told = {f"artgan: {printable(os.fsdecode(b'photos/' + name))}: " for name in refused}
    told = {start.encode("ascii", "backslashreplace").decode() for start in told}
    assert len(lines) == len(refused), lines
    assert {start for start in told if sum(line.startswith(start) for line in lines) == 1} == told

    assert len(done.stdout.splitlines()) == len(made) + 1 - len(refused)
    expected = {name: size for name, size in made.items() if size is not None}
    written = {os.fsencode(Path(os.fsdecode(name)).with_suffix("")): name for name in out}
    assert len(out) == len(expected) + (bomb not in refused)  # nothing else, so nothing half done
    for name, size in expected.items():
        stem = os.fsencode(Path(os.fsdecode(name)).with_suffix(""))
        with Image.open(tmp_path / "out" / os.fsdecode(written[stem])) as painting:
            assert painting.size == size, name


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_fuzzing_found_is_refused(path: Path) -> None:
    """Each once made the decoder crash, or refuse in its own way: see scripts/fuzz_pictures.py."""
    if path.name == "avif-image-file-is-truncated-in-pixels" and int(PIL.__version__.partition(".")[0]) < 12:
        pytest.skip("older versions read what is left of it")
    start = time.process_time()
    with pytest.raises(PictureError) as caught:
        images.decode_bytes(path.read_bytes(), "x", max_pixels=1_000_000)
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < 5


LIMITED = """
import resource, sys
from pathlib import Path

from artgan import images
from artgan.errors import PictureError

resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        images.decode_bytes(path.read_bytes(), path.name, max_pixels=1_000_000)
    except PictureError as error:
        assert "memory" not in str(error).lower(), error
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")
def test_what_fuzzing_found_takes_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(CORPUS)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


class Inverter(Generator):
    stride = 4
    minimum_size = 16

    def forward(self, x):
        assert min(x.shape[2:]) >= 16
        assert x.shape[2] % 4 == x.shape[3] % 4 == 0
        return -x


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(1, 700), st.integers(1, 700))
def test_pictures_of_any_size_come_back_in_their_size(width: int, height: int) -> None:
    photo = Image.effect_noise((width, height), 80).convert("RGB")
    painting = paint(Inverter(), photo)
    assert painting.size == (width, height)
    assert painting.tobytes() == bytes(255 - value for value in photo.tobytes())


@pytest.mark.slow
def test_reading_in_threads_leaves_the_filters_of_warnings_alone(recwarn: pytest.WarningsRecorder) -> None:
    """warnings.catch_warnings() in two threads at once may leave everything ignored for good."""
    broken = file_bytes(Image.new("RGB", (4, 2)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = list(warnings.filters)
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                assert images.decode_bytes(broken, "x").size == (4, 2)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(300):
                assert warnings.filters == before
                time.sleep(0.001)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert warnings.filters == before
    assert not recwarn.list


def test_a_picture_with_broken_metadata_is_painted_without_a_word() -> None:
    code = "import sys; from artgan import images; print(images.decode_bytes(sys.stdin.buffer.read(), 'x').size)"
    jpeg = file_bytes(Image.new("RGB", (4, 2)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    done = subprocess.run([sys.executable, "-c", code], input=jpeg, capture_output=True, timeout=60)
    assert (done.stdout.split(b"\n")[0], done.stderr) == (b"(4, 2)", b"")
