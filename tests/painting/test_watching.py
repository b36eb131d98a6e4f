"""What a watched folder yields, look by look."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from artgan.painting import Job, plan
from artgan.painting.watching import watch


class Watched:
    """A folder `in` of a temporary one, looked at without waiting."""

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = folder / "in"
        self.out = folder / "out"
        self.folder.mkdir(exist_ok=True)
        self.looks = watch(
            lambda: plan([self.folder], self.out, tag="x", overwrite=True), overwrite=overwrite, interval=0
        )

    def put(self, name: str, color: str = "red", *, cut: int | None = None) -> None:
        path = self.folder / name
        Image.new("RGB", (40, 30), color).save(path)
        if cut is not None:
            path.write_bytes(path.read_bytes()[:cut])

    def look(self) -> list[str]:
        """The names of the pictures that are ready at the next look."""
        return [job.input.name for job in self.jobs()]

    def jobs(self) -> Sequence[Job]:
        return next(self.looks)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_picture_is_ready_once_at_the_second_look(watched: Watched) -> None:
    watched.put("a.png")
    assert [watched.look() for _ in range(4)] == [[], ["a.png"], [], []]
    watched.put("b.png")
    assert [watched.look() for _ in range(3)] == [[], ["b.png"], []]


def test_one_that_grows_waits_and_one_that_is_cut_waits_for_its_rest(watched: Watched) -> None:
    for cut in (20, 40, 60):  # it changes between looks
        watched.put("a.png", cut=cut)
        assert watched.look() == []
    assert [watched.look() for _ in range(3)] == [[], [], []]  # it stays cut
    watched.put("a.png")
    assert [watched.look() for _ in range(3)] == [[], ["a.png"], []]


def test_one_that_stays_broken_becomes_a_job_once(watched: Watched) -> None:
    watched.put("a.png", cut=60)
    looks = [watched.look() for _ in range(20)]
    assert [name for look in looks for name in look] == ["a.png"]
    assert looks.index(["a.png"]) == 10


def test_a_replaced_picture_is_ready_again_though_its_painting_exists(watched: Watched) -> None:
    watched.put("a.png")
    assert [watched.look() for _ in range(2)] == [[], ["a.png"]]
    watched.out.mkdir(exist_ok=True)
    (watched.out / "a.png").touch()
    watched.put("a.png", "blue")
    os.utime(watched.folder / "a.png", ns=(1, 1))
    looks = [watched.jobs() for _ in range(2)]
    assert [[(job.input.name, job.skipped) for job in look] for look in looks] == [[], [("a.png", False)]]


@pytest.mark.parametrize("overwrite", [False, True])
def test_paintings_from_before_are_left_alone_unless_they_may_be_replaced(tmp_path: Path, overwrite: bool) -> None:
    watched = Watched(tmp_path, overwrite=overwrite)
    watched.put("a.png")
    watched.out.mkdir()
    (watched.out / "a.png").touch()
    found = [(job.input.name, job.skipped) for _ in range(3) for job in watched.jobs()]
    assert found == [("a.png", not overwrite)]


def test_removed_pictures_and_an_empty_folder_are_no_failures(watched: Watched) -> None:
    assert watched.look() == []
    watched.put("a.png")
    assert watched.look() == []
    (watched.folder / "a.png").unlink()
    assert [watched.look() for _ in range(3)] == [[], [], []]
    watched.put("a.png")  # and when it comes back
    assert [watched.look() for _ in range(2)] == [[], ["a.png"]]
