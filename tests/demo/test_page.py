"""The page as its visitors meet it: by HTTP, by Gradio's client, and in a browser. One server for all."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import socket
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from support.demo import Served, served

import artgan
from artgan import images

pytest.importorskip("gradio_client", reason="the extra demo is not installed")

import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.slow  # the page takes ten seconds to start
in_a_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no chromium and chromedriver on the path, which show the page"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as page:
        yield page
        assert page.end() == 128 + 15  # SIGTERM
        assert [*page.folder.iterdir()] == []


def pixels(file: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), int)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uploads") / "IMG 1.png"
    random = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(random).resize((96, 72), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    image.save(path, exif=exif)
    return path


@pytest.fixture(scope="module")
def painted(photo: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    """What the page should paint by default."""
    return np.asarray(artgan.load("monet", runtime="onnxruntime").paint(photo), int)


def eventually(true: Callable[[], bool], seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def left(page: Served) -> list[str]:
    """The files that visitors left, after a while in which they are removed."""
    eventually(lambda: page.files() == [], 15)
    return page.files()


# One request


def test_one_request_paints_a_photo(page: Served, photo: Path, painted: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    answer = httpx.post(f"{page.url}paint", content=photo.read_bytes(), timeout=120)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert np.array_equal(pixels(io.BytesIO(answer.content)), painted)
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.getexif()[0x010F] == "a camera"
    bolder = {"painter": "vangogh", "strength": "1.5", "keep_colors": "true"}
    answer = httpx.post(f"{page.url}paint", params=bolder, content=photo.read_bytes(), timeout=120)
    expected = artgan.load("vangogh", runtime="onnxruntime").paint(photo, strength=1.5, keep_colors=True)
    assert np.array_equal(pixels(io.BytesIO(answer.content)), np.asarray(expected, int))
    assert left(page) == []


@pytest.mark.parametrize(
    ("query", "content", "told"),
    [
        ({}, b"no picture", "photo: not a picture in a format that artgan reads"),
        ({}, b"", "photo: is empty (0 bytes)"),
        ({"painter": "picasso"}, b"x", "no painter named 'picasso' works here; there are monet, "),
        ({"strenth": "1"}, b"x", "unknown option 'strenth'; did you mean 'strength'?"),
        ({"strength": "9"}, None, "Claude Monet: strength: must be at most 1.5, not 9.0"),
        ({"strength": "nan"}, None, "Claude Monet: strength: must be finite"),
        ({"keep_colors": "maybe"}, None, "keep_colors: must be true or false"),
        ({"painter": "gatys"}, None, "choose a style picture first"),
    ],
)
def test_what_cannot_be_painted_is_answered_by_a_sentence(
    page: Served, photo: Path, query: dict[str, str], content: bytes | None, told: str
) -> None:
    sent = photo.read_bytes() if content is None else content
    answer = httpx.post(f"{page.url}paint", params=query, content=sent, timeout=120)
    assert answer.status_code == 400
    assert answer.text.startswith(told)
    assert answer.text.count("\n") == 1
    assert left(page) == []


def test_a_photo_of_too_many_bytes_or_pixels(page: Served) -> None:
    answer = httpx.post(f"{page.url}paint", content=bytes(51 * 2**20), timeout=120)
    assert (answer.status_code, answer.text) == (400, "the photo is larger than the limit of 50 MB\n")
    file = io.BytesIO()
    Image.new("1", (20_000, 4_000)).save(file, "PNG")  # a bomb: 10 KB
    answer = httpx.post(f"{page.url}paint", content=file.getvalue(), timeout=120)
    assert answer.text == "photo: has 80 megapixels; the limit is 50; make it smaller\n"
    assert left(page) == []


def test_painters_are_shown_by_the_example(page: Served) -> None:
    answer = httpx.get(f"{page.url}painter/cezanne.jpg", timeout=120)
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (384, 384)
    for name in ("gatys", "picasso", "..%2f..%2fsecret"):
        assert httpx.get(f"{page.url}painter/{name}.jpg").status_code == 404


# Gradio's client


@pytest.fixture
def client(page: Served, tmp_path: Path) -> Iterator[Client]:
    client = Client(page.url, verbose=False, download_files=tmp_path / "downloads")
    yield client
    client.close()
    assert left(page) == []


def ask(client: Client, photos: list[Any], **given: Any) -> Any:
    values: dict[str, Any] = {"painter": "monet", "other": "", "style": None, "stroke_size": 1, "strength": 1}
    values |= {"palette": artgan.load("monet").card["brushwork"]["palette"], "keep_colors": False}
    return client.submit(photos, *{**values, **given}.values(), api_name="/paint")


def test_photos_are_painted_and_those_that_fail_are_named(
    client: Client, photo: Path, painted: np.ndarray[Any, np.dtype[np.int64]], tmp_path: Path
) -> None:
    other = tmp_path / "b" / "IMG 1.png"
    other.parent.mkdir()
    Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other)
    broken = tmp_path / "<b>broken.png"
    broken.write_bytes(photo.read_bytes()[:300])
    files = [handle_file(str(path)) for path in (photo, broken, other)]
    report, before_after, gallery, one, every = ask(client, files).result(120)
    assert "2 of 3 painted." in report
    assert "broken.png: damaged or incomplete PNG" in report
    assert "<b>" not in report
    assert np.array_equal(pixels(one["value"] if isinstance(one, dict) else one), painted)
    before, after = before_after
    assert np.abs(pixels(before) - pixels(photo)).mean() < 6
    assert np.abs(pixels(after) - painted).mean() < 6
    assert len(gallery["value"]) == 2
    with zipfile.ZipFile(every["value"]) as archive:
        assert archive.namelist() == ["IMG 1-monet.png", "IMG 1-monet (2).png"]
        assert np.array_equal(pixels(io.BytesIO(archive.read("IMG 1-monet.png"))), painted)


def test_an_error_is_one_plain_sentence(client: Client, tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"^Choose a photo first, or use the example photo\.$"):
        ask(client, []).result(60)
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(AppError, match=r"^notes\.jpg: not a picture in a format that artgan reads"):
        ask(client, [handle_file(str(tmp_path / "notes.jpg"))]).result(60)


@pytest.mark.exhaustive  # test_studio.py looks at more of them, without the server's imports
def test_pictures_from_noise(client: Client) -> None:
    _, gallery, every = client.predict("dcgan.monet", "several", 3, 0, 2, api_name="/make")
    expected = artgan.load("dcgan.monet").sample(2, seed=3)
    for item, picture in zip(gallery, expected, strict=True):
        assert np.abs(pixels(item["image"]) - np.asarray(picture, int)).max() <= 1
    with zipfile.ZipFile(every["value"]) as archive:
        assert archive.namelist() == ["noise-00.png", "noise-01.png"]


def test_who_waits_sees_a_position_and_who_cancels_stops_the_work(page: Served, client: Client, photo: Path) -> None:
    job = ask(client, [handle_file(str(photo))] * 20)

    def made() -> int:
        return sum(name.endswith("-monet.png") for name in page.files())

    assert eventually(lambda: made() > 0)
    other = Client(page.url, verbose=False, download_files=False)
    second = ask(other, [handle_file(str(photo))])
    assert eventually(lambda: any("Waiting for your turn: 1 before you." in report for report, *_ in second.outputs()))
    job.cancel()
    second.result(120)
    other.close()
    after = httpx.post(f"{page.url}paint", content=photo.read_bytes(), timeout=300)  # its turn comes after that
    assert after.status_code == 200
    assert 0 < made() < 20  # with that of the other one, if it is still there


# Hostile visitors


def test_a_path_in_a_name_leads_nowhere(page: Served, photo: Path) -> None:
    for name in ("../../../../evil.png", "/etc/evil.png", "..\\..\\evil.png", "a\0b.png", "..", "x" * 300 + ".png"):
        files = {"files": (name, photo.read_bytes())}
        answer = httpx.post(f"{page.url}gradio_api/upload", files=files, timeout=60)
        assert answer.status_code in (200, 400)
        for path in answer.json() if answer.status_code == 200 else []:
            inside = Path(path).resolve()
            assert inside.is_relative_to(page.folder)
            shutil.rmtree(inside.parent)  # what no visitor came back for is removed after an hour only
    assert not list(page.folder.parent.rglob("evil.png"))
    assert left(page) == []


def test_an_upload_that_is_too_large_or_breaks_off_leaves_nothing(page: Served, photo: Path) -> None:
    url = f"{page.url}gradio_api/upload"
    answer = httpx.post(url, files={"files": ("large.png", bytes(51 * 2**20))}, timeout=60)
    assert answer.status_code == 413
    address = (httpx.URL(url).host, httpx.URL(url).port)
    form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(10_000)
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {address[0]}\r\nContent-Length: 99999\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + form)
        assert eventually(lambda: page.files() != [])
    assert left(page) == []


def called(page: Served, *data: Any) -> str:
    """How the page answers a call of its painting with these values, in place of what a client would send."""
    answer = httpx.post(f"{page.url}gradio_api/call/paint", json={"data": data}, timeout=60)
    if answer.status_code != 200:
        return answer.text
    with httpx.stream("GET", f"{page.url}gradio_api/call/paint/{answer.json()['event_id']}", timeout=60) as events:
        return "".join(events.iter_text())


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "https://example.org/x.png"])
@pytest.mark.parametrize("place", ["the photo", "the style"])
def test_nothing_but_uploads_is_painted(page: Served, photo: Path, path: str, place: str) -> None:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    photos, style = ([file], None) if place == "the photo" else ([], file)
    answer = called(page, photos, "monet", "", style, 1, 1, 0.3, False)
    assert "event: error" in answer
    assert "event: complete" not in answer
    assert "Traceback" not in answer
    assert left(page) == []


@pytest.mark.parametrize("name", ["etc/passwd", "/etc/passwd"])
def test_no_file_of_the_machine_is_served(page: Served, name: str) -> None:
    assert httpx.get(f"{page.url}gradio_api/file={name}").status_code in (403, 404)
    assert httpx.get(f"{page.url}gradio_api/file={page.folder}/../x").status_code in (403, 404)


def test_a_foreign_page_and_a_foreign_name_are_refused(page: Served) -> None:
    assert httpx.get(page.url, headers={"Host": "evil.example"}).status_code == 403
    assert httpx.post(f"{page.url}paint", headers={"Origin": "http://evil.example"}, content=b"x").status_code == 403


def test_who_leaves_in_the_middle_leaves_nothing(page: Served) -> None:
    jpeg = io.BytesIO()
    Image.effect_noise((700, 500), 90).convert("RGB").resize((4800, 3600)).save(jpeg, "JPEG", quality=40)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{page.url}paint", content=jpeg.getvalue(), timeout=httpx.Timeout(60, read=1))
    assert left(page) == []
    small = io.BytesIO()
    Image.new("RGB", (40, 30)).save(small, "PNG")
    assert httpx.post(f"{page.url}paint", content=small.getvalue(), timeout=120).status_code == 200


@pytest.mark.exhaustive
def test_two_hundred_at_once(page: Served, photo: Path) -> None:
    process = psutil.Process(page.process.pid)

    async def rush() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(limits=limits, timeout=600) as web:
            asked = [web.post(f"{page.url}paint", content=photo.read_bytes()) for _ in range(200)]
            return await asyncio.gather(*asked)

    asyncio.run(rush())  # warm
    before = process.memory_info().rss
    answers = asyncio.run(rush())
    assert {answer.status_code for answer in answers} == {200, 400}
    refused = {answer.text for answer in answers if answer.status_code == 400}
    assert refused == {"too many visitors are waiting at the moment; try again in a few minutes\n"}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert left(page) == []
    assert eventually(lambda: process.memory_info().rss < before + 64 * 2**20)


# A browser


@pytest.fixture
def browser(tmp_path: Path, page: Served) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,1000"),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with tempfile.TemporaryDirectory() as profile:
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        try:
            downloads = {"behavior": "allow", "downloadPath": str(tmp_path)}
            driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
            driver.get_log("performance")  # what the empty tab fetched
            yield driver
        finally:
            driver.quit()
    assert left(page) == []


def one(browser: Any, selector: str) -> Any:
    """An element, when it is there and visible."""

    def visible() -> bool:
        return any(element.is_displayed() for element in browser.find_elements("css selector", selector))

    assert eventually(visible, 60), selector
    return next(e for e in browser.find_elements("css selector", selector) if e.is_displayed())


def requested(browser: Any) -> set[str]:
    """The addresses that the browser asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    found = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    return {url for url in found if not url.startswith(("data:", "blob:", "chrome:"))}


