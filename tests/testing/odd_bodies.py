"""Generate malformed requests: broken JSON, wrong types, odd characters, huge and deeply nested bodies.

The same seed generates the same requests.
"""

import json
import random

ROUTES = ("/v1/rerank", "/v2/rerank", "/rerank", "/v1/feedback")
FIELDS = {
    "/v1/rerank": (
        "query",
        "documents",
        "top_n",
        "top_k",
        "return_documents",
        "rank_fields",
        "max_tokens_per_doc",
        "raw_scores",
        "truncate",
        "first_stage",
        "model",
        "instruction",
    ),
    "/rerank": ("query", "texts", "documents", "top_n", "raw_scores", "return_text", "truncate", "model"),
    "/v1/feedback": ("exposure_id", "kind", "position", "seconds", "event_id"),
}
FIELDS["/v2/rerank"] = FIELDS["/v1/rerank"]
TEXTS = (
    "",
    " ",
    "plain words",
    "\x00",
    "a\x00b",
    "\u202eright to left",
    "e\u0301" * 30,
    "\u200d" * 20,
    "\U0001f469\u200d\U0001f680",
    "\ufeffmark",
    "\ud800",
    "half \udfff of a character",
    "\U0010ffff",
    "ᄒ" * 50,
    "ß" * 300,
    "[SEP] [CLS] [PAD] [MASK]",
    "<script>alert(1)</script>",
    "'; drop table documents; --",
    "%s %n {0} ${x}",
    "../../etc/passwd",
    "\n\r\t" * 20,
    "word " * 3000,
    "x" * 100_000,
)
NUMBERS = (0, 1, -1, 2, 3.5, -0.0, 2**31, 2**31 + 1, 2**63, -(2**64), 10**400, 1e308, float("inf"), float("nan"))
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "multipart/form-data",
    "",
    "application/json;;;",
)


def random_value(rng, depth=0):
    """Return a random JSON value."""
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return rng.choice(TEXTS)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind == 4:
        return rng.choice((None, True, False))
    if kind < 7:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(6))]
    return {rng.choice(("text", "title", "id", "x", "")): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def valid_body(rng, route):
    """Return the fields of a valid body for a route, with unusual texts."""
    if route == "/v1/feedback":
        return {
            "exposure_id": rng.choice(TEXTS),
            "kind": rng.choice(("click", "dwell")),
            "position": rng.choice(NUMBERS),
        }
    name = rng.choice(("texts", "documents")) if route == "/rerank" else "documents"
    return {"query": rng.choice(TEXTS), name: [rng.choice(TEXTS[:-2]) for _ in range(rng.randrange(5))]}


def random_body(rng, route):
    """Return a body: valid, with invalid fields, deeply nested, random bytes, or huge. Corrupts half of the bodies."""
    kind = rng.randrange(10)
    fields = valid_body(rng, route)
    if kind < 3:  # one field has a random value
        fields[rng.choice(FIELDS[route])] = random_value(rng)
    elif kind < 5:  # all fields have random values
        fields = {name: random_value(rng) for name in FIELDS[route] if rng.random() < 0.7}
    elif kind == 5:
        fields = random_value(rng)
    elif kind == 6:
        depth = rng.choice((10, 500, 5000, 100_000))
        return (
            (b'{"query": "q", "documents": ' if rng.random() < 0.5 else b"")
            + b"[" * depth
            + b"]" * rng.choice((0, depth))
        )
    elif kind == 7:
        return rng.randbytes(rng.choice((0, 1, 30, 2000)))
    elif kind == 8 and rng.random() < 0.1:
        return b'{"query": "' + b"x" * rng.choice((400_000, 600_000, 3_000_000)) + b'"}'
    text = json.dumps(fields, ensure_ascii=rng.random() < 0.5)
    body = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:
        return body
    for _ in range(rng.randrange(1, 4)):
        position = rng.randrange(len(body) + 1)
        change = rng.randrange(4)
        if change == 0:
            body = body[:position]
        elif change == 1:
            body = body[:position] + rng.randbytes(rng.randrange(1, 4)) + body[position:]
        elif change == 2:
            body = body[:position] + body[position + rng.randrange(1, 9) :]
        else:
            body = (
                body[:position]
                + rng.choice((b'"', b"{", b"]", b",", b"\\u", b"\\ud800", b"NaN", b"//", b"\x00"))
                + body[position:]
            )
    return body


def odd_requests(count, seed=1):
    """Yield the route, body and headers of `count` requests."""
    rng = random.Random(seed)
    for _ in range(count):
        route = rng.choice(ROUTES)
        headers = {"content-type": rng.choice(CONTENT_TYPES) if rng.random() < 0.2 else "application/json"}
        if rng.random() < 0.1:
            headers["x-experiment-key"] = rng.choice(("k", "x" * 5000, "%00", "ÿ".encode().decode("latin-1")))
        yield route, random_body(rng, route), headers
