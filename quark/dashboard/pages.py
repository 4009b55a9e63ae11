"""The routes of the pages: one document for every page's address, and the files that it loads.

Neither holds anything of a run, so they need no key; what the pages show they ask of the API, which does. A program
that asks for the JSON of a page is sent to the route of the API that has it.
"""

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from .assets import INDEX, Asset, assets
from .policy import DATA_HEADERS, PAGE_HEADERS
from .twins import twin_of, wants_json

ADDRESSES = ["/", "/c", "/p/{_:path}", "/r/{_:path}", "/v/{_:path}"]
"""Home, compare, a project, a run with its tabs, a saved view: the page itself reads the address."""


@get(ADDRESSES, opt={"scope": "open"}, include_in_schema=False)
async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The document of all pages, or where the JSON of this one is."""
    query = request.query_params.dict()
    if wants_json(query, request.headers.get("accept", "")):
        return _twin(twin_of(request.scope["path"], query))
    return _answer(request, assets()[INDEX])


@get("/static/{name:str}", opt={"scope": "open"}, include_in_schema=False)
async def static_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """A file of the pages."""
    asset = assets().get(name)
    if asset is None:
        return Response(b"there is no such file", status_code=404, media_type="text/plain", headers=PAGE_HEADERS)
    return _answer(request, asset)


def _twin(address: str | None) -> Response[bytes]:
    headers = {**DATA_HEADERS, "Vary": "Accept", "Cache-Control": "no-cache"}
    if address is None:
        content = b'{"error":{"code":"not_found","message":"this page has no JSON; name a run, or runs to compare"}}'
        return Response(content, status_code=404, media_type="application/json", headers=headers)
    return Response(b"", status_code=307, media_type="application/json", headers={**headers, "Location": address})


def _answer(request: Request[Any, Any, Any], asset: Asset) -> Response[bytes]:
    vary = {"Vary": "Accept, Accept-Encoding"}
    headers = {**PAGE_HEADERS, **vary, "ETag": asset.etag, "Cache-Control": asset.cache_control}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if asset.etag in known:
        return Response(b"", status_code=304, headers=headers)
    wanted = [part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")]
    if asset.packed is not None and "gzip" in wanted:
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.media_type, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


PAGES: list[Any] = [page, static_file]
