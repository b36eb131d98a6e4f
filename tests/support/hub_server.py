"""A Hub on loopback: the part of the Hugging Face Hub's HTTP API that huggingface_hub uses of it for artgan.

Model info, files (large ones by way of a "CDN" on a port of its own, with ranges), repositories, uploads and commits.
Faults can be put in any request's way, and every request is written down.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_FirstLightOnTheSeine"
"""Who sends this may do everything; with another token or none, one may read what is public."""

LARGE = (".safetensors", ".onnx", ".bin", ".parquet", ".png")
"""Files with these endings are kept apart by their SHA-256 (Git LFS) and served by the CDN."""


@dataclass
class Repository:
    """Commits by hash, each with its files.

    Attributes:
        claims: sizes to announce that are not the true ones, by path.
    """

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Put files on top of a branch and return the commit."""
        parent = self.branches.get(branch, "")
        content = {**self.commits.get(parent, {}), **files}
        listing = "".join(f"{path} {sha256(data)}\n" for path, data in sorted(content.items()))
        commit = hashlib.sha1(f"{parent}\n{listing}".encode()).hexdigest()
        self.commits[commit] = content
        self.branches[branch] = commit
        return commit


@dataclass
class Fault:
    """What stands in the way of requests whose "METHOD /path" matches, so many times.

    Attributes:
        status: answered in place of the real answer.
        cut: bytes of the body after which the connection is closed.
        body: sent in place of the real body, where it is as long.
    """

    pattern: str
    times: int
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    body: bytes | None = None


@dataclass
class Request:
    """A request as it came; the names of its headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


class Hub:
    """The server's state; ``with Hub().serve() as hub: ... hub.url``."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.url = self.cdn = ""

    def add(self, name: str, files: Mapping[str, bytes], *, kind: str = "models", **options: bool) -> str:
        """Make a repository with one commit, which is returned."""
        self.repositories[f"{kind}/{name}"] = Repository(**options)
        return self.commit(name, files, kind=kind)

    def commit(self, name: str, files: Mapping[str, bytes], *, kind: str = "models", branch: str = "main") -> str:
        """Put files into a repository and return the commit."""
        self.objects |= {sha256(data): data for path, data in files.items() if path.endswith(LARGE)}
        return self.repositories[f"{kind}/{name}"].commit(files, branch)

    def fault(self, pattern: str, *, times: int = 10**6, **what: Any) -> None:
        """Put a :class:`Fault` in the way."""
        self.faults.append(Fault(pattern, times, **what))

    def find(self, method: str, path: str) -> Fault | None:
        """The fault that stands in a request's way, if any; it is used up by one."""
        for fault in self.faults:
            if fault.times and re.search(fault.pattern, f"{method} {path}"):
                fault.times -= 1
                return fault
        return None

    @contextmanager
    def serve(self) -> Iterator[Hub]:
        """Listen on two ports of 127.0.0.1, the Hub's and the CDN's."""
        handler = type("Handler", (_Handler,), {"hub": self})
        servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        for server in servers:
            server.daemon_threads = True  # a connection that a client keeps open is not waited for
        threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers]
        for thread in threads:
            thread.start()
        self.url, self.cdn = (f"http://127.0.0.1:{server.server_port}" for server in servers)
        try:
            yield self
        finally:
            for server, thread in zip(servers, threads, strict=True):
                server.shutdown()
                server.server_close()
                thread.join()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()


