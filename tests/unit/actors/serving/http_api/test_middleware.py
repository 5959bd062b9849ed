"""What the service decides from headers, how it reads bodies, and the headers of its responses."""

import asyncio
import hashlib
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from actors.serving.http_api.body_reader import BodyReader
from actors.serving.http_api.hosts import AllowedHosts
from actors.serving.http_api.json_route import JsonRoute
from actors.serving.http_api.keys import ApiKeys
from actors.serving.http_api.middleware import SECURITY_HEADERS, AccessMiddleware, AccessPolicy, caller_of
from actors.serving.serving_settings import LimitSettings

LIMITS = LimitSettings(max_body_bytes=2000, body_seconds=0.2, max_bytes_in_memory=3000, max_requests_per_key=2)
JSON = [(b"content-type", b"application/json"), (b"host", b"localhost:8000")]
KEY = (b"authorization", b"Bearer abc")


class RecordedMetrics:
    def __init__(self):
        self.responses = []

    def record_response(self, route, status, seconds):
        self.responses.append((route, status))


class Numbers(BaseModel):
    numbers: list[int]


def application():
    api = FastAPI(redirect_slashes=False)
    api.router.route_class = JsonRoute
    api.add_middleware(AccessMiddleware)

    @api.post("/v1/rerank")
    async def rerank(body: Numbers, caller: Annotated[str, Depends(caller_of)]) -> dict[str, str | int]:
        return {"caller": caller, "sum": sum(body.numbers)}

    @api.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @api.get("/page/queries")
    async def queries(caller: Annotated[str, Depends(caller_of)]) -> dict[str, str]:
        return {"caller": caller}

    return api


class Client:
    """Calls the application through ASGI and records how many messages of the body it reads."""

    def __init__(self, keys=None, hosts=None):
        self.metrics = RecordedMetrics()
        self.bodies = BodyReader(LIMITS, keys is not None)
        AccessMiddleware.policy = AccessPolicy(
            keys, AllowedHosts(hosts, keys is not None), LIMITS, self.bodies, self.metrics
        )
        self.app = application()

    async def call(self, path="/v1/rerank", headers=(), body=(b"{}",), method="POST", after_body="disconnect"):
        """Return status, headers, body, and the number of body messages that were read."""
        sent, messages, reads = [], list(body), 0

        async def receive():
            nonlocal reads
            if messages:
                reads += 1
                more = len(messages) > 1 or after_body == "silence"
                return {"type": "http.request", "body": messages.pop(0), "more_body": more}
            if after_body == "silence":
                await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(headers),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        await self.app(scope, receive, send)
        if not sent:
            return None, {}, b"", reads
        text = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], {name.decode(): v.decode() for name, v in sent[0]["headers"]}, text, reads

    def get_result(self, *args, **kwargs):
        return asyncio.run(self.call(*args, **kwargs))


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "keys").write_text(f"web {hashlib.sha256(b'abc').hexdigest()}\n")
    keys = ApiKeys(str(tmp_path / "keys"))
    yield keys
    keys.close()


def test_a_request_without_key_is_refused_before_its_body_is_read(keys):
    client = Client(keys)
    for headers in (JSON, [*JSON, (b"authorization", b"Bearer wrong")], [(b"host", b"localhost")]):
        status, response, text, reads = client.get_result(headers=headers, body=[b"not json"], after_body="silence")
        assert (status, response["www-authenticate"], reads) == (401, "Bearer", 0)
        assert b"the API key is missing or unknown" in text
    assert client.get_result("/page/queries", JSON, method="GET")[0] == 401
    assert client.get_result("/nothing", JSON, body=[b"x"])[::3] == (401, 0)


def test_a_request_with_a_key_knows_its_caller(keys):
    status, _, text, _ = Client(keys).get_result(headers=[*JSON, KEY], body=[b'{"num', b'bers": [1, 2]}'])
    assert (status, text) == (200, b'{"caller":"web","sum":3}')
    assert Client(keys).get_result("/page/queries", [*JSON, KEY], method="GET")[2] == b'{"caller":"web"}'


