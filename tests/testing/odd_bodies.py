"""Requests as nobody should send them: broken JSON, wrong types, odd characters, huge and deep bodies. The same for the same seed."""

import json
import random

ROUTES = ("/v1/rerank", "/v2/rerank", "/rerank", "/v1/feedback")
FIELDS = {
    "/v1/rerank": ("query", "documents", "top_n", "return_documents", "max_tokens_per_doc", "model"),
    "/rerank": ("query", "texts", "raw_scores", "return_text", "truncate"),
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


def value(draw, depth=0):
    """Any JSON value."""
    kind = draw.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return draw.choice(TEXTS)
    if kind < 4:
        return draw.choice(NUMBERS)
    if kind == 4:
        return draw.choice((None, True, False))
    if kind < 7:
        return [value(draw, depth + 1) for _ in range(draw.randrange(6))]
    return {draw.choice(("text", "title", "id", "x", "")): value(draw, depth + 1) for _ in range(draw.randrange(4))}


def fitting(draw, route):
    """A body that a route takes, with texts of all sorts."""
    if route == "/v1/feedback":
        return {
            "exposure_id": draw.choice(TEXTS),
            "kind": draw.choice(("click", "dwell")),
            "position": draw.choice(NUMBERS),
        }
    name = "texts" if route == "/rerank" else "documents"
    return {"query": draw.choice(TEXTS), name: [draw.choice(TEXTS[:-2]) for _ in range(draw.randrange(5))]}


def body(draw, route):
    """A body as bytes."""
    kind = draw.randrange(10)
    held = fitting(draw, route)
    if kind < 3:  # one field is anything
        held[draw.choice(FIELDS[route])] = value(draw)
    elif kind < 5:  # all are
        held = {name: value(draw) for name in FIELDS[route] if draw.random() < 0.7}
    elif kind == 5:
        held = value(draw)
    elif kind == 6:
        depth = draw.choice((10, 500, 5000, 100_000))
        return (
            (b'{"query": "q", "documents": ' if draw.random() < 0.5 else b"")
            + b"[" * depth
            + b"]" * draw.choice((0, depth))
        )
    elif kind == 7:
        return draw.randbytes(draw.choice((0, 1, 30, 2000)))
    elif kind == 8 and draw.random() < 0.1:
        return b'{"query": "' + b"x" * draw.choice((400_000, 600_000, 3_000_000)) + b'"}'
    text = json.dumps(held, ensure_ascii=draw.random() < 0.5)
    found = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.5:
        return found
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(len(found) + 1)
        change = draw.randrange(4)
        if change == 0:
            found = found[:place]
        elif change == 1:
            found = found[:place] + draw.randbytes(draw.randrange(1, 4)) + found[place:]
        elif change == 2:
            found = found[:place] + found[place + draw.randrange(1, 9) :]
        else:
            found = (
                found[:place]
                + draw.choice((b'"', b"{", b"]", b",", b"\\u", b"\\ud800", b"NaN", b"//", b"\x00"))
                + found[place:]
            )
    return found


def odd_requests(count, seed=1):
    """Route, body and headers of each."""
    draw = random.Random(seed)
    for _ in range(count):
        route = draw.choice(ROUTES)
        headers = {"content-type": draw.choice(CONTENT_TYPES) if draw.random() < 0.2 else "application/json"}
        if draw.random() < 0.1:
            headers["x-experiment-key"] = draw.choice(("k", "x" * 5000, "%00", "ÿ".encode().decode("latin-1")))
        yield route, body(draw, route), headers
