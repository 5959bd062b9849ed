"""The HTTP side of the service: who may send what, request and response formats, documentation and the search page."""
