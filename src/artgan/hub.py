"""Access to the Hugging Face Hub: download and verify files, upload files. Does not import torch."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from artgan.errors import ArtganError, WeightsError, one_line
from artgan.files import sha256

if TYPE_CHECKING:  # imported where needed, because it is slow
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.hf_api import ModelInfo

_log = logging.getLogger(__name__)

_COMMIT = re.compile("[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*", re.ASCII)
_TIMEOUT = 15  # seconds for the Hub to list the files
_VERIFIED = "artgan-verified"


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch from a repository.

    Attributes:
        path: in the repository.
        limit: the largest allowed size, in bytes.
        size: the required size, in bytes; None: any size up to the limit.
        sha256: the required hash; None: the one that the Hub announces when the file is fetched.
    """

    path: str
    limit: int
    size: int | None = None
    sha256: str | None = None


def fetch(
    repo_id: str,
    revision: str | None,
    files: Sequence[RemoteFile],
    *,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    announce: bool = True,
) -> Path:
    """Fetch ``files`` of a repository and return the local folder, named after its commit, that holds them.

    A cached commit needs no network. For a branch or tag the Hub is asked for the current commit; if it cannot be
    reached, the cached copy is used. ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME``, ``HF_HUB_CACHE`` and
    ``HF_HUB_OFFLINE`` are honored.

    Args:
        repo_id: "ORG/NAME".
        revision: a commit (40 hex digits), branch or tag; None means the branch main.
        files: which files; others are not fetched.
        cache_dir: in place of the Hub client's own cache.
        local_files_only: never use the network.
        announce: whether to say which commit a branch or tag stands for.

    Raises:
        WeightsError: no such repository, revision or file; no access or no connection; a file is too large or does not
            match its size or hash, in which case it has been removed from the cache; the disk is full.
    """
    from huggingface_hub import constants

    where = f"{repo_id}@{revision}" if revision else repo_id
    if revision is not None and not _REVISION.fullmatch(revision):
        raise WeightsError(f"{where}: not a revision: write a commit of 40 hex digits, a branch or a tag")
    cache = Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
    try:
        folder = _locate(repo_id, revision, files, cache, local_files_only, announce)
        for file in files:
            _verify(folder, file, where)
    except WeightsError:
        raise
    except Exception as error:  # of the client, of its HTTP library (which varies by version) and of the disk
        raise WeightsError(f"{where}: {explain(error, revision)}") from None
    return folder


def _locate(
    repo_id: str,
    revision: str | None,
    files: Sequence[RemoteFile],
    cache: Path,
    local_files_only: bool,
    announce: bool,
) -> Path:
    cached = _in_cache(repo_id, revision, files, cache)
    if cached and (local_files_only or _is_commit(revision)):
        return cached
    if local_files_only:
        names = " and ".join(file.path for file in files)
        raise WeightsError(f"{repo_id}: {names} at {revision or 'main'}: not in the cache, and local_files_only is set")
    try:
        return _download(repo_id, revision, files, cache, announce)
    except Exception as error:
        if cached is None or not _unreachable(error):
            raise
        _log.warning("%s: %s; the copy in the cache is used", repo_id, explain(error, revision))
        return cached


def _is_commit(revision: str | None) -> bool:
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def _in_cache(repo_id: str, revision: str | None, files: Sequence[RemoteFile], cache: Path) -> Path | None:
    """The cached folder that holds all files, of the commit that the cache has on record for a branch or tag."""
    from huggingface_hub import try_to_load_from_cache

    folders = set()
    for file in files:
        path = try_to_load_from_cache(repo_id, file.path, cache_dir=cache, revision=revision)
        folders.add(_folder(Path(path), file) if isinstance(path, str) else None)
    return folders.pop() if len(folders) == 1 else None


def _folder(path: Path, file: RemoteFile) -> Path:
    """The folder of a commit, from the path of a file in it."""
    return path.parents[len(PurePosixPath(file.path).parts) - 1]


def _download(repo_id: str, revision: str | None, files: Sequence[RemoteFile], cache: Path, announce: bool) -> Path:
    from huggingface_hub import hf_hub_download

    info = _model_info(repo_id, revision)
    commit = info.sha
    if commit is None or not _is_commit(commit):
        raise WeightsError(
            f"{repo_id}: the server returned no commit hash; is HF_ENDPOINT the address of a Hugging Face Hub?"
        )
    where = f"{repo_id}@{commit}"
    files = [_announced(file, info, where) for file in files]
    if announce and not _is_commit(revision):
        _log.warning("%s: %s is now %s; write %s to always get these files", repo_id, revision or "main", commit, where)
    for file in files:
        folder = _folder(Path(hf_hub_download(repo_id, file.path, revision=commit, cache_dir=cache)), file)
        _verify(folder, file, where)
    if revision != commit:  # last, so that the cache records a branch's commit only once all files are there
        reference = folder.parents[1] / "refs" / (revision or "main")
        with suppress(OSError):
            reference.parent.mkdir(parents=True, exist_ok=True)
            reference.write_text(commit)
    return folder


