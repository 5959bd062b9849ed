"""A chat-completions server that replies as a function decides, and a proxy that injects faults before a real server.

Tests and benchmarks use it to simulate what a hosted model's server does: errors, limits, slow and broken answers.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """Reply of the server.

    Attributes:
        body: Parsed JSON, or text that is sent unchanged.
        status: HTTP status.
        headers: Further headers.
        delay: Seconds before the reply.
        cut: Whether to close the connection in the middle of the body.
    """

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False


Decide = Callable[[dict[str, Any], int], Reply]
"""Maps the body of a request and its number, from 0, to a reply."""


@dataclass
class Received:
    """One request that the server received.

    Attributes:
        body: Parsed body.
        headers: Headers with lower-case names.
        begun: Time of the request, in seconds of the monotonic clock.
        status: HTTP status of the reply; 0 until the reply was sent completely.
    """

    body: dict[str, Any]
    headers: dict[str, str]
    begun: float
    status: int = 0

    @property
    def hash(self) -> str:
        """Hash of the body."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()


class ChatServer:
    """A running server.

    Attributes:
        url: Base URL of the API.
        received: All requests, in order.
        decide: Function that decides on replies. May be replaced at any time.
    """

    def __init__(self, decide: Decide) -> None:
        self.decide = decide
        self.received: list[Received] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with outer._lock:
                    number = len(outer.received)
                    outer.received.append(Received(body, headers, time.monotonic()))
                outer._reply(self, outer.decide(body, number), outer.received[number])

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """Ignore clients that close the connection."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, handler: BaseHTTPRequestHandler, reply: Reply, received: Received) -> None:
        time.sleep(reply.delay)
        data = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
        handler.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2] if reply.cut else data)
        handler.wfile.flush()
        received.status = reply.status
        if reply.cut:
            handler.close_connection = True


@contextmanager
def chat_server(decide: Decide) -> Iterator[ChatServer]:
    """Run a server on a free loopback port."""
    server = ChatServer(decide)
    try:
        yield server
    finally:
        server.close()


def completion(
    text: str | None, finish_reason: str = "stop", prompt: int = 100, written: int = 10, **message: Any
) -> Any:
    """Make the body of a chat completion.

    Args:
        text: Content of the message.
        finish_reason: Why generation ended.
        prompt: Number of prompt tokens.
        written: Number of generated tokens.
        **message: Further fields of the message.
    """
    return {
        "id": "c",
        "object": "chat.completion",
        "model": "scripted",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written},
    }


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """Make an error reply in OpenAI's format. Underscores in names of headers become hyphens."""
    body = {"error": {"message": message, "type": "error", "code": code}}
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def forward(url: str, timeout: float = 300.0) -> Decide:
    """Return a function that forwards requests to another server.

    Args:
        url: Base URL of the other server's API.
        timeout: Maximum seconds of a request.
    """

    def decide(body: dict[str, Any], number: int) -> Reply:
        request = urllib.request.Request(
            f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Reply(response.read().decode(), response.status)
        except urllib.error.HTTPError as failure:
            return Reply(failure.read().decode(), failure.code)

    return decide
