"""A model hub on loopback that speaks enough of the protocol of huggingface_hub for its client, and fails on demand.

Repositories live in memory: commits with files by path, branches, tags. With `hub.large`, weights go to a store of
large files first, and downloads of them are redirected there, as on the real hub. `hub.faults` maps the end of a path
to a function that answers instead; `hub.requests` has the method, path and headers of every request.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_of_the_tests"


class Repository:
    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.messages: dict[str, str] = {}
        self.branches = {"main": self.commit({".gitattributes": b""}, "initial commit")}
        self.tags: dict[str, str] = {}

    def commit(self, files: dict[str, bytes], message: str) -> str:
        content = "".join(f"{path}{hashlib.sha1(data).hexdigest()}" for path, data in sorted(files.items()))
        oid = hashlib.sha1(f"{len(self.commits)}{content}".encode()).hexdigest()
        self.commits[oid], self.messages[oid] = files, message
        return oid

    def resolve(self, revision: str) -> str | None:
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.large = False
        self.store: dict[str, bytes] = {}  # by SHA-256
        self.faults: dict[str, Callable[[Handler], None]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def gets(self, ending: str) -> int:
        return sum(method == "GET" and path.endswith(ending) for method, path, _ in self.requests)


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # of clients that have seen enough
            super().handle()

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()

    do_PUT = do_POST

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def answer(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        self.server.requests.append((self.command, path, dict(self.headers)))
        for ending, fault in self.server.faults.items():
            if path.endswith(ending):
                return fault(self)
        if self.command == "POST" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.fail(401, message="Invalid credentials in Authorization header")
        for method, pattern, respond in ROUTES:
            if self.command in method and (found := re.fullmatch(pattern, path)):
                return respond(self, *map(urllib.parse.unquote, found.groups()))
        self.fail(404)

    def json(self, value: object, status: int = 200) -> None:
        self.send(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def send(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def fail(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message, **headers}
        self.send(b"", status, {name.replace("_", "-"): value for name, value in named.items() if value})

    def repository(self, name: str) -> Repository | None:
        if name not in self.server.repositories:
            self.fail(404, "RepoNotFound", "Repository not found")
        return self.server.repositories.get(name)

    def at(self, name: str, revision: str) -> tuple[Repository, str] | None:
        if (repository := self.repository(name)) is None:
            return None
        if (oid := repository.resolve(revision)) is None:
            self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return repository, oid

    def create(self) -> None:
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        url = {"url": f"{self.server.url}/{name}"}
        if name in self.server.repositories:
            return self.json(url, 409)
        self.server.repositories[name] = Repository()
        self.json(url)

    def validate(self) -> None:
        good = json.loads(self.body)["content"].startswith("---\n")
        self.json({"errors": [] if good else [{"message": "no metadata"}], "warnings": []}, 200 if good else 400)

    def preupload(self, name: str, revision: str) -> None:
        if (found := self.at(name, revision)) is None:
            return
        files = found[0].commits[found[1]]
        modes = [
            {"path": path, "uploadMode": "lfs" if self.is_large(path) else "regular", "shouldIgnore": False}
            | ({"oid": git_oid(files[path])} if path in files else {})
            for path in (file["path"] for file in json.loads(self.body)["files"])
        ]
        self.json({"files": modes})

    def is_large(self, path: str) -> bool:
        return self.server.large and path.endswith(".safetensors")

    def batch(self, name: str) -> None:
        wanted = json.loads(self.body)["objects"]
        uploads = [
            {**each, "actions": {"upload": {"href": f"{self.server.url}/store/{each['oid']}"}}}
            if each["oid"] not in self.server.store
            else each
            for each in wanted
        ]
        self.json({"transfer": "basic", "objects": uploads})

    def put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.fail(400, message="other content than announced")
        self.server.store[oid] = self.body
        self.send(b"")

    def get(self, oid: str) -> None:
        self.send_range(self.server.store[oid], {"ETag": f'"{oid}"'})

    def commit(self, name: str, revision: str) -> None:
        if (repository := self.repository(name)) is None:
            return
        header, *operations = map(json.loads, self.body.splitlines())
        head = repository.branches[revision]
        if header["value"].get("parentCommit", head) != head:
            return self.fail(412, message="A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[head])
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "deletedFile":
                del files[value["path"]]
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.server.store[value["oid"]]
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        repository.branches[revision] = oid = repository.commit(files, header["value"]["summary"])
        self.json({"commitUrl": f"{self.server.url}/{name}/commit/{oid}", "commitOid": oid})

    def tag(self, name: str, revision: str) -> None:
        if (found := self.at(name, revision)) is None:
            return
        tag = json.loads(self.body)["tag"]
        if tag in found[0].tags:
            return self.fail(409, message="Tag reference exists already")
        found[0].tags[tag] = found[1]
        self.json({})

    def info(self, name: str, revision: str = "main") -> None:
        if found := self.at(name, revision):
            siblings = [{"rfilename": path} for path in found[0].commits[found[1]]]
            self.json({"id": name, "sha": found[1], "private": False, "tags": [], "siblings": siblings})

    def tree(self, name: str, revision: str) -> None:
        if found := self.at(name, revision):
            files = found[0].commits[found[1]].items()
            self.json([{"type": "file", "path": p, "size": len(d), "oid": git_oid(d)} for p, d in files])

    def refs(self, name: str) -> None:
        if (repository := self.repository(name)) is not None:
            kinds = {"branches": ("heads", repository.branches), "tags": ("tags", repository.tags)}
            listed = {
                kind: [{"name": n, "ref": f"refs/{place}/{n}", "targetCommit": oid} for n, oid in refs.items()]
                for kind, (place, refs) in kinds.items()
            }
            self.json({**listed, "converts": []})

    def file(self, name: str, revision: str, path: str) -> None:
        if (found := self.at(name, revision)) is None:
            return
        if (data := found[0].commits[found[1]].get(path)) is None:
            return self.fail(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": found[1], "ETag": f'"{git_oid(data)}"'}
        if self.is_large(path):
            oid = hashlib.sha256(data).hexdigest()
            linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data))}
            elsewhere = f"http://localhost:{self.server.server_port}/store/{oid}"  # another host to clients
            return self.send(b"", 302, {**headers, **linked, "Location": elsewhere})
        self.send_range(data, headers)

    def send_range(self, data: bytes, headers: dict[str, str]) -> None:
        headers = {**headers, "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(asked[1])
            if start >= len(data):
                return self.send(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return self.send(data[start:], 206, headers)
        self.send(data, 200, headers)


_ID = r"([^/]+/[^/]+)"
ROUTES = [
    ("POST", f"/{_ID}.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/store/([0-9a-f]{64})", Handler.put),
    ("GET HEAD", "/store/([0-9a-f]{64})", Handler.get),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("POST", f"/api/models/{_ID}/preupload/([^/]+)", Handler.preupload),
    ("POST", f"/api/models/{_ID}/commit/([^/]+)", Handler.commit),
    ("POST", f"/api/models/{_ID}/tag/([^/]+)", Handler.tag),
    ("GET", f"/api/models/{_ID}", Handler.info),
    ("GET", f"/api/models/{_ID}/revision/([^/]+)", Handler.info),
    ("GET", f"/api/models/{_ID}/tree/([^/]+)", Handler.tree),
    ("GET", f"/api/models/{_ID}/refs", Handler.refs),
    ("GET HEAD", f"/{_ID}/resolve/([^/]+)/(.+)", Handler.file),
]


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