class _Stop(Exception):
    """The answer is an error."""

    def __init__(self, status: int, code: str = "", message: str = "", body: Any = None) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message, self.body = status, code, message, body


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            self.data = self._read_chunks()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append(Request(self.command, path, headers))
        self.fault = self.hub.find(self.command, path)
        try:
            if self.fault and self.fault.status:
                raise _Stop(self.fault.status)
            for method, pattern, answer in _ROUTES:
                if self.command in method and (match := re.fullmatch(pattern, path)):
                    answer(self, **match.groupdict())
                    return
            raise _Stop(404, message=f"{self.command} {path}: this Hub does not know that")
        except _Stop as stop:
            # A Hub may say what it likes, the token that it was given too.
            message = f"{stop.message} (you sent {self.headers.get('Authorization')})"
            headers = {"X-Error-Code": stop.code, "X-Error-Message": stop.message or message}
            headers |= self.fault.headers if self.fault else {}
            self._send(json.dumps(stop.body or {"error": message}).encode(), stop.status, headers)

    def log_message(self, *_: object) -> None:
        pass

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _read_chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _send(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        fault = self.fault
        if fault and fault.body is not None:
            body = fault.body[: len(body)]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: fault.cut] if fault else body)
        if fault and fault.cut is not None:
            self.close_connection = True

    def _json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    def _may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _check_writing(self) -> None:
        if not self.headers.get("Authorization"):
            raise _Stop(401, message="Invalid username or password.")
        if not self._may_write():
            raise _Stop(401, message="Invalid credentials in Authorization header")

    def _repository(self, kind: str | None, name: str) -> Repository:
        repository = self.hub.repositories.get(f"{(kind or 'models').strip('/')}/{name}")
        if repository is None or (repository.private and not self._may_write()):
            raise _Stop(401 if not self._may_write() else 404, "RepoNotFound", "Repository not found")
        return repository

    def _resolve(self, repository: Repository, revision: str | None) -> str:
        commit = repository.branches.get(revision or "main", revision)
        if commit not in repository.commits:
            raise _Stop(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    # Reading

    def info(self, kind: str, name: str, revision: str | None) -> None:
        repository = self._repository(kind, name)
        commit = self._resolve(repository, revision)
        siblings: list[dict[str, Any]] = []
        for path, data in repository.commits[commit].items():
            siblings.append({"rfilename": path})
            if "blobs=" in self.path:
                siblings[-1] |= {"size": repository.claims.get(path, len(data)), "blobId": git_hash(data)}
                if path.endswith(LARGE):
                    siblings[-1]["lfs"] = {"size": len(data), "sha256": sha256(data), "pointerSize": 130}
        self._json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings})

    def resolve(self, kind: str | None, name: str, revision: str, path: str) -> None:
        repository = self._repository(kind, name)
        if repository.gated and not self._may_write():
            raise _Stop(403, "GatedRepo", "Access to this model is restricted")
        commit = self._resolve(repository, revision)
        data = repository.commits[commit].get(path)
        if data is None:
            raise _Stop(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if path.endswith(LARGE):
            headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{sha256(data)}"'}
            self._send(b"", 302, {**headers, "Location": f"{self.hub.cdn}/cdn/{sha256(data)}?signature=secret"})
        else:
            self._send_range(data, {**headers, "ETag": f'"{git_hash(data)}"'})

    def content(self, digest: str) -> None:
        self._send_range(self.hub.objects[digest], {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"})

    def _send_range(self, data: bytes, headers: Mapping[str, str]) -> None:
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if start is None:
            self._send(data, headers=headers)
        else:
            first = int(start[1])
            self._send(data[first:], 206, {**headers, "Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"})

    # Writing

    def create(self) -> None:
        self._check_writing()
        asked = json.loads(self.data)
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "stranger":
            raise _Stop(403, message="You don't have the rights to create a model under this namespace")
        if f"models/{name}" in self.hub.repositories:
            raise _Stop(409, body={"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
        private = asked.get("visibility") == "private" or asked.get("private") is True  # clients differ
        self.hub.add(name, {".gitattributes": b""}, private=private)
        self._json({"url": f"{self.hub.url}/{name}"})

    def validate(self) -> None:
        if "license: nonsense" in json.loads(self.data)["content"]:
            raise _Stop(400, body={"errors": [{"message": '"license" must be one of [apache-2.0, mit]'}]})
        self._json({"errors": [], "warnings": []})

    def preupload(self, kind: str, name: str, revision: str) -> None:
        self._check_writing()
        repository = self._repository(kind, name)
        there = repository.commits[self._resolve(repository, revision)]
        files = []
        for file in json.loads(self.data)["files"]:
            path, large = file["path"], file["path"].endswith(LARGE)
            old = there.get(path)
            known = None if old is None else sha256(old) if large else git_hash(old)
            mode = "lfs" if large else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known})
        self._json({"files": files})

    def batch(self, name: str) -> None:
        self._check_writing()
        objects = []
        for wanted in json.loads(self.data)["objects"]:
            if wanted["oid"] not in self.hub.objects:
                wanted["actions"] = {
                    "upload": {"href": f"{self.hub.cdn}/cdn/{wanted['oid']}"},
                    "verify": {"href": f"{self.hub.url}/verify"},
                }
            objects.append(wanted)
        self._json({"transfer": "basic", "objects": objects})

    def store(self, digest: str) -> None:
        if sha256(self.data) != digest:
            raise _Stop(400, message="wrong bytes")
        self.hub.objects[digest] = self.data
        self._send(b"")

    def verify(self) -> None:
        self._check_writing()
        wanted = json.loads(self.data)
        if len(self.hub.objects.get(wanted["oid"], b"")) != wanted["size"]:
            raise _Stop(422, message="not uploaded")
        self._send(b"{}")

    def commit(self, kind: str, name: str, revision: str) -> None:
        self._check_writing()
        files = {}
        for line in self.data.splitlines():
            item = json.loads(line)
            if item["key"] == "file":
                files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
            elif item["key"] == "lfsFile":
                files[item["value"]["path"]] = self.hub.objects[item["value"]["oid"]]
        self._repository(kind, name)
        commit = self.hub.commit(name, files, kind=kind, branch=revision)
        self._json({"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})


_NAME = r"(?P<name>[^/]+/[^/]+)"
_KIND = r"(?P<kind>models|datasets)"
_ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", f"/api/{_KIND}/{_NAME}(/revision/(?P<revision>.+))?", _Handler.info),
    ("GET HEAD", f"/(?P<kind>datasets/)?{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
    ("GET HEAD", "/cdn/(?P<digest>[0-9a-f]{64})", _Handler.content),
    ("PUT", "/cdn/(?P<digest>[0-9a-f]{64})", _Handler.store),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", f"/api/{_KIND}/{_NAME}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    ("POST", "/verify", _Handler.verify),
    ("POST", f"/api/{_KIND}/{_NAME}/commit/(?P<revision>[^/]+)", _Handler.commit),
]
