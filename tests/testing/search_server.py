"""A threaded HTTP server whose answers a test scripts, in place of a search engine."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Received:
    """A request that the server received: method, path, parameters, headers, parsed body."""

    def __init__(self, handler):
        parts = urlsplit(handler.path)
        self.method, self.path = handler.command, parts.path
        self.parameters = parse_qsl(parts.query, keep_blank_values=True)
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        content = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        self.body = json.loads(content) if content else None


class SearchServer:
    """The server, its address and the requests so far.

    Attributes:
        answer: Function of a request that returns (status, headers, body), or writes to the socket itself and returns
            None. A body that is neither bytes nor str is sent as JSON.
        requests: All requests, in the order of arrival.
    """

    def __init__(self, answer):
        self.answer, self.requests, self.url = answer, [], ""

    def respond(self, handler):
        """Answer one request."""
        request = Received(handler)
        self.requests.append(request)
        result = self.answer(request, handler)
        if result is None:
            handler.close_connection = True
            return
        status, headers, body = result
        content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        handler.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)


@contextmanager
def running_search_server(answer, port=0):
    """Run a server in threads on the loopback interface, and yield it."""
    server = SearchServer(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            server.respond(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments):
            pass

    class QuietServer(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass  # a client that gave up closes its connection

    listener = QuietServer(("127.0.0.1", port), Handler)
    server.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def elastic_answer(*hits, **more):
    """Return the body of an Elasticsearch answer. A hit is (id, score, source)."""
    entries = [{"_id": doc_id, "_score": score, "_source": source} for doc_id, score, source in hits]
    found = {"total": {"value": len(entries), "relation": "eq"}, "hits": entries}
    return {"took": 1, "timed_out": False, "_shards": {"failed": 0}, "hits": found, **more}
