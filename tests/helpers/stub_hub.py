"""A stand-in for the Hugging Face hub on 127.0.0.1, and fresh processes that take it for the hub."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

COMMIT = "c0ffee" + 34 * "0"
PROGRAM = """
import json, sys
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources import classifiers, hub, reviews
try:
    answer = eval(sys.argv[1])
except MpqError as error:
    answer = [error.code, error.title]
print(json.dumps(answer, default=str))
"""


class StubHub:
    """Serves the files below ``root``; the user's cache is ``home``.

    ``root/org/name/file`` is the file of a model, ``root/datasets/org/name/file`` that of a data set.
    ``requests`` holds what was asked, ``refused`` the repositories that need a permission, ``private`` those
    that need a login, ``cut_off`` the files whose connection breaks half-way.
    """

    def __init__(self, root: Path, home: Path) -> None:
        self.root, self.home = root, home
        self.requests: list[str] = []
        self.refused: set[str] = set()
        self.private: set[str] = set()
        self.cut_off: set[str] = set()
        self.commit = COMMIT
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                hub.requests.append(f"{self.command} {self.path}")
                repository, _, rest = self.path.strip("/").partition("/resolve/")
                file = hub.root / repository / rest.partition("/")[2]
                if repository in hub.refused:
                    self.answer(403, {"X-Error-Code": "GatedRepo"})
                elif repository in hub.private:
                    self.answer(401, {"X-Error-Code": "RepoNotFound"})
                elif rest and file.is_file():
                    content = file.read_bytes()
                    etag = hashlib.sha256(content).hexdigest()
                    self.answer(200, {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit}, content)
                else:
                    self.answer(404, {"X-Error-Code": "EntryNotFound"})

            do_GET = do_HEAD

            def answer(self, status, headers, content=b""):
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(content))}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    broken = any(self.path.endswith(name) for name in hub.cut_off)
                    self.wfile.write(content[: len(content) // 2] if broken else content)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def add(self, name: str, content: bytes) -> Path:
        """Put a file on the hub."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def stop(self) -> None:
        """Take the hub off the network: connections are refused from now on."""
        self._server.shutdown()
        self._server.server_close()

    def ask(self, expression: str):
        """Return what ``expression`` gives in a fresh process: its value, or [code, title] of its error."""
        environment = os.environ | {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(self.home),
            "HF_HUB_OFFLINE": "0",
        }
        command = [sys.executable, "-c", PROGRAM, expression]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)
