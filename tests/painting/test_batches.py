"""Pictures of stores painted in batches on one machine: the bytes, the summary, what is refused and what is resumed."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.hub_server import Hub
from support.object_store import SECRET, content, object_store
from support.pictures import BROKEN, write_pictures
from support.processes import artgan as command
from support.processes import started_artgan

import artgan
from artgan.data import stores
from artgan.data.cluster import Spool
from artgan.errors import ConfigError, PictureError
from artgan.painting import paint_files, plan
from artgan.painting.batches import BatchPainter, Verdict, paint_here
from artgan.painting.listing import Listing, Rules, open_source, open_target

PLAIN, SKIP, REPLACE = Rules("m"), Rules("m", skip_existing=True), Rules("m", overwrite=True)


@pytest.fixture(scope="module")
def model() -> artgan.Model:
    return artgan.load("monet", runtime="onnxruntime")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures and a broken one."""
    folder = write_pictures(tmp_path_factory.mktemp("batches") / "photos", 5)
    (folder / "0002.png").write_bytes(BROKEN)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def paintings(model: artgan.Model, photos: Path) -> dict[str, bytes]:
    """What one machine makes of them."""
    manner, own = model.painting({})
    folder = photos.with_name("paintings")
    list(paint_files(model.running_on(), plan([photos], folder, tag="m"), manner=manner, options=own))
    made = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(made) == ["0000.png", "0001.png", "0003.png", "0004.png"]
    return made


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with object_store() as client:
        yield client


@pytest.fixture
def buckets(s3: Any, photos: Path, tmp_path: Path) -> tuple[str, str]:
    """A bucket with the photos in the folder ``in``, and an empty one."""
    name = "".join(character for character in tmp_path.name.lower() if character.isalnum())[-40:]
    for bucket in (f"{name}-a", f"{name}-b"):
        s3.create_bucket(Bucket=bucket)
    for path in photos.iterdir():
        s3.put_object(Bucket=f"{name}-a", Key=f"in/{path.name}", Body=path.read_bytes())
    return f"{name}-a", f"{name}-b"


def paint(model: artgan.Model, source: Any, target: Any, rules: Rules = PLAIN) -> list[Verdict]:
    manner, own = model.painting({})
    listing = Listing(open_source(str(source)), open_target(str(target)), rules)
    painter = BatchPainter(listing.source, listing.target, rules, listing.held, {"manner": manner, "options": own})
    with Spool(batch.to_json() for batch in listing) as spool:
        return list(paint_here(painter, model.running_on(), spool))


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]  # all are files


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def picture(color: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (24, 16), color).save(file, "PNG")
    return file.getvalue()


# ---- object stores


@pytest.mark.slow
def test_a_bucket_becomes_what_a_folder_becomes(
    model: artgan.Model, s3: Any, buckets: tuple[str, str], paintings: dict[str, bytes]
) -> None:
    source, target = buckets
    verdicts = paint(model, f"s3://{source}/in", f"s3://{target}/out")
    assert content(s3, target) == {f"out/{name}": data for name, data in paintings.items()}
    assert [verdict.input for verdict in verdicts] == [f"s3://{source}/in/{number:04d}.png" for number in range(5)]
    bad = verdicts.pop(2)
    assert bad.output is None
    assert bad.error is not None
    assert bad.error.startswith(f"s3://{source}/in/0002.png: damaged")
    assert all(v.size == (64, 48) and v.output == f"s3://{target}/out/{v.input[-8:]}" for v in verdicts)


@pytest.mark.slow
def test_paintings_that_the_target_holds_are_skipped_unread(
    model: artgan.Model, s3: Any, buckets: tuple[str, str], paintings: dict[str, bytes]
) -> None:
    source, target = buckets
    for name in ("0000.png", "0003.png"):
        s3.put_object(Bucket=target, Key=f"out/{name}", Body=b"made before")
        s3.put_object(Bucket=source, Key=f"in/{name}", Body=b"would fail if it were read")
    verdicts = paint(model, f"s3://{source}/in", f"s3://{target}/out", SKIP)
    assert [verdict.skipped for verdict in verdicts] == [True, False, False, True, False]
    assert [bool(verdict.error) for verdict in verdicts] == [False, False, True, False, False]
    found = content(s3, target)
    assert found["out/0000.png"] == found["out/0003.png"] == b"made before"
    assert found["out/0001.png"] == paintings["0001.png"]


