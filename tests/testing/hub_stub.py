"""A stub of the Hugging Face Hub's HTTP API: create a repository, commit files, download them. Not the real Hub."""

import base64
import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_stub"


class HubStub(ThreadingHTTPServer):
    """Keeps the files of repositories in memory. `files` is {repository: {path: content}}."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files, self.private, self.large, self.commits = {}, {}, {}, []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, value, status=200, headers=(), body=None):
        body = json.dumps(value).encode() if body is None else body
        self.send_response(status)
        for name, text in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def do_POST(self):
        body, path, hub = self._body(), self.path.split("?")[0], self.server
        if path != "/api/validate-yaml" and self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid token"}, 401)
        if path == "/api/validate-yaml":
            return self._answer({"warnings": [], "errors": []})
        if path == "/api/repos/create":
            fields = json.loads(body)
            name = "/".join(part for part in (fields.get("organization"), fields["name"]) if part)
            hub.files.setdefault(name, {})
            hub.private[name] = fields.get("private") or fields.get("visibility") == "private"
            return self._answer({"url": f"{hub.url}/{name}", "id": name})
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            upload = [{**part, "actions": {"upload": {"href": f"{hub.url}/upload/{part['oid']}"}}} for part in objects]
            return self._answer({"transfer": "basic", "objects": upload})
        repository, _, action = path.removeprefix("/api/models/").rpartition("/main")[0].rpartition("/")
        if action == "preupload":
            files = [
                {
                    "path": part["path"],
                    "uploadMode": "lfs" if part["path"].endswith((".safetensors", ".onnx")) else "regular",
                    "shouldIgnore": False,
                }
                for part in json.loads(body)["files"]
            ]
            return self._answer({"files": files})
        if action == "commit":
            lines = [json.loads(line) for line in body.splitlines() if line]
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    hub.files[repository][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[repository][value["path"]] = hub.large[value["oid"]]
                elif line["key"] == "header":
                    hub.commits.append(value["summary"])
            sha = hashlib.sha1(body).hexdigest()
            url = f"{hub.url}/{repository}/commit/{sha}"
            return self._answer({"commitUrl": url, "commitOid": sha, "success": True})
        return self._answer({"error": f"the stub has no {self.path}"}, 404)

    def do_PUT(self):
        content = self._body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def do_GET(self):
        path, hub = self.path.split("?")[0], self.server
        if path.startswith("/api/models/"):
            repository = "/".join(path.removeprefix("/api/models/").split("/")[:2])
            if repository not in hub.files:
                return self._answer({"error": "Repository not found"}, 404, [("X-Error-Code", "RepoNotFound")])
            if "/tree/" in path:
                files = [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in hub.files[repository].items()
                ]
                return self._answer(files)
            siblings = [{"rfilename": name} for name in hub.files[repository]]
            return self._answer({"id": repository, "sha": "a" * 40, "siblings": siblings, "private": True})
        repository, _, rest = path[1:].partition("/resolve/")
        name = rest.partition("/")[2]
        content = hub.files.get(repository, {}).get(name)
        if content is None:
            return self._answer({"error": "Entry not found"}, 404, [("X-Error-Code", "EntryNotFound")])
        headers = [("X-Repo-Commit", "a" * 40), ("ETag", f'"{hashlib.sha256(content).hexdigest()}"')]
        return self._answer(None, 200, headers, content)

    def do_HEAD(self):
        self.do_GET()


@contextlib.contextmanager
def running_hub():
    """Run the stub in a thread, and yield it."""
    hub = HubStub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
