"""Painting on a Ray cluster: what one machine paints, to the byte, whatever happens to the cluster's machines."""

from __future__ import annotations

import json
import os
import pickle
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from support.object_store import content, object_store
from support.pictures import BROKEN, write_pictures
from support.processes import started_artgan

import artgan
from artgan.data.cluster import Cluster, Spool
from artgan.data.stores import Location
from artgan.errors import ArtganError, PictureError
from artgan.models.loading import load_network
from artgan.painting import paint_files, plan
from artgan.painting.batches import BatchPainter, Verdict, paint_here, paint_on_cluster
from artgan.painting.listing import Listing, Rules, open_source, open_target
from artgan.painting.network import Network

pytest.importorskip("ray")

PLAIN = Rules("m")


@pytest.fixture(scope="module")
def model() -> artgan.Model:
    return artgan.load("monet", runtime="onnxruntime")


def painted(
    model: artgan.Model, source: Any, target: Any, cluster: Cluster | None, rules: Rules = PLAIN
) -> Iterator[Verdict]:
    """What becomes of each picture; in this process if there is no cluster."""
    manner, own = model.painting({})
    listing = Listing(open_source(str(source)), open_target(str(target)), rules)
    painter = BatchPainter(listing.source, listing.target, rules, listing.held, {"manner": manner, "options": own})
    with Spool(batch.to_json() for batch in listing) as spool:
        if cluster is None:
            yield from paint_here(painter, model.running_on(), spool)
        else:
            load = partial(load_network, model.name, digest=model.digest, runtime="onnxruntime")
            yield from paint_on_cluster(painter, load, spool, cluster)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Ray's workers would wait for the tests beside these.
    settings = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    with patch.dict(os.environ, settings), Cluster(processes=2) as connected:
        yield connected


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures and a broken one."""
    folder = write_pictures(tmp_path_factory.mktemp("cluster") / "photos", 9)
    (folder / "0004.png").write_bytes(BROKEN)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def timeless(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [replace(verdict, seconds=0.0) for verdict in verdicts]


@pytest.mark.slow
def test_folders_and_tar_sets_become_what_they_become_on_one_machine(
    model: artgan.Model, cluster: Cluster, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artgan.painting.listing._BATCH", 2)
    (tmp_path / "in").mkdir()
    for number in range(2):
        with tarfile.open(tmp_path / "in" / f"{number}.tar", "w") as tar:
            for path in sorted(photos.iterdir())[4 * number : 4 * number + 5]:
                tar.add(path, path.name)
    for source, target in ((photos, "folder"), (tmp_path / "in" / "*.tar", "tar/m-%03d.tar")):
        verdicts = {}
        for name, where in (("one", None), ("two", cluster)):
            made = timeless(painted(model, source, tmp_path / name / target, where))
            text = str(tmp_path / name)
            verdicts[name] = [str(verdict).replace(text, "TARGET") for verdict in made]
        assert verdicts["one"] == verdicts["two"]
        assert sum("damaged" in verdict for verdict in verdicts["one"]) == (1 if target == "folder" else 2)
    found = files(tmp_path / "one")
    assert len(found) == 8 + 2 * 2  # each tar file has a record of its broken picture
    assert files(tmp_path / "two") == found


@pytest.mark.exhaustive
def test_a_bucket_is_painted_and_resumed(
    model: artgan.Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real program, whose Ray gets the address of the store and ends with it."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    list(painted(model, photos, tmp_path / "alone", None))
    with object_store() as s3:
        for bucket in ("photos", "paintings"):
            s3.create_bucket(Bucket=bucket)
        for path in photos.iterdir():
            s3.put_object(Bucket="photos", Key=path.name, Body=path.read_bytes())
        s3.put_object(Bucket="paintings", Key="m/0001.png", Body=b"made before")
        arguments = ("s3://photos", "-o", "s3://paintings/m", "--skip-existing", "--format", "json")
        done = started_artgan("paint", *arguments, "--engine", "ray")
        found = content(s3, "paintings")
    assert done.returncode == 1
    results = json.loads(done.stdout)  # nothing of Ray's is among them
    assert [result["input"] for result in results] == [f"s3://photos/{number:04d}.png" for number in range(9)]
    assert [result["skipped"] for result in results] == [number == 1 for number in range(9)]
    lines = done.stderr.splitlines()
    assert lines[0] == "artgan: 1 of 9 exist already and are skipped"
    assert lines[1].startswith("artgan: s3://photos/0004.png: damaged")
    assert lines[2:] == ["artgan: 1 of 9 failed"]
    expected = {f"m/{name}": data for name, data in files(tmp_path / "alone").items()}
    assert found == {**expected, "m/0001.png": b"made before"}


@pytest.mark.exhaustive
def test_another_model_on_a_node_ends_the_call(
    model: artgan.Model, cluster: Cluster, photos: Path, tmp_path: Path
) -> None:
    listing = Listing(open_source(str(photos)), open_target(str(tmp_path / "out")), PLAIN)
    painter = BatchPainter(listing.source, listing.target, PLAIN, listing.held)
    load = partial(load_network, model.name, digest="another", runtime="onnxruntime")
    with (
        Spool(batch.to_json() for batch in listing) as spool,
        pytest.raises(ArtganError, match=r"on the node .*: cyclegan.monet: is a different model here"),
    ):
        list(paint_on_cluster(painter, load, spool, cluster))
    assert os.listdir(tmp_path / "out") == []  # what the nodes looked for is removed too


@pytest.mark.slow
def test_a_folder_that_a_node_does_not_see_is_told(tmp_path: Path) -> None:
    with Location(str(tmp_path)).seen_from_everywhere() as check:
        pickle.loads(pickle.dumps(check))()
        [witness] = tmp_path.iterdir()
        witness.rename(tmp_path / "elsewhere")
        with pytest.raises(PictureError, match="is not the same folder here; all nodes must see it"):
            check()
        (tmp_path / "elsewhere").rename(witness)
    assert not list(tmp_path.iterdir())


class Deadly(Network):
    """Ends its process at pictures of one size."""

    def paint(self, pictures: Any, options: Any, places: Any = None) -> Any:
        if pictures.shape[2:] == (33, 33):
            os._exit(1)
        return pictures


@pytest.mark.exhaustive
def test_a_picture_that_ends_its_process_fails_alone(cluster: Cluster, tmp_path: Path) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the processes cannot import a test
    source = write_pictures(tmp_path / "photos", 40)
    write_pictures(tmp_path / "one", 1, size=(33, 33))
    (tmp_path / "one" / "0000.png").rename(source / "0020.png")
    listing = Listing(open_source(str(source)), open_target(str(tmp_path / "out")), PLAIN)
    painter = BatchPainter(listing.source, listing.target, PLAIN, listing.held)
    with Spool(batch.to_json() for batch in listing) as spool:
        verdicts = list(paint_on_cluster(painter, Deadly, spool, cluster))
    assert len(verdicts) == 40
    assert [verdict.error for verdict in verdicts if verdict.error] == [
        f"{source}/0020.png: cannot be painted (its process ended: too little memory?)"
    ]
    assert len(os.listdir(tmp_path / "out")) == 39


@pytest.mark.exhaustive
def test_features_are_those_of_one_machine(
    cluster: Cluster, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from artgan.metrics.evaluation import Evaluator

    write_pictures(tmp_path / "more", 3, size=(48, 80))
    for path in (tmp_path / "more").iterdir():
        path.rename(tmp_path / "more" / f"more-{path.name}")
    for path in photos.iterdir():
        (tmp_path / "more" / path.name).write_bytes(path.read_bytes())
    found = {}
    for name, where in (("one", None), ("two", cluster)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        evaluator = Evaluator(real=photos, size=64, cluster=where)
        report = evaluator.report([tmp_path / "more"], ["style-filters"])
        found[name] = json.dumps(report.to_dict()), files(tmp_path / name)
    assert found["one"] == found["two"]
    assert len(found["one"][1]) == 2  # features of both sets
    assert "0004.png: damaged" in found["one"][0]


@pytest.mark.exhaustive
def test_a_node_that_is_killed_takes_no_picture_with_it(model: artgan.Model, tmp_path: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster as Nodes

    count, bad = 2000, {7, 1234}
    source = write_pictures(tmp_path / "photos", count, size=(64, 64))
    for number in bad:
        (source / f"{number:04d}.png").write_bytes(BROKEN)
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = nodes.add_node(num_cpus=1)
    verdicts, killed = [], False
    try:
        with Cluster(nodes.address) as cluster:
            for verdict in painted(model, source, tmp_path / "paintings", cluster):
                verdicts.append(verdict)
                if not killed and len(verdicts) % 50 == 0:  # as soon as both are at work
                    actors = ray._private.state.actors().values()
                    at_work = {each["Address"]["NodeID"] for each in actors if each["State"] == "ALIVE"}
                    if len(at_work) == 2:
                        print(f"after {len(verdicts)} pictures: processes on both nodes; one is killed")
                        nodes.remove_node(second, allow_graceful=False)
                        killed = True
            assert killed
            alive = sum(node["Alive"] for node in ray.nodes())
            print(f"{len(verdicts)} verdicts, {alive} node left")
            assert alive == 1
    finally:
        nodes.shutdown()
    verdicts.sort(key=lambda verdict: verdict.input)  # what was painted again comes last
    assert [verdict.input for verdict in verdicts] == [str(source / f"{number:04d}.png") for number in range(count)]
    assert {number for number, verdict in enumerate(verdicts) if verdict.error} == bad
    assert all(verdict.input in (verdict.error or verdict.input) for verdict in verdicts)
    made = sorted(path.name for path in (tmp_path / "paintings").iterdir() if not path.name.startswith("."))
    assert made == [f"{number:04d}.png" for number in range(count) if number not in bad]
    manner, own = model.painting({})
    jobs = plan([source], tmp_path / "alone", tag="m")[::10]
    list(paint_files(model.running_on(), jobs, manner=manner, options=own))
    for path in (tmp_path / "alone").iterdir():
        assert (tmp_path / "paintings" / path.name).read_bytes() == path.read_bytes()