@pytest.mark.slow
def test_an_object_is_not_replaced_unless_asked_for(
    model: artgan.Model, s3: Any, buckets: tuple[str, str], paintings: dict[str, bytes]
) -> None:
    source, target = buckets
    s3.put_object(Bucket=target, Key="out/0001.png", Body=b"somebody's")
    verdicts = paint(model, f"s3://{source}/in", f"s3://{target}/out")
    assert verdicts[1].error == (
        f"s3://{source}/in/0001.png: its painting s3://{target}/out/0001.png exists already; move it away, or give "
        "--overwrite or --skip-existing"
    )
    assert content(s3, target)["out/0001.png"] == b"somebody's"
    paint(model, f"s3://{source}/in", f"s3://{target}/out", REPLACE)
    assert content(s3, target)["out/0001.png"] == paintings["0001.png"]


def test_a_size_is_asked_for_before_an_object_is_read(
    model: artgan.Model, s3: Any, buckets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = buckets
    place = stores.Location(f"s3://{source}/in")
    size = place.size("0001.png")
    with pytest.raises(PictureError, match=r"0001.png: has 0 MB, over the limit of 0 MB"):
        place.fetch("0001.png", Path("never-made"), most=size - 1)
    assert not Path("never-made").exists()


@pytest.mark.slow
def test_the_program_paints_a_bucket(s3: Any, buckets: tuple[str, str], paintings: dict[str, bytes]) -> None:
    source, target = buckets
    done = started_artgan("paint", f"s3://{source}/in", "-o", f"s3://{target}/out", "--format", "json")
    assert done.returncode == 1
    results = json.loads(done.stdout)
    assert [result["output"] for result in results if result["output"]] == [
        f"s3://{target}/out/{name}" for name in sorted(paintings)
    ]
    assert "passed over 1 (not a picture): s3://" in done.stderr
    assert done.stderr.splitlines()[-1] == "artgan: 1 of 5 failed"
    assert content(s3, target).keys() == {f"out/{name}" for name in paintings}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "target", "environment", "message"),
    [
        ("s3://no-such-bucket/in", "s3://{1}/out", {}, "s3://no-such-bucket/in: no such folder or bucket"),
        ("s3://{0}/in", "s3://no-such-bucket/out", {}, "s3://no-such-bucket/out: no such file, folder or bucket"),
        ("s3://{0}/in", "s3://{0}/in", {}, "-o s3://{0}/in: holds the pictures"),
        ("s3://{0}/in/0001.png", "s3://{1}/out", {}, "is a file; give its folder"),
        ("nonsense://{0}", "s3://{1}/out", {}, "Protocol not known: nonsense"),
        ("s3://{0}/in", "s3://{1}/out", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials"),
    ],
)
def test_what_cannot_be_opened_ends_the_call_in_one_line(
    buckets: tuple[str, str], source: str, target: str, environment: dict[str, str], message: str
) -> None:
    environment = {**environment, "AWS_EC2_METADATA_DISABLED": "true"}
    done = command("paint", source.format(*buckets), "-o", target.format(*buckets), **environment)
    assert done.returncode == 2
    assert message.format(*buckets) in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr + done.stdout


@pytest.mark.slow
def test_a_folder_without_a_name_is_named(model: artgan.Model, s3: Any, buckets: tuple[str, str]) -> None:
    source, target = buckets
    s3.put_object(Bucket=source, Key="in//hidden.png", Body=picture())
    listing = Listing(open_source(f"s3://{source}/in"), open_target(f"s3://{target}/out"), Rules("m", recursive=True))
    assert sum(len(batch.items) for batch in listing) == 5
    assert f"passed over 1 (a folder without a name): s3://{source}/in" in list(listing.passed_over.lines())


@pytest.mark.slow
def test_an_object_that_cannot_be_fetched_fails_alone(
    model: artgan.Model, s3: Any, buckets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = buckets
    size = s3.head_object(Bucket=f"{source}", Key="in/0000.png")["ContentLength"]
    s3.put_object(Bucket=source, Key="in/0001.png", Body=bytes(10 * size))
    monkeypatch.setattr(stores.Location.fetch, "__kwdefaults__", {"most": 5 * size})
    verdicts = paint(model, f"s3://{source}/in", f"s3://{target}/out")
    assert [bool(verdict.error) for verdict in verdicts] == [False, True, True, False, False]
    assert verdicts[1].error == f"s3://{source}/in/0001.png: has 0 MB, over the limit of 0 MB"


@pytest.mark.slow
def test_a_data_set_of_the_hub_becomes_a_folder(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"bytes": data, "path": "x"} for data in (picture(), BROKEN, picture((0, 90, 0)))]
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"image": rows}), file)
    with Hub().serve() as hub:
        hub.add("org/photos", {"data/train-00000-of-00001.parquet": file.getvalue()}, kind="datasets")
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        done = started_artgan("paint", "hf-hub:org/photos", "-o", tmp_path / "out", **environment)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [str(tmp_path / "out" / "train" / f"{row:06d}.png") for row in (0, 2)]
    assert done.stderr.startswith("artgan: hf-hub:org/photos: train/000001: damaged")
    for row in (0, 2):
        with Image.open(tmp_path / "out" / "train" / f"{row:06d}.png") as painting:
            assert painting.size == (24, 16)


