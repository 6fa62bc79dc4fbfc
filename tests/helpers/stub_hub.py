"""A stand-in for the Hugging Face hub on 127.0.0.1, and processes that take it for the hub."""

import dataclasses
import hashlib
import http.server
import importlib
import json
import os
import re
import tempfile
import threading
import unittest.mock
import urllib.parse
from pathlib import Path

from bert_mpq.settings.errors import MpqError
from tests.helpers.forked import started

COMMIT = "c0ffee" + 34 * "0"
LARGE = (".safetensors", ".bin", ".parquet", ".msgpack")  # served from elsewhere, by their SHA-256


def write_answer(expression: str, path: Path) -> None:
    """Write what ``expression`` gives, or [code, title] of its error, in a process just forked."""
    from huggingface_hub import constants

    from bert_mpq.runs import doctor
    from bert_mpq.sources import classifiers, hub, model_files, reviews, wheels

    importlib.reload(constants)  # they are read from the environment
    modules = (doctor, classifiers, hub, model_files, reviews, wheels)
    try:
        with unittest.mock.patch("time.sleep"):  # between the client's attempts
            answer = eval(expression, {module.__name__.rpartition(".")[2]: module for module in modules})
    except MpqError as error:
        answer = [error.code, error.title]
    path.write_text(json.dumps(answer, default=str))


@dataclasses.dataclass
class Revision:
    """The files of a repository at a branch, a tag or a pull request."""

    commit: str = COMMIT
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)


class StubHub:
    """Serves repositories of models (``org/name``) and data sets (``datasets/org/name``) as the hub does.

    Small files come with the commit and an ETag; large ones by a redirect to a CDN that knows ranges.
    ``requests`` holds what was asked, ``refused`` the repositories that need a permission, ``private`` those
    that need a login, ``cut_off`` the files whose connection breaks half-way; ``home`` is the user's cache.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.repositories: dict[str, dict[str, Revision]] = {}
        self.requests: list[str] = []
        self.refused: set[str] = set()
        self.private: set[str] = set()
        self.cut_off: set[str] = set()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                hub.requests.append(f"{self.command} {self.path}")
                if self.path.startswith("/cdn/"):
                    self.serve(hub.content_of(self.path.removeprefix("/cdn/")), {})
                else:
                    self.resolve()

            do_GET = do_HEAD

            def do_POST(self):
                hub.requests.append(f"{self.command} {self.path}")
                self.refuse(404, "EntryNotFound")

            def resolve(self):
                repository, _, rest = self.path.strip("/").partition("/resolve/")
                name, _, filename = rest.partition("/")
                revisions = hub.repositories.get(repository)
                if repository in hub.refused:
                    return self.refuse(403, "GatedRepo")
                if not rest or revisions is None or repository in hub.private:
                    return self.refuse(401, "RepoNotFound")
                wanted = urllib.parse.unquote(name)
                revision = next(
                    (each for key, each in revisions.items() if wanted in (key, each.commit)), None
                )
                if revision is None:
                    return self.refuse(404, "RevisionNotFound")
                content = revision.files.get(filename)
                headers = {"X-Repo-Commit": revision.commit}
                if content is None:
                    return self.refuse(404, "EntryNotFound", headers)
                digest = hashlib.sha256(content).hexdigest()
                if filename.endswith(LARGE):
                    headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(content))}
                    return self.answer(302, {**headers, "Location": f"{hub.cdn}/{digest}"})
                small = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                return self.serve(content, {**headers, "ETag": f'"{small}"'})

            def serve(self, content, headers):
                ranged = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
                if ranged is None:
                    return self.answer(200, headers, content)
                first, last = int(ranged[1]), int(ranged[2] or len(content) - 1)
                part = content[first : last + 1]
                headers |= {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}"}
                return self.answer(206, headers, part)

            def refuse(self, status, code, headers=None):
                self.answer(status, {"X-Error-Code": code, **(headers or {})})

            def answer(self, status, headers, content=b""):
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(content))}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    broken = any(hub.is_of(self.path, name) for name in hub.cut_off)
                    self.wfile.write(content[: len(content) // 2] if broken else content)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.cdn = f"http://localhost:{self._server.server_port}/cdn"  # another host, as the hub's is
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def add(self, name: str, content: bytes, revision: str = "main") -> None:
        """Put a file on the hub: ``org/name/file`` of a model, ``datasets/org/name/file`` of a data set."""
        parts = name.split("/")
        size = 3 if parts[0] == "datasets" else 2
        repository, filename = "/".join(parts[:size]), "/".join(parts[size:])
        revisions = self.repositories.setdefault(repository, {})
        revisions.setdefault(revision, Revision()).files[filename] = content

    def add_folder(self, repository: str, folder: Path, revision: str = "main", commit: str = COMMIT) -> None:
        """Put every file of a folder on the hub."""
        for path in sorted(folder.iterdir()):
            self.add(f"{repository}/{path.name}", path.read_bytes(), revision)
        self.repositories[repository][revision].commit = commit

    def contents(self) -> dict[str, bytes]:
        """Return every file on the hub by its path, the revision left out."""
        return {
            f"{repository}/{name}": content
            for repository, revisions in self.repositories.items()
            for revision in revisions.values()
            for name, content in revision.files.items()
        }

    def content_of(self, digest: str) -> bytes:
        """Return a large file by its SHA-256."""
        return next(each for each in self.contents().values() if hashlib.sha256(each).hexdigest() == digest)

    def is_of(self, path: str, name: str) -> bool:
        """Return whether a request is about a file of that name."""
        digest = path.removeprefix("/cdn/")
        return path.endswith(name) or any(
            key.endswith(name) and hashlib.sha256(content).hexdigest() == digest
            for key, content in self.contents().items()
        )

    def stop(self) -> None:
        """Take the hub off the network: connections are refused from now on."""
        self._server.shutdown()
        self._server.server_close()

    def ask(self, expression: str, **environment: str):
        """Return what ``expression`` gives in a new process that takes this for the hub.

        Its value, or [code, title] of its error.
        """
        here = {"HF_ENDPOINT": self.address, "HF_HOME": str(self.home), "HF_HUB_OFFLINE": "0"}
        with tempfile.TemporaryDirectory() as folder:
            answer, errors = Path(folder, "answer"), Path(folder, "errors")
            environment = {**os.environ, **here, **environment}
            process = started(write_answer, expression, answer, environment=environment, errors=errors)
            process.join(120)
            assert process.exitcode == 0, errors.read_text()
            return json.loads(answer.read_text())
