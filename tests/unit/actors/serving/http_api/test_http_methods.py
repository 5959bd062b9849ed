"""HEAD, preflight requests of browsers, content types and trailing slashes, on the service's own routes."""

import hashlib

import pytest

from actors.serving.http_api.application import api
from actors.serving.http_api.middleware import SECURITY_HEADERS
from actors.serving.serving_settings import ServingSettings
from tests.testing.http_service import http_client

SHOP = "https://shop.example.com"
BODY = {"query": "bread", "documents": ["river stone", "bread dough"]}
PREFLIGHT = {
    "origin": SHOP,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-experiment-key",
}


@pytest.fixture
def client(tmp_path):
    with http_client(tmp_path) as client:
        yield client


@pytest.fixture
def shop_client(tmp_path):
    (tmp_path / "keys").write_text(f"web {hashlib.sha256(b'abc').hexdigest()}\n")
    with http_client(tmp_path, keys=str(tmp_path / "keys"), allowed_origins=[SHOP]) as client:
        yield client


def get_routes():
    """Return the paths that answer GET without parameters."""
    paths = [route.path for route in api.routes if "GET" in route.methods and "{" not in route.path]
    return [path for path in paths if not path.startswith("/page/")]  # they need a collection


def test_head_is_get_without_the_body(client):
    assert {"/", "/health", "/ready", "/v1/models", "/docs", "/openapi.json"} <= set(get_routes())
    for path in (*get_routes(), "/docs/start.js", "/docs/swagger-ui.css"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers["content-length"] == str(len(get.content))
        assert SECURITY_HEADERS.keys() <= head.headers.keys()
    assert [client.head(path).status_code for path in ("/v1/rerank", "/nothing")] == [405, 404]


def test_head_of_the_collection_needs_a_key(shop_client):
    assert shop_client.head("/page/queries").status_code == 401


def test_no_origin_is_allowed_by_default(client):
    response = client.options("/v1/rerank", headers=PREFLIGHT)
    assert response.status_code == 405
    answer = client.post("/v1/rerank", json=BODY, headers={"origin": SHOP})
    assert answer.status_code == 200
    assert not [name for name in (*response.headers, *answer.headers) if name.startswith("access-control")]


def test_a_preflight_needs_no_key_and_its_body_is_not_read(shop_client):
    def body():
        raise AssertionError("the body was read")
        yield b""

    response = shop_client.options("/v1/rerank", headers=PREFLIGHT)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == SHOP
    assert "x-experiment-key" in response.headers["access-control-allow-headers"]
    assert SECURITY_HEADERS.items() <= response.headers.items()
    huge = shop_client.options("/v1/rerank", headers={**PREFLIGHT, "content-length": str(2**40)})
    assert huge.status_code == 200
    foreign = shop_client.options("/v1/rerank", headers={**PREFLIGHT, "origin": "https://attacker.example"})
    assert foreign.status_code == 400
    assert "access-control-allow-origin" not in foreign.headers


def test_pages_of_an_allowed_origin_can_read_answers_and_errors(shop_client):
    headers = {"origin": SHOP, "authorization": "Bearer abc"}
    answer = shop_client.post("/v1/rerank", json=BODY, headers=headers)
    refused = shop_client.post("/v1/rerank", json=BODY, headers={"origin": SHOP})
    invalid = shop_client.post("/v1/rerank", json={}, headers=headers)
    assert [response.status_code for response in (answer, refused, invalid)] == [200, 401, 422]
    for response in (answer, refused, invalid):
        assert response.headers["access-control-allow-origin"] == SHOP
        assert "x-model-version" in response.headers["access-control-expose-headers"]
    foreign = shop_client.post("/v1/rerank", json=BODY, headers={**headers, "origin": "https://attacker.example"})
    assert "access-control-allow-origin" not in foreign.headers


def test_a_preflight_to_a_foreign_host_is_refused(tmp_path):
    with http_client(tmp_path, allowed_origins=["*"]) as client:
        assert client.options("/rerank", headers={**PREFLIGHT, "host": "attacker.example"}).status_code == 400
        assert client.options("/rerank", headers=PREFLIGHT).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("origin", ["shop.example.com", "https://shop.example.com/", "https://Shop.example.com", ""])
def test_origins_are_as_browsers_send_them(origin):
    with pytest.raises(ValueError, match="is not an origin; expected scheme and host"):
        ServingSettings(allowed_origins=[origin])
    assert ServingSettings(allowed_origins=["*", SHOP, "http://localhost:3000", "http://[::1]"]).allowed_origins


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "application/json;charset=UTF-8"}, 200),
        ({"content-type": "application/vnd.api+json"}, 200),
        ({"content-type": "text/plain"}, 422),
        ({"content-type": "application/x-www-form-urlencoded"}, 422),
        ({"origin": SHOP}, 422),  # a browser sends such a body without a preflight request
    ],
)
@pytest.mark.parametrize("route", ["/rerank", "/v1/rerank", "/v2/rerank/"])
def test_a_body_without_content_type_is_json_unless_a_page_sent_it(client, route, headers, status):
    response = client.post(route, content=b'{"query": "bread", "documents": ["bread"]}', headers=headers)
    assert response.status_code == status
    if status == 422:
        assert response.json()["message"].startswith("the content type is not JSON; send the header")