# ---- tar sets


@pytest.mark.slow
def test_a_folder_becomes_a_tar_set_and_that_a_folder(
    model: artgan.Model, photos: Path, paintings: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artgan.painting.listing._SHARD", 3)
    paint(model, photos, tmp_path / "set" / "m-%03d.tar")
    files = {path.name: path.read_bytes() for path in (tmp_path / "set").glob("*.tar")}
    assert members(files["m-000.tar"]) == {name: paintings[name] for name in ("0000.png", "0001.png")}
    assert members(files["m-001.tar"]) == {name: paintings[name] for name in ("0003.png", "0004.png")}
    paint(model, photos, tmp_path / "again" / "m-%03d.tar")
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "again").glob("*.tar")}

    write_tar(
        tmp_path / "photos" / "p-00.tar", {name: (photos / name).read_bytes() for name in ("0000.png", "0001.png")}
    )
    write_tar(tmp_path / "photos" / "p-01.tar", {name: (photos / name).read_bytes() for name in ("0003.png",)})
    for number, pattern in enumerate(("p-{00..01}.tar", "*.tar")):
        folder = tmp_path / f"folder{number}"
        verdicts = paint(model, tmp_path / "photos" / pattern, folder)
        assert [verdict.error for verdict in verdicts] == [None] * 3
        assert verdicts[2].input == f"{tmp_path / 'photos' / 'p-01.tar'}: 0003.png"
        made = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}
        assert made == {
            "p-00/0000.png": paintings["0000.png"],
            "p-00/0001.png": paintings["0001.png"],
            "p-01/0003.png": paintings["0003.png"],
        }


@pytest.mark.slow
def test_a_tar_file_that_is_there_is_skipped_and_its_failures_are_named_again(
    model: artgan.Model, tmp_path: Path
) -> None:
    for number in range(2):
        write_tar(tmp_path / "in" / f"{number}.tar", {"a.png": picture(), f"b{number}.png": BROKEN})
    first = paint(model, tmp_path / "in" / "*.tar", tmp_path / "out" / "m.tar")
    errors = [verdict.error for verdict in first if verdict.error]
    assert [error.partition(": damaged")[0] for error in errors] == [
        f"{tmp_path / 'in' / f'{number}.tar'}: b{number}.png" for number in range(2)
    ]
    made = (tmp_path / "out" / "m-000000.tar").read_bytes()
    (tmp_path / "out" / "m-000001.tar").unlink()  # as if the work had been interrupted
    (tmp_path / "in" / "0.tar").write_bytes(b"would fail if it were read")
    again = paint(model, tmp_path / "in" / "*.tar", tmp_path / "out" / "m.tar", SKIP)
    assert [verdict.error for verdict in again if verdict.error] == errors
    assert sum(verdict.skipped for verdict in again) == 1
    assert (tmp_path / "out" / "m-000000.tar").read_bytes() == made
    assert members((tmp_path / "out" / "m-000001.tar").read_bytes()) == members(made)  # the same picture

    write_tar(tmp_path / "in" / "-.tar", {"new.png": picture()})  # takes the number of the first
    shifted = paint(model, tmp_path / "in" / "*.tar", tmp_path / "out" / "m.tar", SKIP)
    assert not any(verdict.skipped for verdict in shifted)
    assert (
        sum("was made from others, as the source has changed since" in str(verdict.error) for verdict in shifted) == 2
    )


