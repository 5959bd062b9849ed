"""An S3 server whose support for conditional writes can be switched off, as in services other than AWS."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from ranking.storage.uris import open_root
from tools.s3_server import BUCKET, client_of

HEADERS = {"If-None-Match": "HTTP_IF_NONE_MATCH", "If-Match": "HTTP_IF_MATCH"}
STATUSES = {400: "400 Bad Request", 501: "501 Not Implemented"}
CODES = {400: "InvalidArgument", 501: "NotImplemented"}


class ConditionalS3:
    """A WSGI application in front of moto's S3 service.

    Attributes:
        ignored: Conditional headers that the service ignores.
        rejected: {conditional header: status with which the service rejects a PUT that has it}.
        puts: Number of PUT requests.
    """

    def __init__(self):
        self.ignored, self.rejected, self.puts = (), {}, 0
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ, start_response):
        """Answer a request."""
        if environ["REQUEST_METHOD"] == "PUT":
            self.puts += 1
            for header in self.ignored:
                environ.pop(HEADERS[header], None)
            for header, status in self.rejected.items():
                if HEADERS[header] in environ:
                    start_response(STATUSES[status], [("Content-Type", "application/xml")])
                    return [f"<Error><Code>{CODES[status]}</Code><Message>header</Message></Error>".encode()]
        return self._moto(environ, start_response)


@contextmanager
def running_conditional_s3() -> Iterator[tuple[ConditionalS3, dict[str, str]]]:
    """Run the server in a thread, without a check of signatures. Yields it and the AWS_* variables of its user."""
    application = ConditionalS3()
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_REGION": "eu-north-1",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }
    try:
        client_of(variables).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": variables["AWS_REGION"]}
        )
        yield application, variables
    finally:
        open_root.cache_clear()  # drops cached clients, because the next server has a bucket of the same name
        server.shutdown()
        thread.join()
