"""Data sets on the Hugging Face Hub with pictures in Parquet files."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

from artgan.data.pictures import PictureSet
from artgan.errors import PictureError, one_line
from artgan.hub import explain

PREFIX = "hf-hub:"
"""The prefix of locations."""

MAX_GROUP = 2 << 30
"""The maximum size of a row group of the picture column, in bytes; it is read into memory."""

_TIMEOUT = 15  # seconds for the Hub to list the files
_LOCATION = re.compile(
    PREFIX + r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^:@\s]+))?(:(?P<split>[^:/\s]+)(/(?P<column>.+))?)?"
)
_SHARD = re.compile(r"(?P<split>.+?)-\d+-of-(?P<count>\d+)")


class HubPictures(PictureSet):
    """The pictures in one column of a data set, in file and row order.

    The files are downloaded to huggingface_hub's cache when the set is opened, and one row group at a time is held in
    memory. ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` are honored; cached files are used if the
    Hub cannot be reached. Data sets that consist of plain picture files or archives are not supported.

    Args:
        location: ``hf-hub:ORG/NAME[@REVISION][:SPLIT[/COLUMN]]``. The split may be omitted if there is only one, or
            one named train; the column, if only one can hold pictures.

    Raises:
        PictureError: no such data set, revision, split or column; no access or connection; pyarrow is missing; a file
            is damaged.
    """

    lists_sizes = False

    def __init__(self, location: str) -> None:
        self.location = location
        match = _LOCATION.fullmatch(location)
        if match is None:
            raise PictureError(f"{location}: write {PREFIX}ORG/NAME[@REVISION][:SPLIT[/COLUMN]]")
        _pyarrow()  # before anything is fetched
        split, self.files = _fetch(location, match["repo"], match["revision"], match["split"])
        footers = [_parquet(file) for file in self.files]
        self.column = _choose_column(location, footers[0].schema_arrow, match["column"])
        self.groups: list[tuple[int, int]] = []  # file and row group
        rows = []
        for number, footer in enumerate(footers):
            if self.column not in footer.schema_arrow.names:
                raise PictureError(f"{location}: {self.files[number].name} has no column {self.column!r}")
            for group in range(footer.metadata.num_row_groups):
                self.groups.append((number, group))
                rows.append(footer.metadata.row_group(group).num_rows)
        self.ends = list(accumulate(rows))  # of the row groups, as picture indices
        total = self.ends[-1] if self.ends else 0
        if not total:
            raise PictureError(f"{location}: no rows in it")
        self.names = _Names(split, total)
        self._held: tuple[int, Any] | None = None  # the row group read last

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": None}

    def read(self, index: int) -> bytes:
        """Read the bytes of the picture in a row; see :meth:`PictureSet.read`."""
        value = self._value(index).as_py()
        if not value:
            raise PictureError(f"{self.location}: {self.names[index]} has no picture's bytes in {self.column!r}")
        return bytes(value)

    def size_in_bytes(self, index: int) -> int:
        """The size of the picture. Parquet does not store it separately, so the picture's row group is read."""
        value = self._value(index)
        return value.as_buffer().size if value.is_valid else 0

    def fingerprint(self) -> str:
        """A short hash of column and footers, which hold sizes and statistics; see :meth:`PictureSet.fingerprint`."""
        digest = hashlib.sha256(self.column.encode())
        for file in self.files:
            with file.open("rb") as stream:
                stream.seek(-8, 2)
                length = int.from_bytes(stream.read(4), "little")
                stream.seek(-8 - length, 2)
                digest.update(stream.read())
        return digest.hexdigest()[:16]

    def _value(self, index: int) -> Any:
        """The Arrow scalar with the bytes of a picture."""
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = bisect_right(self.ends, index)
        held = self._held
        if held is None or held[0] != place:
            self._held = None  # free the old one first
            held = self._held = (place, self._read_group(place))
        return held[1][index - (self.ends[place - 1] if place else 0)]

    def _read_group(self, place: int) -> Any:
        number, group = self.groups[place]
        path = self.files[number]
        file = _parquet(path)
        described = file.metadata.row_group(group)
        size = sum(
            part.total_uncompressed_size
            for part in map(described.column, range(described.num_columns))
            if part.path_in_schema.split(".")[0] == self.column
        )
        if size > MAX_GROUP:
            raise PictureError(
                f"{self.location}: {path.name} has a row group of {size / 1e6:,.0f} MB, over the limit of "
                f"{MAX_GROUP / 1e6:,.0f} MB"
            )
        try:  # without threads: pyarrow's do not survive in a forked process
            column = file.read_row_group(group, columns=[self.column], use_threads=False).column(0)
            if column.type.num_fields:  # a struct
                import pyarrow.compute

                column = pyarrow.compute.struct_field(column, "bytes")
        except Exception as error:  # of pyarrow, or anything due to damaged data
            raise PictureError(f"{path}: damaged row group {group} ({one_line(error)}); fetch it again") from None
        if len(column) != described.num_rows:
            raise PictureError(f"{path}: row group {group} has {len(column)} rows, not {described.num_rows}")
        return column


class _Names(Sequence[str]):
    """Names of the form ``SPLIT/ROW``, made on access."""

    def __init__(self, split: str, total: int) -> None:
        self.split, self.total = split, total

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.total))]
        return f"{self.split}/{range(self.total)[index]:06d}"


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise PictureError('data sets of the Hub need pyarrow: pip install "artgan[hub-data]"') from None
    return pyarrow


def _parquet(path: Path) -> Any:
    """Open a Parquet file: reads its footer and starts no threads."""
    try:
        return _pyarrow().parquet.ParquetFile(path, pre_buffer=False)
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"{path}: damaged, or not a Parquet file ({one_line(error)}); fetch it again") from None


def _choose_column(location: str, schema: Any, wanted: str | None) -> str:
    """The picture column: one of bytes, or of structs with a field ``bytes``."""
    types = _pyarrow().types

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == "bytes" and holds_bytes(field.type) for field in kind)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    columns = [field.name for field in schema if holds_bytes(field.type)]
    there = ", ".join(columns) or "none"
    if wanted is None and len(columns) == 1:
        return str(columns[0])
    if wanted is None:
        raise PictureError(f"{location}: name the column of pictures, as in :SPLIT/COLUMN; there are: {there}")
    if wanted not in columns:
        raise PictureError(f"{location}: no column {wanted!r} of pictures; there are: {there}")
    return wanted


# ---- files


def _fetch(location: str, repo: str, revision: str | None, split: str | None) -> tuple[str, list[Path]]:
    """Download a split, and return its name and its cached files."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    kind: dict[str, Any] = {"repo_type": "dataset", "revision": revision}
    try:
        try:
            # Unlike list_repo_files, this does not retry for half a minute if there is no connection.
            info = HfApi().dataset_info(repo, revision=revision, timeout=_TIMEOUT)
            listed = [file.rfilename for file in info.siblings or ()]
            locate = partial(hf_hub_download, repo, **kind)
        except (HfHubHTTPError, HFValidationError):
            raise
        except Exception as error:  # offline or no connection; the exception varies by version
            try:
                folder = Path(snapshot_download(repo, local_files_only=True, allow_patterns=["*.parquet"], **kind))
            except Exception:
                raise error from None
            listed = [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")]
            locate = folder.joinpath  # type: ignore[assignment]  # also maps a name to a path
        split, shards = _choose_split(location, listed, split)
        return split, [Path(locate(shard)) for shard in shards]
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"{location}: {explain(error, revision, what='data set')}") from None


def _choose_split(location: str, files: Sequence[str], wanted: str | None) -> tuple[str, list[str]]:
    """The Parquet files of a split, in order: named ``SPLIT-00000-of-00002``, ``SPLIT``, or in a folder ``SPLIT``."""
    splits: dict[str, list[PurePosixPath]] = defaultdict(list)
    counts: dict[str, int] = {}
    for path in map(PurePosixPath, sorted(files)):
        if path.suffix == ".parquet":
            shard = _SHARD.match(path.stem)
            split = shard["split"] if shard else _stem_or_folder(path)
            splits[split].append(path)
            if shard:
                counts[split] = int(shard["count"])
    if not splits:
        raise PictureError(
            f"{location}: no Parquet file in it; artgan cannot read data sets of plain picture files or archives "
            "from the Hub: download them, and give the folder"
        )
    there = ", ".join(splits)
    split = wanted or (next(iter(splits)) if len(splits) == 1 else "train")
    if split not in splits:
        raise PictureError(
            f"{location}: " + (f"no split {wanted!r}" if wanted else "name a split") + f"; it has {there}"
        )
    paths = splits[split]
    folders = sorted({str(path.parent) for path in paths})
    if len(folders) > 1:
        raise PictureError(f"{location}: {split} is in several configurations ({', '.join(folders)}); artgan reads one")
    if len(paths) != counts.get(split, len(paths)):
        raise PictureError(
            f"{location}: {len(paths)} of the {counts[split]} files of {split} are there; fetch it again while online"
        )
    return split, [str(path) for path in paths]


def _stem_or_folder(path: PurePosixPath) -> str:
    """The split is train both for ``data/train.parquet`` and for ``train/0000.parquet``."""
    return path.parent.name or path.stem if re.match(r"(part\W?)?\d", path.stem) else path.stem
