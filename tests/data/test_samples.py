"""Sets that are found where they are, and sample photos for those who have none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artgan.data import open_pictures
from artgan.data.samples import KAGGLE_INPUT, cut_samples, find_set, sample_photos
from artgan.errors import ConfigError, PictureError
from artgan.images import decode_bytes


@pytest.fixture(autouse=True)
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of Kaggle's."""
    folder = tmp_path / "input"
    folder.mkdir()
    monkeypatch.setenv(KAGGLE_INPUT, str(folder))
    return folder


@pytest.mark.parametrize(
    "layout", ["gan-getting-started", "competitions/gan-getting-started", "datasets/someone/gan-getting-started"]
)
def test_kaggles_set_is_found_in_each_layout(layout: str, kaggle: Path, tmp_path: Path) -> None:
    for name in ("monet_jpg", "photo_jpg"):
        (kaggle / layout / name).mkdir(parents=True)
    assert find_set("photos", tmp_path) == str(kaggle / layout / "photo_jpg")
    assert find_set("paintings", tmp_path) == str(kaggle / layout / "monet_jpg")


def test_without_the_folder_wanted_it_is_not_the_set(kaggle: Path, tmp_path: Path) -> None:
    (kaggle / "gan-getting-started" / "monet_tfrec").mkdir(parents=True)
    assert find_set("photos", tmp_path) is None


def test_fetched_archives_are_found_and_can_be_opened(kaggle: Path, tmp_path: Path) -> None:
    colors = {"trainA": (200, 0, 0), "trainB": (0, 0, 200)}
    with zipfile.ZipFile(tmp_path / "vangogh2photo.zip", "w") as archive:
        for folder, color in colors.items():
            picture = tmp_path / "picture.png"
            Image.new("RGB", (16, 16), color).save(picture)
            archive.write(picture, f"vangogh2photo/{folder}/1.png")
    for kind, color in (("paintings", colors["trainA"]), ("photos", colors["trainB"])):
        location = find_set(kind, tmp_path)  # type: ignore[arg-type]  # one of its literals
        assert location is not None
        pictures = open_pictures(location)
        assert len(pictures) == 1
        assert decode_bytes(pictures.read(0), name="1.png").rgb.getpixel((0, 0)) == color


def test_what_kaggle_attached_comes_before_what_was_fetched(kaggle: Path, tmp_path: Path) -> None:
    (tmp_path / "monet2photo.zip").touch()
    assert find_set("photos", tmp_path) == f"{tmp_path / 'monet2photo.zip'}:monet2photo/trainB"
    (kaggle / "competitions/gan-getting-started/photo_jpg").mkdir(parents=True)
    assert find_set("photos", tmp_path) == str(kaggle / "competitions/gan-getting-started/photo_jpg")


def test_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="photos and paintings, and no 'films'"):
        find_set("films", tmp_path)  # type: ignore[arg-type]  # the point of the test


def test_crops_are_parts_of_the_sample_photos(tmp_path: Path) -> None:
    paths = sorted(cut_samples(tmp_path / "photos", 4, 48).iterdir())
    assert [path.name for path in paths] == ["000.jpg", "001.jpg", "002.jpg", "003.jpg"]
    for number, path in enumerate(paths):
        with Image.open(path) as crop:
            assert (crop.format, crop.mode, crop.size) == ("JPEG", "RGB", (48, 48))
            assert (
                correlation(crop, sample_photos()[number % 2])
                > 0.9
                > correlation(crop, sample_photos()[1 - number % 2])
            )


def correlation(crop: Image.Image, photo: Path) -> float:
    """The highest one of a crop with the photo at a quarter of its size, over places, sizes and mirror images."""
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    with Image.open(photo) as opened:
        gray = np.asarray(opened.convert("L").reduce(4), np.float32)
    best = -1.0
    for mirrored in (crop.convert("L"), crop.convert("L").transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        for side in range(48, 97):
            patch = np.asarray(mirrored.resize((side, side), Image.Resampling.BICUBIC), np.float32)
            best = max(best, float(cv2.matchTemplate(gray, patch, cv2.TM_CCOEFF_NORMED).max()))
    return best


def test_crops_are_the_same_each_time(tmp_path: Path) -> None:
    first, again = (cut_samples(tmp_path / name, 2, 32) for name in ("first", "again"))
    assert [path.read_bytes() for path in sorted(first.iterdir())] == [
        path.read_bytes() for path in sorted(again.iterdir())
    ]


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("artgan.data.samples.find_spec", lambda name: None)
    with pytest.raises(PictureError, match="pip install scikit-learn"):
        sample_photos()


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos").touch()
    with pytest.raises(PictureError, match=r"photos: cannot be created"):
        cut_samples(tmp_path / "photos")
