"""The page, in Gradio's terms: what is on it, and what happens when something is pressed."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import FileData, ListFiles

from artgan.demo.painters import Offer, Painter, title_of
from artgan.demo.store import Store
from artgan.demo.studio import (
    MOST_MADE,
    Order,
    Painted,
    Studio,
    bundle,
    sentence,
)
from artgan.demo.work import Task, Worker
from artgan.errors import ArtganError
from artgan.images import READABLE, encode
from artgan.models.cards import example_picture, facts
from artgan.models.entry import Entry
from artgan.painting.options import PaintOptions

T = TypeVar("T")

_EVERY = 0.3  # seconds between reports of progress
_LIMITS = {field.name: field.metadata for field in fields(PaintOptions)}
_QUIET: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""How the page's own small events are answered: at once, unseen, and not part of the API."""

_KEEPING = (
    "<p>To have a style among the painters from now on, save it on the computer that this page runs on: "
    "<code>artgan style save PICTURE --as NAME</code>.</p>"
)

_KINDS = [("Several pictures", "several"), ("Variations of one", "variations"), ("The way between two", "way")]


class Page:
    """The page of one server; its methods answer the visitors.

    Args:
        offered: what there is to choose from.
        store: where uploads and results are.
        studio: paints.
        worker: the thread in which it does.
    """

    def __init__(self, offered: Offer, store: Store, studio: Studio, worker: Worker) -> None:
        self._offered = offered
        self._store = store
        self._studio = studio
        self._worker = worker
        self._example = store.folder / "example" / "landscape.jpg"
        self._example.parent.mkdir()
        encode(example_picture(768), self._example)
        self._prepared = worker.start(self._prepare)

    def blocks(self) -> gr.Blocks:
        """The components and their events."""
        page = gr.Blocks(title="artgan", analytics_enabled=False, delete_cache=(60, 3600))
        with page:
            gr.HTML(
                "<h1>artgan</h1><p>Turn your photos into paintings. Nothing is kept when you leave.</p>",
                elem_id="title",
            )
            with gr.Tab("Paint"):
                self._paint_tab(page)
            with gr.Tab("From noise"):
                self._noise_tab()
            with gr.Tab("Models"):
                self._models_tab()
            page.unload(self._leave)
        return page

    def _paint_tab(self, page: gr.Blocks) -> None:
        painters = [*self._offered.painters.values()]
        first = next((painter for painter in painters if painter.has_short_name), None)
        if first is None:
            gr.HTML(_sentences("No painter works here.", self._offered.for_more_painters))
            return
        others = [(painter.title, painter.name) for painter in painters if not painter.has_short_name]
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                uploads = _uploads("Your photos", self._store.folder, several=True, height=170)
                example = gr.Button("Use the example photo", size="sm")
                painter = gr.Radio(
                    [(each.title, each.name) for each in painters if each.has_short_name],
                    value=first.name,
                    label="Painter",
                    elem_id="painter",
                )
                with gr.Column(visible=first.takes_style) as styling:
                    style = _uploads(
                        "A picture to paint in the style of", self._store.folder, several=False, height=140
                    )
                    if any(entry.saves_styles() for entry in self._offered.usable.values()):
                        gr.HTML(_KEEPING, elem_classes="install")
                with gr.Row():
                    start = gr.Button("Paint", variant="primary", elem_id="start")
                    stop = gr.Button("Stop", visible=False, elem_id="stop")
                with gr.Accordion("Fine-tuning", open=False):
                    stroke_size = _slider("stroke_size", "Stroke size", 1.0, "1 is the painter's own")
                    strength = _slider("strength", "Strength", 1.0, "0 is the photo, 1 the painting")
                    palette = _slider("palette", "Palette", first.palette or 0.0, "how far colors become the painter's")
                    keep_colors = gr.Checkbox(label="Keep the photo's colors")
                    other = gr.Dropdown(
                        [("The painter above", ""), *others],
                        value="",
                        label="Paint with another model instead",
                        visible=bool(others),
                    )
                gr.HTML(_sentences(self._offered.for_more_painters, self._offered.for_styles), elem_classes="install")
            with gr.Column(scale=7, min_width=320):
                slider = gr.ImageSlider(
                    label="Before and after",
                    interactive=False,
                    type="filepath",
                    buttons=["fullscreen"],
                    max_height=620,
                    elem_id="before-after",
                )
                status = gr.HTML(elem_id="status", elem_classes="status")
                gallery = gr.Gallery(
                    label="All paintings: choose one to see it above",
                    visible=False,
                    interactive=False,
                    columns=4,
                    height="auto",
                    allow_preview=False,
                    object_fit="cover",
                    buttons=[],
                    elem_id="all",
                )
                with gr.Row():
                    one = gr.DownloadButton("Download", visible=False, variant="primary", elem_id="download")
                    every = gr.DownloadButton("Download all (zip)", visible=False, elem_id="download-all")
        results = gr.State([])
        page.load(self._show_example, outputs=slider, api_visibility="private", show_progress="hidden")
        example.click(lambda: [str(self._example)], outputs=uploads, **_QUIET)
        for uploaded in (uploads, style):
            uploaded.upload(self._remember, uploaded, **_QUIET)
        for control in (painter, other):
            control.change(self._adapt, [painter, other], [styling, stroke_size, palette, keep_colors], **_QUIET)
        keep_colors.change(
            lambda keep, *names: gr.update(visible=not keep and self._chosen(*names).palette is not None),
            [keep_colors, painter, other],
            palette,
            **_QUIET,
        )
        buttons = [start, stop]
        painting = start.click(
            lambda: (gr.update(visible=False), gr.update(visible=True)),
            outputs=buttons,
            **_QUIET,
        ).then(
            self._paint,
            [uploads, painter, other, style, stroke_size, strength, palette, keep_colors],
            [status, slider, gallery, one, every, results],
            api_name="paint",
            show_progress="hidden",
        )
        painting.success(_ready_to_paint, outputs=buttons, **_QUIET)
        painting.failure(_ready_to_paint, outputs=buttons, **_QUIET)
        stop.click(
            lambda: (*_ready_to_paint(), _line("Stopped.")),
            outputs=[*buttons, status],
            cancels=painting,
            **_QUIET,
        )
        gallery.select(_select, results, [slider, one], **_QUIET)

    def _noise_tab(self) -> None:
        if not self._offered.noise:
            gr.HTML(
                _sentences(
                    "Some models make up pictures of their own, each from a random number; none of them works here.",
                    self._offered.for_noise,
                )
            )
            return
        titles = [(title, name) for name, title in self._offered.noise.items()]
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                gr.HTML("Pictures of no photo at all: every number, called a seed, gives one. They are small.")
                model = gr.Dropdown(titles, value=titles[0][1], label="Model", visible=len(titles) > 1)
                kind = gr.Radio(_KINDS, value="several", label="What to make")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**53 - 1)
                other = gr.Number(1, label="Second seed", precision=0, minimum=0, maximum=2**53 - 1, visible=False)
                count = gr.Slider(2, MOST_MADE, value=9, step=1, label="How many")
                start = gr.Button("Make pictures", variant="primary", elem_id="make")
            with gr.Column(scale=7, min_width=320):
                status = gr.HTML(elem_classes="status")
                gallery = gr.Gallery(
                    label="Pictures", interactive=False, columns=3, height="auto", object_fit="contain", elem_id="made"
                )
                every = gr.DownloadButton("Download all (zip)", visible=False)
        kind.change(
            lambda kind: gr.update(visible=kind == "way"),
            kind,
            other,
            **_QUIET,
        )
        start.click(
            self._make,
            [model, kind, seed, other, count],
            [status, gallery, every],
            api_name="make",
            show_progress="hidden",
        )

    def _models_tab(self) -> None:
        usable, missing = self._offered.usable, self._offered.missing
        titles = [(f"{title_of(entry)} ({name})", name) for name, entry in usable.items()]
        titles += [(f"{title_of(entry)} ({name}), not installed", name) for name, entry in missing.items()]
        cards = {name: _card(entry, usable=name in usable) for name, entry in {**usable, **missing}.items()}
        gr.HTML(self._sheet(), elem_id="sheet")
        first = next(iter(cards), None)
        chosen = gr.Dropdown(titles, value=first, label="Model")
        card = gr.Markdown(cards[first] if first else "", elem_id="card")
        chosen.change(
            lambda name: cards[name],
            chosen,
            card,
            **_QUIET,
        )

    def _sheet(self) -> str:
        """The example as the painters with short names paint it, and the pictures of saved styles."""
        shown = [each for each in self._offered.painters.values() if each.has_short_name and not each.takes_style]
        return "".join(
            f'<figure><img loading="lazy" width="220" height="220" src="/painter/{each.name}.jpg" alt="">'
            f"<figcaption>{html.escape(each.title)}</figcaption></figure>"
            for each in shown
        )

    def _chosen(self, painter: str, other: str | None = None) -> Painter:
        return self._offered.painter(other or painter)

    def _adapt(self, painter: str, other: str) -> tuple[dict[str, Any], ...]:
        """Show the controls that a painter has, with its own palette's strength."""
        chosen = self._chosen(painter, other)
        has_palette = chosen.palette is not None
        return (
            gr.update(visible=chosen.takes_style),
            gr.update(visible=chosen.has_strokes),
            gr.update(visible=has_palette, value=chosen.palette or 0.0),
            gr.update(value=False),
        )

    def _prepare(self, task: Task[tuple[str, str] | None]) -> tuple[str, str] | None:
        """Paint what is seen at first: the example, and how each painter paints it; the paths of the former."""
        plain = [each for each in self._offered.painters.values() if not each.takes_style]
        if not plain:
            return None
        [painted] = self._studio.paint([self._example], Order(plain[0]), self._example.parent, task)
        for painter in plain:
            if painter.has_short_name:
                task.check()
                self._studio.example(painter)
        return (str(painted.before), str(painted.after)) if painted.after else None

    async def _show_example(self) -> Any:
        """The example and its painting, to begin with."""
        while not await self._prepared.finished(_EVERY):
            continue
        try:
            return self._prepared.result() or gr.skip()
        except Exception:  # a model that does not work: it says why when it is used
            return gr.skip()

    def _progress(self, task: Task[Any]) -> str:
        """Where a task is: in the queue, or at its work."""
        before = self._worker.before(task)
        if before:
            return _line(f"Waiting for your turn: {before} before you.") + _bar(None)
        if not task.subject:
            return _line("Getting ready.") + _bar(None)
        return _line(f"Painting {task.subject}" + (f": {task.step}" if task.step else "")) + _bar(task.share)

    def _remember(self, uploaded: list[str], request: gr.Request) -> None:
        self._store.remember(_visitor(request), map(Path, uploaded))

    def _leave(self, request: gr.Request) -> None:
        self._store.leave(_visitor(request))

    async def _paint(
        self,
        photos: list[str],
        painter: str,
        other: str | None,
        style: list[str],
        stroke_size: float,
        strength: float,
        palette: float,
        keep_colors: bool,
        request: gr.Request,
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Paint photos.

        Gives a report, the first photo before and after, all paintings, the first one's file, and a zip file of all.

        Args:
            photos: the files.
            painter: its name.
            other: the name of another model, to paint in its place; "" for none.
            style: the picture whose style to paint in, for painters that need one.
            stroke_size: a multiple of the painter's, 0.5 to 3.
            strength: 0 is the photo, 1 the painting; up to 1.5 exaggerates it.
            palette: how far colors are moved to the painter's, 0 to 1.
            keep_colors: whether the photo's colors are kept.
        """
        skipped = [gr.skip()] * 5
        paths = [Path(photo) for photo in photos]
        try:
            if not paths:
                raise ArtganError("choose a photo first, or use the example photo")
            order = Order(
                self._chosen(painter, other),
                stroke_size,
                strength,
                palette,
                keep_colors,
                Path(style[0]) if style else None,
            )
            visitor = _visitor(request)
            self._store.remember(visitor, [*paths, *map(Path, style)])
            folder = self._store.new_folder(visitor)
            archive = folder / "paintings.zip"

            def work(task: Task[list[Painted]]) -> list[Painted]:
                with self._store.in_use(folder):
                    painted = self._studio.paint(paths, order, folder, task)
                    done = [each.painting for each in painted if each.painting is not None]
                    if len(done) > 1:
                        bundle(done, archive)
                return painted

            with self._worker.start(work) as task:
                while not await task.finished(_EVERY):
                    yield self._progress(task), *skipped
                painted = task.result()
        except Exception as error:  # a plugin may raise anything
            said = _full(sentence(error))
            yield _line(said, bad=True), *skipped
            raise gr.Error(said, print_exception=False) from None
        done = [each for each in painted if each.painting is not None]
        shown = [(str(each.before), str(each.after), str(each.painting)) for each in done]
        yield (
            _report(painted),
            shown[0][:2] if shown else gr.skip(),
            gr.update(value=[(each.after, each.name) for each in done], visible=len(done) > 1),
            gr.update(value=shown[0][2] if shown else None, visible=bool(shown)),
            gr.update(value=str(archive) if len(done) > 1 else None, visible=len(done) > 1),
            shown,
        )
        if not done:
            raise gr.Error(_full("; ".join(str(each.error) for each in painted)), print_exception=False)

    async def _make(
        self, model: str, kind: str, seed: float, other: float, count: float, request: gr.Request
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Make pictures from noise. Returns a report, the pictures, and a zip file of them.

        Args:
            model: its name.
            kind: several, variations or way.
            seed: of the first picture.
            other: the seed at the other end of the way.
            count: how many.
        """
        try:
            if model not in self._offered.noise:
                raise ArtganError(f"no model {model!r} makes pictures from noise here")
            folder = self._store.new_folder(_visitor(request))

            def work(task: Task[list[tuple[Path, str]]]) -> list[tuple[Path, str]]:
                task.turn_to("pictures from noise")
                with self._store.in_use(folder):
                    made = self._studio.make(model, kind, int(seed or 0), int(other or 0), int(count), folder)
                    bundle([path for path, _ in made], folder / "pictures.zip")
                return made

            with self._worker.start(work) as task:
                while not await task.finished(_EVERY):
                    yield self._progress(task), gr.skip(), gr.skip()
                made = task.result()
        except Exception as error:  # a plugin may raise anything
            said = _full(sentence(error))
            yield _line(said, bad=True), gr.skip(), gr.skip()
            raise gr.Error(said, print_exception=False) from None
        yield "", made, gr.update(value=str(folder / "pictures.zip"), visible=True)


def _uploads(label: str, inside: Path, *, several: bool, height: int) -> gr.File:
    """A component that takes uploads, which are in the folder ``inside``, and gives their paths as a list.

    Its methods are replaced, since Gradio writes a file next to the source of each subclass of a component. To update
    a property, Gradio makes a component anew, without what was replaced: hide what is around it instead.
    """
    component = gr.File(
        label=label,
        file_count="multiple" if several else "single",
        file_types=["image", *sorted(READABLE)],
        height=height,
        elem_id="photo-files" if several else "style-file",
    )
    take = component.async_move_resource_to_block_cache

    async def take_what_is_inside(path: str | Path | None) -> str | None:
        """Gradio would fetch an address, and copy a file of this machine, for whoever names one."""
        if path is not None and not Path(path).resolve().is_relative_to(inside):
            raise gr.Error("Upload the picture itself: nothing else is read.", print_exception=False)
        return await take(path)

    def paths(payload: ListFiles | FileData | None) -> list[str]:
        """Without the empty temporary files that Gradio leaves."""
        if payload is None:
            return []
        return [file.path for file in (payload.root if isinstance(payload, ListFiles) else [payload])]

    # Gradio calls both as attributes of the component: replacing them changes this one alone.
    component.async_move_resource_to_block_cache = take_what_is_inside  # type: ignore[assignment, method-assign]
    component.preprocess = paths  # type: ignore[method-assign]
    return component


def _slider(option: str, label: str, value: float, info: str) -> gr.Slider:
    limits = _LIMITS[option]
    return gr.Slider(limits["least"], limits["most"], value=value, step=0.05, label=label, info=info)


def _ready_to_paint() -> tuple[dict[str, Any], dict[str, Any]]:
    return gr.update(visible=True), gr.update(visible=False)


def _select(results: Sequence[tuple[str, str, str]], chosen: gr.SelectData) -> tuple[Any, ...]:
    before, after, painting = results[int(chosen.index)]
    return (before, after), painting


def _visitor(request: gr.Request) -> str:
    return str(request.session_hash)


def _bar(share: float | None) -> str:
    if share is None:
        return '<div class="bar unknown" role="progressbar"><i></i></div>'
    return f'<div class="bar" role="progressbar"><i style="width: {100 * share:.0f}%"></i></div>'


def _line(said: str, *, bad: bool = False) -> str:
    return f'<div class="line{" bad" if bad else ""}" role="status">{html.escape(said)}</div>'


def _report(painted: Sequence[Painted]) -> str:
    """What was painted and what was not, each with its reason."""
    done = sum(each.painting is not None for each in painted)
    said = [each.error or each.note for each in painted if each.error or each.note]
    if len(painted) == 1 and not said:
        return ""
    items = "".join(f"<li>{html.escape(_full(text))}</li>" for text in said if text)
    return _line(f"{done} of {len(painted)} painted.", bad=done < len(painted)) + (f"<ul>{items}</ul>" if items else "")


def _full(text: str) -> str:
    """A sentence with its capital and its full stop; the name of a file at its beginning keeps its case."""
    first = text.partition(" ")[0]
    begun = text[:1].upper() + text[1:] if first.isalpha() else text
    return begun if begun.endswith((".", "?", "!")) else f"{begun}."


def _sentences(*texts: str) -> str:
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts if text)


def _card(entry: Entry, *, usable: bool) -> str:
    """A model's card, in Markdown."""
    use = "Use it" if usable else "Not installed here; install it"
    command = entry.usage() if usable else entry.install_command()
    summary = " ".join(entry.summary.split())
    return f"## {title_of(entry)}\n\n{summary}\n\n{use}:\n\n    {command}\n\n{facts(entry.to_dict())}"
