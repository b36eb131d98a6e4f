"""Who is let in: hosts, origins, tokens and sizes, before anything behind the gate sees a request."""

from __future__ import annotations

import ipaddress
import string
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="the extra demo is not installed")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from artgan.demo.gate import MOST_SENT, Gate, Hosts
from artgan.demo.server import check_access
from artgan.demo.store import Store
from artgan.errors import ArtganError, ConfigError

TOKEN = "a long and random text, ümlauts included"


class Roomy(Store):
    """Has room, and no files."""

    def check_room(self, size: int) -> None:
        pass

    def remove_partial(self) -> None:
        pass


class Full(Roomy):
    def check_room(self, size: int) -> None:
        raise ArtganError("there is no room")


async def behind(request: Request) -> PlainTextResponse:
    return PlainTextResponse("behind")


def client(
    *, host: str = "127.0.0.1", token: str | None = None, full: bool = False, called: str = "127.0.0.1:7860"
) -> TestClient:
    app = Starlette(routes=[Route("/{path:path}", behind, methods=["GET", "POST"])])
    gate = Gate(app, hosts=Hosts(host), port=7860, token=token, store=Full(Path()) if full else Roomy(Path()))
    return TestClient(gate, base_url=f"http://{called}", follow_redirects=False)


@pytest.mark.parametrize("name", ["127.0.0.1", "127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860"])
def test_a_page_on_loopback_is_called_by_names_of_loopback(name: str) -> None:
    answer = client().get("/", headers={"Host": name})
    assert (answer.status_code, answer.text) == (200, "behind")


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7", "localhost.evil", "", "[", "a b"]
)
def test_other_names_are_refused_on_loopback(name: str) -> None:
    answer = client().get("/", headers={"Host": name})
    assert answer.status_code == 403
    assert answer.text.startswith("this page is not called ")
    assert answer.text.count("\n") == 1


@given(st.text(string.ascii_lowercase + ".-", min_size=1))
def test_a_name_never_passes_for_an_address(name: str) -> None:
    for bound in ("127.0.0.1", "0.0.0.0", "::"):
        assert not Hosts(bound).allow(f"{name}.example:80")


@given(st.ip_addresses())
def test_addresses_are_right_where_others_reach_the_page(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    shown = f"[{address}]" if address.version == 6 else str(address)
    assert Hosts("0.0.0.0").allow(f"{shown}:7860")
    assert Hosts("127.0.0.1").allow(shown) == address.is_loopback


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # a program
        ({"Origin": "http://127.0.0.1:7860", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://127.0.0.1:8000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),  # a picture of the page in another page
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
    ],
)
def test_other_pages_may_not_use_it(headers: dict[str, str], status: int) -> None:
    for method in ("GET", "POST"):
        assert client().request(method, "/gradio_api/upload", headers=headers).status_code == status


def test_a_link_from_another_page_may_open_it() -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client().get("/", headers=headers).status_code == 200


def test_requests_are_bounded_before_they_are_read() -> None:
    def status(path: str, length: int | None) -> int:
        headers = {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        return client().post(path, headers=headers).status_code

    assert status("/gradio_api/upload", MOST_SENT) == 200
    assert status("/gradio_api/upload", MOST_SENT + 1) == 413
    assert status("/paint", MOST_SENT + 1) == 413
    assert status("/gradio_api/queue/join", 2**20) == 200
    assert status("/gradio_api/queue/join", 2**20 + 1) == 413
    assert status("/paint", None) == 411


def test_uploads_need_room() -> None:
    answer = client(full=True).post("/gradio_api/upload", content=b"x")
    assert (answer.status_code, answer.text) == (507, "there is no room\n")
    assert client(full=True).post("/gradio_api/queue/join", content=b"x").status_code == 200


def test_what_is_asked_for_a_token_is_answered_with_it_alone() -> None:
    page = client(token=TOKEN)
    assert page.get("/config").status_code == 401
    assert page.post("/paint", content=b"x").status_code == 401
    answer = page.get("/")
    assert answer.status_code == 401
    assert 'type="password"' in answer.text
    assert page.get("/", params={"token": "wrong"}).status_code == 401
    assert page.post("/", data={"token": ""}).status_code == 401
    assert page.get("/", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert page.get("/", headers={"Cookie": "artgan-7860=wrong"}).status_code == 401
    assert page.get("/", headers={"Cookie": "artgan-7860="}).status_code == 401
    bearer = {"Authorization": f"Bearer {TOKEN}".encode()}
    assert page.get("/config", headers=bearer).text == "behind"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_token_becomes_a_cookie_and_leaves_the_address(method: str) -> None:
    page = client(token=TOKEN)
    token = {"token": TOKEN}
    answer = page.get("/", params=token) if method == "GET" else page.post("/", data=token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert TOKEN not in str(answer.headers)
    [cookie] = SimpleCookie(answer.headers["set-cookie"]).values()
    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert page.get("/").text == "behind"  # the client keeps cookies
    again = page.get("/", params={**token, "__theme": "dark"})
    assert (again.status_code, again.headers["location"]) == (303, "/?__theme=dark")


def test_a_cookie_of_one_page_does_not_open_another() -> None:
    first, second = client(token=TOKEN), client(token=TOKEN)
    first.get("/", params={"token": TOKEN})
    second.cookies.update(first.cookies)
    assert first.get("/").status_code == 200
    assert second.get("/").status_code == 401


@pytest.mark.parametrize("path", ["/", "/config", "/nothing"])
def test_every_answer_forbids_what_is_elsewhere(path: str) -> None:
    for token in (None, TOKEN):
        headers = client(token=token).get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "token", "no_auth", "told"),
    [
        ("0.0.0.0", None, False, "--host 0.0.0.0: other computers can reach this address"),
        ("::", None, False, "--host ::: other computers can reach this address"),
        ("my-machine", None, False, "--host my-machine: other computers"),
        ("127.0.0.1", " ", False, "--token: is empty"),
        ("127.0.0.1", "x", True, "--token and --no-auth contradict each other"),
    ],
)
def test_an_address_that_others_reach_needs_a_word(host: str, token: str | None, no_auth: bool, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_access(host, token, no_auth)
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("host", "token", "no_auth"),
    [
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("localhost", None, False),
        ("0.0.0.0", "x", False),
        ("::", None, True),
    ],
)
def test_these_are_enough(host: str, token: str | None, no_auth: bool) -> None:
    check_access(host, token, no_auth)
