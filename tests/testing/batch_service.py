"""A batch service that answers request files as OpenAI's does, with faults."""

import json

from ranking.storage.folder import Folder


def requests_in(folder, name):
    """Read the requests of a batch file."""
    return [json.loads(line) for line in (Folder(folder) / "batch" / "requests").read_text(name).splitlines()]


def result(request, body):
    """Make the line of a result file for a request."""
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": "x", "custom_id": request["custom_id"], "response": response, "error": None}


def failure(request, status=None, code="batch_expired", message="expired"):
    """Make the line of an error file: with a status if the request was processed, else without a response."""
    error = {"code": code, "message": message}
    response = {"status_code": status, "request_id": "r", "body": {"error": error}} if status else None
    return {"id": "x", "custom_id": request["custom_id"], "response": response, "error": None if status else error}


def put_results(folder, name, lines):
    """Write a result file. A line may be an object or text."""
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    (Folder(folder) / "batch" / "results").write_text(name, text)
