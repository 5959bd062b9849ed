"""The search page in Chromium, on the service's own routes in this process."""

from contextlib import contextmanager
from urllib.parse import urlsplit

ADDRESS = "http://localhost:8000/"


@contextmanager
def opened(browser, client, path="", width=1200, scheme="light", height=900):
    """Yield the page and a list of its errors. Requests are answered by a client of `http_client`."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**", lambda route: answer(route, client, errors))
    page.goto(ADDRESS + path)
    yield page, errors
    page.close()


def answer(route, client, errors):
    """Answer one request of the page with the service's response."""
    request = route.request
    parts = urlsplit(request.url)
    if f"{parts.scheme}://{parts.netloc}/" != ADDRESS:
        errors.append(f"request to {request.url}")
        route.abort()
        return
    headers = {name: value for name, value in request.headers.items() if name != "content-length"}
    response = client.request(request.method, request.url, content=request.post_data_buffer, headers=headers)
    route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.content)
