"""The routes of the pages: one document for every page's address, and the files that it loads.

Neither holds anything of a run, so they need no key; what the pages show they ask of the API, which does.
"""

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from .assets import INDEX, Asset, assets
from .policy import PAGE_HEADERS

ADDRESSES = ["/", "/c", "/p/{_:path}", "/r/{_:path}", "/v/{_:path}"]
"""Home, compare, a project, a run with its tabs, a saved view: the page itself reads the address."""


@get(ADDRESSES, opt={"scope": "open"}, include_in_schema=False)
async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The document of all pages."""
    return _answer(request, assets()[INDEX])


@get("/static/{name:str}", opt={"scope": "open"}, include_in_schema=False)
async def static_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """A file of the pages."""
    asset = assets().get(name)
    if asset is None:
        return Response(b"there is no such file", status_code=404, media_type="text/plain", headers=PAGE_HEADERS)
    return _answer(request, asset)


def _answer(request: Request[Any, Any, Any], asset: Asset) -> Response[bytes]:
    headers = {**PAGE_HEADERS, "ETag": asset.etag, "Cache-Control": asset.cache_control, "Vary": "Accept-Encoding"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if asset.etag in known:
        return Response(b"", status_code=304, headers=headers)
    wanted = [part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")]
    if asset.packed is not None and "gzip" in wanted:
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.media_type, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


PAGES: list[Any] = [page, static_file]
