"""The API documentation at /docs: Swagger UI from this server, without scripts of third parties."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#api", deepLinking: true});\n'
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>rradistill API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""


def add_api_docs(api: FastAPI) -> None:
    """Add the routes /docs and /docs/<file>. The files are those of the package fastapi-offline."""
    folder = Path(fastapi_offline.__file__).parent / "static"

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"content-security-policy": CONTENT_SECURITY_POLICY})

    @api.get("/docs/{name}", include_in_schema=False)
    async def docs_file(name: str) -> Response:
        if name == "start.js":
            return Response(_START, media_type="text/javascript")
        if name not in _FILES:
            raise HTTPException(404, "no such file")
        return FileResponse(folder / name, media_type=_FILES[name])