@pytest.mark.parametrize("body", [[b'{"numbers": ['], []])
def test_an_incomplete_body_gets_408_and_frees_its_memory(body):
    client = Client()
    status, response, text, _ = client.get_result(headers=JSON, body=body, after_body="silence")
    assert (status, response["connection"]) == (408, "close")
    assert b"not complete within 0.2 s (serving.limits.body_seconds)" in text
    assert client.bodies.bytes_in_memory == 0


def test_bodies_above_the_limit_get_413_early(keys):
    client = Client()
    declared = client.get_result(headers=[*JSON, (b"content-length", b"2001")], after_body="silence")
    assert (declared[0], declared[3]) == (413, 0)
    streamed = client.get_result(headers=JSON, body=[b"x" * 1000] * 10)
    assert (streamed[0], streamed[3]) == (413, 3)


def test_bytes_in_memory_are_limited_for_all_and_per_key(keys):
    async def together(client, headers, count):
        calls = (client.call(headers=headers, body=[b"x" * 1200], after_body="silence") for _ in range(count))
        return sorted([result[0] for result in await asyncio.gather(*calls)])

    assert asyncio.run(together(Client(), JSON, 4)) == [408, 408, 429, 429]
    client = Client(keys)
    assert asyncio.run(together(client, [*JSON, KEY], 2)) == [408, 429]  # half of the memory per key
    assert client.bodies.bytes_in_memory == 0


def test_a_key_cannot_send_more_bodies_at_once_than_requests(keys):
    async def together(client):
        calls = (client.call(headers=[*JSON, KEY], body=[b"x"], after_body="silence") for _ in range(5))
        return sorted([result[0] for result in await asyncio.gather(*calls)])

    assert asyncio.run(together(Client(keys))) == [408, 408, 429, 429, 429]


def test_a_client_that_disconnects_is_counted_as_closed():
    client = Client()
    assert client.get_result(headers=JSON, body=[])[0] is None
    assert client.metrics.responses == [("/v1/rerank", 499)]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"chunked"), (b"content-length", b"2")],
        [(b"content-length", b"2"), (b"content-length", b"3")],
        [(b"transfer-encoding", b"gzip, chunked")],
    ],
)
def test_contradictory_lengths_are_refused(headers):
    status, response, _, reads = Client().get_result(headers=[*JSON, *headers])
    assert (status, response["connection"], reads) == (400, "close", 0)


@pytest.mark.parametrize(
    ("names", "with_keys", "accepted", "refused"),
    [
        (None, False, ["localhost:8000", "127.0.0.1", "[::1]:8000", "rerank", "a.ns.svc", "LOCALHOST."],
         ["attacker.example", "attacker.example:8000", "127.0.0.1.nip.io", ""]),
        (None, True, ["attacker.example", "rank.example.com"], []),
        (["rank.example.com", "*.internal.example"], False, ["rank.example.com:443", "a.internal.example"],
         ["localhost", "example.com", "xinternal.example"]),
        (["*"], False, ["attacker.example"], []),
    ],
)  # fmt: skip
def test_host_header(names, with_keys, accepted, refused):
    hosts = AllowedHosts(names, with_keys)
    assert [host for host in accepted if not hosts.accepts(host)] == []
    assert [host for host in refused if hosts.accepts(host)] == []


def test_a_foreign_host_is_refused_except_for_probes():
    client = Client()
    foreign = [(b"host", b"attacker.example"), JSON[0]]
    status, _, text, reads = client.get_result(headers=foreign, after_body="silence")
    assert (status, reads) == (400, 0)
    assert b"serving.allowed_hosts" in text
    assert client.get_result("/health", foreign, method="GET")[0] == 200


def test_a_trailing_slash_is_no_redirect():
    status, response, _, _ = Client().get_result("/v1/rerank/", JSON, body=[b'{"numbers": [1]}'])
    assert (status, response.get("location")) == (200, None)


def test_every_response_has_security_headers(keys):
    client = Client(keys)
    for result in (
        client.get_result("/health", JSON, method="GET"),
        client.get_result(headers=JSON),
        client.get_result("/nothing", [*JSON, KEY], method="GET"),
    ):
        assert SECURITY_HEADERS.items() <= result[1].items()


@pytest.mark.parametrize("body", [b"{", b'{"numbers": ["x"]}', b'{"numbers": ' + b"[" * 1500])
def test_invalid_bodies_get_422(body):
    assert Client().get_result(headers=JSON, body=[body[:1000], body[1000:]])[0] == 422
