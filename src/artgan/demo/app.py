"""The application: the page, the pictures of its painters, painting by one HTTP request, and the gate before all."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from artgan import config
from artgan.demo.gate import Gate, Hosts
from artgan.demo.look import CSS, HEAD, THEME, painter_pictures
from artgan.demo.page import Page
from artgan.demo.painters import Offer, offer
from artgan.demo.store import Store
from artgan.demo.studio import MOST_BYTES, Order, Painted, Studio, sentence
from artgan.demo.work import MOST_WAITING, Task, Worker
from artgan.errors import ArtganError, PictureError, did_you_mean
from artgan.painting.options import PaintOptions

_LOOK = 0.25  # seconds between looks at whether a client is still there


@contextmanager
def build(folder: Path, *, host: str, port: int, token: str | None, device: str | None) -> Iterator[ASGIApp]:
    """The application, until the block ends.

    Args:
        folder: where Gradio keeps uploads, by its variable GRADIO_TEMP_DIR.
        host, port: what the page listens on.
        token: what visitors must know, or None.
        device: as for :func:`artgan.load`.

    Raises:
        ArtganError: the registry is invalid.
    """
    offered, store, studio, worker = offer(), Store(folder), Studio(device), Worker()
    page = Page(offered, store, studio, worker).blocks()
    page.queue(max_size=2 * MOST_WAITING, default_concurrency_limit=None)  # the worker has a queue of its own
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_routes(app, offered, store, studio, worker)
    gr.mount_gradio_app(
        app,
        page,
        "/",
        server_name=host,
        server_port=port,
        theme=THEME,
        css=CSS + painter_pictures([painter for painter in offered.painters.values() if painter.has_short_name]),
        head=HEAD,
        max_file_size=MOST_BYTES,
        footer_links=["api"],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
    )
    page.has_launched = True  # else Gradio does not check which files a request names
    try:
        yield Gate(app, hosts=Hosts(host), port=port, token=token, store=store)
    finally:
        worker.close()


def _add_routes(app: FastAPI, offered: Offer, store: Store, studio: Studio, worker: Worker) -> None:
    @app.get("/painter/{name}.jpg")
    async def painter_picture(name: str, request: Request) -> Response:
        painter = offered.painters.get(name)
        if painter is None or painter.takes_style:
            return PlainTextResponse("no such painter\n", 404)
        made = studio.known_example(name)
        if made is None:
            try:
                with worker.start(lambda task: studio.example(painter)) as task:
                    await _until_done(task, request)
                    made = task.result()
            except Exception as error:  # a plugin may raise anything
                return PlainTextResponse(f"{sentence(error)}\n", 500)
        return Response(made, media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    @app.post("/paint")
    async def paint(request: Request) -> Response:
        visitor = f"plain {uuid4()}"
        try:
            order = _order(offered, dict(request.query_params))
            folder = store.new_folder(visitor)
            photo = folder / "photo"
            await _receive(request, photo)

            def work(task: Task[list[Painted]]) -> list[Painted]:
                with store.in_use(folder):
                    return studio.paint([photo], order, folder, task)

            with worker.start(work) as task:
                await _until_done(task, request)
                [painted] = task.result()
            if painted.painting is None:
                raise PictureError(painted.error)
        except ClientDisconnect:
            store.leave(visitor)
            return Response(status_code=499)
        except Exception as error:  # a plugin may raise anything
            store.leave(visitor)
            return PlainTextResponse(f"{sentence(error)}\n", 400 if isinstance(error, ArtganError) else 500)
        return FileResponse(
            painted.painting,
            media_type=mimetypes.guess_type(painted.painting)[0],
            background=BackgroundTask(store.leave, visitor),
        )


async def _until_done(task: Task[Any], request: Request) -> None:
    while not await task.finished(_LOOK):
        if await request.is_disconnected():
            raise ClientDisconnect


async def _receive(request: Request, path: Path) -> None:
    """Write a request's content to a file.

    Raises:
        PictureError: it is too long.
    """
    size = 0
    with path.open("xb") as file:
        async for piece in request.stream():
            size += len(piece)
            if size > MOST_BYTES:
                raise PictureError(f"the photo is larger than the limit of {MOST_BYTES // 2**20} MB")
            file.write(piece)


def _order(offered: Offer, given: dict[str, str]) -> Order:
    """What an address asks for: ``painter``, and painting options that have a slider.

    Raises:
        ArtganError: an unknown name or an invalid value.
    """
    painter = offered.painter(given.pop("painter", None))
    known = {field.name for field in fields(Order)} & {field.name for field in fields(PaintOptions)}
    unknown = min(given.keys() - known, default=None)
    if unknown is not None:
        hint = did_you_mean(unknown, known) or f"there are painter, {', '.join(sorted(known))}"
        raise ArtganError(f"unknown option {unknown!r}; {hint}")
    kinds = config.field_types(PaintOptions)
    values = {name: config.from_text(text, kinds[name][0], where=name) for name, text in given.items()}
    options = config.parse(PaintOptions, values, where=painter.title)
    return Order(painter, **{name: getattr(options, name) for name in given})