def _model_info(repo_id: str, revision: str | None) -> ModelInfo:
    """The commit of a revision, and its files with sizes. Retries if the Hub reports a server error."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    pauses = [1, 3]
    while True:
        try:
            return HfApi().model_info(repo_id, revision=revision, files_metadata=True, timeout=_TIMEOUT)
        except HfHubHTTPError as error:
            if not pauses or error.response.status_code < 500:
                raise
            time.sleep(pauses.pop(0))


def _announced(file: RemoteFile, info: ModelInfo, where: str) -> RemoteFile:
    """The file with its expected size and hash filled in, if what the Hub announces is acceptable."""
    listed = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    if file.path not in listed:
        raise WeightsError(f"{where}: holds no {file.path}; it has {_some(sorted(listed))}")
    size, large = listed[file.path].size, listed[file.path].lfs
    if size is None:
        raise WeightsError(f"{where}: the Hub does not report the size of {file.path}, so it is not fetched")
    if size > file.limit:
        raise WeightsError(f"{where}: {file.path} has {size} bytes, over the limit of {file.limit}; it is not fetched")
    if file.size not in (None, size):
        raise WeightsError(f"{where}: {file.path} has {size} bytes, expected {file.size}; it is not fetched")
    announced = large.sha256 if large else None
    if file.sha256 and announced and file.sha256 != announced:
        raise WeightsError(f"{where}: {file.path} has sha256 {announced}, expected {file.sha256}; it is not fetched")
    return replace(file, size=size, sha256=file.sha256 or announced)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "no files"


def _verify(folder: Path, file: RemoteFile, where: str) -> None:
    """Raise, and remove the file from the cache, unless size and hash match. A verified hash is remembered."""
    path = folder / file.path
    status = path.stat()
    if file.size not in (None, status.st_size):
        found, expected = f"{status.st_size} bytes", str(file.size)
    else:
        note = folder.parents[1] / _VERIFIED / f"{file.sha256}.json"
        seen = {"file": str(path.resolve()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        if file.sha256 is None or _read_note(note) == seen:
            return
        hashed = sha256(path)
        if hashed == file.sha256:
            with suppress(OSError):  # in a read-only cache the file is hashed every time
                note.parent.mkdir(exist_ok=True)
                note.write_text(json.dumps(seen))
            return
        found, expected = f"sha256 {hashed}", file.sha256
    for copy in (path.resolve(), path):
        copy.unlink(missing_ok=True)
    raise WeightsError(
        f"{where}: {file.path} has {found}, expected {expected}; it was removed from the cache, "
        "so loading again downloads it again"
    )


def _read_note(note: Path) -> Any:
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError):  # missing or incomplete
        return None


def upload(repo_id: str, operations: Sequence[CommitOperationAdd], *, private: bool, message: str) -> str:
    """Upload files to a repository in one commit; the repository is created if necessary.

    Args:
        repo_id: "ORG/NAME".
        operations: the files.
        private: whether the repository must be private.
        message: the commit message.

    Returns:
        The commit, 40 hex digits.

    Raises:
        ArtganError: not logged in, no access, no connection; or ``private`` is set and the repository is public.
    """
    from huggingface_hub import HfApi, get_token

    try:
        if get_token() is None:
            raise ArtganError(
                "not logged in to the Hub: run `hf auth login`, or set HF_TOKEN to a token with write access"
            )
        api = HfApi()
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        if private and not api.model_info(repo_id).private:
            raise ArtganError(f"{repo_id}: exists already and is public; make it private on the Hub, or choose another")
        return api.create_commit(repo_id, operations, commit_message=message).oid
    except ArtganError:
        raise
    except Exception as error:  # as in fetch
        raise ArtganError(f"{repo_id}: {explain(error, failed='cannot be uploaded')}") from None


def explain(
    error: Exception,
    revision: str | None = None,
    *,
    what: str = "model",
    failed: str = "cannot be fetched from the Hub and is not in the cache",
) -> str:
    """Why the Hub's client failed and what to do about it, on one line and without the token.

    Args:
        error: what the client raised.
        revision: the requested revision.
        what: what the repository holds: "model" or "data set".
        failed: a description of the failure, used if no better one is known.
    """
    from huggingface_hub import errors

    error = _cause(error)
    if isinstance(error, errors.GatedRepoError):
        return f"this {what} is gated; ask for access at its page on the Hub and set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"no such {what} on the Hub, or it is private and HF_TOKEN does not give access"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the {what} has no revision {revision!r}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "not in the cache, and HF_HUB_OFFLINE is set"
    if isinstance(error, errors.HFValidationError):
        return f"not a name that a {what} can have"
    if isinstance(error, errors.HfHubHTTPError):
        status, wait = error.response.status_code, error.response.headers.get("Retry-After")
        if status in (401, 403):
            return f"the Hub refuses access (status {status}); check HF_TOKEN and its permissions"
        later = f"in {wait} seconds" if wait and wait.isdigit() else "later"
        return f"the Hub answered with status {status}; try again {later}"
    if isinstance(error, ValueError):  # the client rejected an argument
        return f"{failed} ({_line(error)})"
    if _is_fault_of_files(error):
        return f"a file cannot be read or written here ({getattr(error, 'strerror', '')})"
    return f"{failed} ({_line(error)}); check the connection"


def _cause(error: Exception) -> Exception:
    """The error underneath the client's own wrappers."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while type(error) in (LocalEntryNotFoundError, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _is_fault_of_files(error: Exception) -> bool:
    """Whether the operating system reported a file error, such as a full disk, rather than a connection error."""
    return isinstance(error, OSError) and error.strerror is not None and not isinstance(error, ConnectionError)


def _unreachable(error: Exception) -> bool:
    """Whether the Hub gave no answer or a server error, so that the cached copy may be used."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    error = _cause(error)
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    return not isinstance(error, (WeightsError, HFValidationError)) and not _is_fault_of_files(error)


def _line(error: Exception) -> str:
    """An error on one line, with anything that looks like a token masked."""
    return re.sub(r"hf_\w+|Bearer\s+[^\s']+", "***", one_line(error))
