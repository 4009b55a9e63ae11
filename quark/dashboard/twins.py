"""The JSON twin of a page: the route of the API that has what the page at an address shows."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from ..records.identifiers import is_id

API = "/api/v1"
_KINDS = {"layers": "layer", "alerts": "alert", "system": "telemetry", "logs": "event", "artifacts": "artifact"}
"""The records that the tabs of a run show."""


def twin_of(path: str, query: Mapping[str, Sequence[str]]) -> str | None:
    """The address of the JSON of a page, on this server; None for a page that has none.

    Args:
        path: the path of the page, decoded.
        query: the parameters behind it, decoded.
    """
    page, *rest = path.removeprefix("/").split("/")
    if page == "r":
        return _of_run(*rest[:3])
    if page == "p":
        return f"{API}/runs?{urlencode({'project': '/'.join(rest)})}"
    if page == "c":
        runs = [run for text in query.get("runs", ()) for run in text.split(",") if run]
        return f"{API}/runs?{urlencode({'ids': runs}, doseq=True)}" if runs else None
    if page == "v":
        name, project = "/".join(rest), query.get("project", [""])[0]
        return f"{API}/views/{quote(name, safe='')}?{urlencode({'project': project})}" if name.strip(".") else None
    return f"{API}/projects"


def _of_run(run: str = "", tab: str = "", number: str = "") -> str | None:
    if not is_id(run):  # such as "..", which a client would resolve to another route
        return None
    if tab not in _KINDS:
        return f"{API}/runs/{run}"
    records = f"{API}/runs/{run}/records/{_KINDS[tab]}"
    if tab == "alerts" and number.isdecimal() and int(number[:9]) > 0:
        return f"{records}?{urlencode({'offset': int(number[:9]) - 1, 'limit': 1})}"
    return records


def wants_json(query: Mapping[str, Sequence[str]], accept: str) -> bool:
    """Whether a request for a page asks for its data: by ``?format=json``, or as one that takes JSON and no HTML."""
    return "json" in query.get("format", ()) or ("application/json" in accept and "text/html" not in accept)