def choose(browser: Any, selector: str, *files: Path) -> None:
    browser.find_element("css selector", f"{selector} input[type=file]").send_keys("\n".join(map(str, files)))
    assert eventually(lambda: all(file.stem[:4] in one(browser, selector).text for file in files))


@in_a_browser
def test_a_first_painting_in_two_clicks(
    page: Served, browser: Any, photo: Path, painted: np.ndarray[Any, np.dtype[np.int64]], tmp_path: Path
) -> None:
    browser.get(page.url)
    one(browser, "#painter label")
    choose(browser, "#photo-files", photo)
    one(browser, "#start").click()
    one(browser, "#download").click()
    assert eventually(lambda: (tmp_path / "IMG 1-monet.png").exists())
    assert np.array_equal(pixels(tmp_path / "IMG 1-monet.png"), painted)
    assert all(url.startswith(page.url) for url in requested(browser))
    assert not [entry for entry in browser.get_log("browser") if "Content Security" in entry["message"]]


@pytest.mark.exhaustive
@in_a_browser
@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_at_two_widths(
    page: Served, browser: Any, photo: Path, tmp_path: Path, width: int, theme: str
) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(f"{page.url}?__theme={theme}")
    one(browser, "#painter label")
    heic = tmp_path / "heic.heic"
    images.encode(Image.open(photo).convert("RGB"), heic)
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:300])
    choose(browser, "#photo-files", photo, heic, broken)
    next(e for e in browser.find_elements("css selector", "#painter label") if "Gogh" in e.text).click()
    one(browser, "#start").click()
    assert eventually(lambda: "2 of 3 painted." in browser.find_element("css selector", "#status").text, 60)
    assert "broken.png: damaged" in one(browser, "#status").text
    handle = one(browser, "#before-after [role=slider], #before-after .inner, #before-after .outer")
    first = browser.get_screenshot_as_png()
    from selenium.webdriver import ActionChains

    ActionChains(browser).drag_and_drop_by_offset(handle, width // 8, 0).perform()
    assert browser.get_screenshot_as_png() != first
    one(browser, "#download-all").click()
    assert eventually(lambda: (tmp_path / "paintings.zip").exists())
    with zipfile.ZipFile(tmp_path / "paintings.zip") as archive:
        assert archive.namelist() == ["IMG 1-vangogh.png", "heic-vangogh.heic"]
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width  # nothing sticks out
    for tab in ("From noise", "Models"):
        next(e for e in browser.find_elements("css selector", "button[role=tab]") if e.text == tab).click()
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert all(url.startswith(page.url) for url in requested(browser))


@pytest.mark.exhaustive
@in_a_browser
def test_a_browser_closed_in_the_middle_stops_the_work(page: Served, browser: Any, photo: Path) -> None:
    browser.get(page.url)
    many = [photo.with_name(f"many{number}.png") for number in range(40)]
    for number, path in enumerate(many):
        Image.open(photo).resize((400 + number, 300)).save(path)
    choose(browser, "#photo-files", *many)
    one(browser, "#start").click()
    assert eventually(lambda: sum("-monet.png" in name for name in page.files()) > 0)
    browser.get("about:blank")
    assert left(page) == []


# Other installations


@pytest.mark.exhaustive
def test_a_light_installation_with_a_token(photo: Path, tmp_path: Path) -> None:
    absent = (
        "torch",
        "timm",
        "jinja2.ext",
        "artgan_cyclegan",
        "artgan_gatys",
        "artgan_dcgan",
        "artgan_anystyle",
        "artgan_fastgan",
        "artgan_sngan",
        "sklearn",
    )
    code = f"import sys\nfor name in {absent!r}: sys.modules[name] = None\nfrom artgan.cli import main; main()"
    token = "a long and random text"
    folder = tmp_path / "served"
    folder.mkdir()
    environment = {"ARTGAN_DISABLE_PLUGINS": "anystyle,cyclegan,dcgan,fastgan,gatys,sngan", "ARTGAN_DEMO_TOKEN": token}
    with served(folder, "--host", "0.0.0.0", start=("-c", code, "demo"), environment=environment) as page:
        url = page.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.post(f"{url}paint", content=photo.read_bytes(), timeout=60).status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"{url}paint", content=photo.read_bytes(), headers=bearer, timeout=60)
        assert answer.status_code == 200
        text = httpx.get(url, headers=bearer).text
        assert "none of them works here" in text
        assert Client(url, verbose=False, headers=bearer).view_api(return_format="dict") is not None
        assert page.end() == 143
    assert token not in (tmp_path / "served-stderr.txt").read_text()
    assert [*folder.iterdir()] == []