@pytest.mark.slow
def test_a_tar_file_of_other_pictures_is_not_taken_for_theirs(model: artgan.Model, tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "photos", 3)
    paint(model, source, tmp_path / "m.tar")
    assert all(verdict.skipped for verdict in paint(model, source, tmp_path / "m.tar", SKIP))
    (source / "0001.png").rename(source / "new.png")
    verdicts = paint(model, source, tmp_path / "m.tar", SKIP)
    assert [verdict.error for verdict in verdicts] == [
        f"{verdict.input}: {tmp_path}/m-000000.tar was made from others, as the source has changed since; give another "
        "target or --overwrite"
        for verdict in verdicts
    ]
    paint(model, source, tmp_path / "m.tar", REPLACE)
    assert members((tmp_path / "m-000000.tar").read_bytes()).keys() == {"0000.png", "0002.png", "new.png"}


def test_a_damaged_tar_file_fails_alone(model: artgan.Model, tmp_path: Path) -> None:
    write_tar(tmp_path / "in" / "0.tar", {"a.png": picture()})
    (tmp_path / "in" / "1.tar").write_bytes(b"no archive" * 100)
    write_tar(tmp_path / "in" / "2.tar", {"a.png": picture()})
    verdicts = paint(model, tmp_path / "in" / "*.tar", tmp_path / "out" / "m.tar")
    assert [bool(verdict.error) for verdict in verdicts] == [False, True, False]
    assert str(verdicts[1].error).startswith(f"{tmp_path / 'in' / '1.tar'}: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["m-000000.tar", "m-000002.tar"]


def test_no_name_in_an_archive_leads_out_of_the_target(model: artgan.Model, tmp_path: Path) -> None:
    hostile = {"../../evil.png": picture(), "/root.png": picture(), "a/../../b.png": picture(), "good.png": picture()}
    write_tar(tmp_path / "in" / "0.tar", hostile)
    paint(model, tmp_path / "in" / "0.tar", tmp_path / "deep" / "er" / "out")
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")}
    assert made == {"deep/er/out/0/good.png", "deep/er/out/0/root.png"}


# ---- folders


@pytest.mark.slow
def test_a_folder_in_batches_is_a_folder_painted_at_once(
    model: artgan.Model, photos: Path, paintings: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artgan.painting.listing._BATCH", 2)
    verdicts = paint(model, photos, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == paintings
    jobs = plan([photos], tmp_path / "alone", tag="m")
    manner, own = model.painting({})
    alone = list(paint_files(model.running_on(), jobs, manner=manner, options=own))
    assert [(v.input, v.error, v.size) for v in verdicts] == [(str(r.input), r.error, r.size) for r in alone]


def test_two_pictures_of_one_painting(model: artgan.Model, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.jp2", "a.png", "b.pgm"):
        Image.new("L" if name == "b.pgm" else "RGB", (16, 16)).save(folder / name)
    jobs = plan([folder], tmp_path / "alone", tag="m")
    verdicts = paint(model, folder, tmp_path / "out")
    expected = [job.error and job.error.replace("alone", "out") for job in jobs]
    assert [verdict.error for verdict in verdicts] == expected
    assert sum(error is not None for error in expected) == 1


# ---- what is refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{0}", "--address", "auto"), "--address needs --engine ray"),
        (("{0}", "--engine", "ray"), "--engine ray: give one source and one target: artgan paint SOURCE -o TARGET"),
        (("{0}", "{0}", "-o", "out", "--engine", "ray"), "give one source and one target"),
        (("{0}", "-o", "out", "--engine", "ray", "--watch"), "--engine ray and --watch contradict each other"),
        (("-", "-o", "out", "--engine", "ray"), "--engine ray and - contradict each other"),
        (("s3://bucket/in", "-o", "-"), "s3://bucket/in and - contradict each other"),
        (
            ("{0}", "-o", "out", "--engine", "ray", "--address", "nonsense"),
            "--address nonsense: write auto or HOST:PORT",
        ),
        (("{0}", "-o", "out", "--engine", "ray", "--address", "127.0.0.1:9"), "127.0.0.1:9: no cluster answers there"),
        (("{0}", "-o", "hf-hub:org/name"), "-o hf://datasets/org/name/FOLDER"),
        (("{0}", "-o", "out/*.tar"), "name the tar files with one number"),
        (("{0}", "-o", "{0}"), None),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    photos: Path, tmp_path: Path, arguments: tuple[str, ...], message: str | None
) -> None:
    if message is None:  # only in batches: one machine refuses each picture
        with pytest.raises(ConfigError, match="holds the pictures that are to be painted"):
            Listing(open_source(str(photos)), open_target(str(photos)), Rules("m"))
        return
    done = command("paint", *(each.format(photos) for each in arguments), cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not os.listdir(tmp_path)
