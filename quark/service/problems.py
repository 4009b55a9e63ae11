"""The one shape of every error: ``{"error": {"code", "message", "field"?, "index"?}}``."""

import errno
import logging
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from ..errors import InvalidRunStateError, RunNotFoundError, SchemaValidationError, SessionStoreError, WrongTypeError

logger = logging.getLogger("quark.service")

_CODES = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    408: "too_slow", 409: "conflict", 411: "length_required", 413: "too_large", 415: "unsupported_media_type",
    416: "range_not_satisfiable", 422: "invalid", 429: "too_many_requests", 500: "internal", 503: "unavailable",
    507: "disk_full",
}  # fmt: skip
_STORE_STATUS = {
    "sequence_gap": 409, "disk_full": 507, "busy": 503, "unavailable": 503, "read_only": 503, "disk_error": 503,
    "cannot_open": 503, "damaged": 500, "database": 500,
}  # fmt: skip

_DISK = {
    errno.ENOSPC: (507, "disk_full"), errno.EDQUOT: (507, "disk_full"), errno.EROFS: (503, "read_only"),
    errno.EACCES: (503, "read_only"), errno.EIO: (503, "disk_error"), errno.EMFILE: (503, "busy"),
    errno.ENFILE: (503, "busy"), errno.ELOOP: (503, "linked"), errno.ENOTDIR: (503, "linked"),
}  # fmt: skip
"""What files of the service may run into. A link or a file in the place of a directory is not followed."""


NOT_THERE = "there is no such run or project, or this key does not reach it"
"""The same words for both, so that nobody can tell them apart."""


class ProblemError(Exception):
    """A request that cannot be served, with everything that its sender is told."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, field: str | None = None,
        index: int | None = None, headers: dict[str, str] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.content: dict[str, Any] = {"code": code or _CODES.get(status, "error"), "message": message, **more}
        if field is not None:
            self.content["field"] = field
        if index is not None:
            self.content["index"] = index


def not_there() -> ProblemError:
    """What is said of a run or project that is not there for a key."""
    return ProblemError(404, NOT_THERE, code="run_not_found")


def problem_of(error: Exception) -> ProblemError:
    """What the sender is told of an error; one that is ours is logged, and told without its details."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RunNotFoundError):
        return not_there()
    if isinstance(error, InvalidRunStateError):
        return ProblemError(409, str(error), code="invalid_run_state")
    if isinstance(error, SessionStoreError):
        status = error.status or _STORE_STATUS.get(error.code or "", 503)
        if status >= 500 and error.code != "busy":
            logger.error("the store failed: %s", error)
        waits = {"Retry-After": "1"} if status in (503, 507) else {}
        # Its text names files and databases of ours, which are nobody's business.
        told = str(error) if status < 500 else f"the store could not do it ({error.code or 'unavailable'}); try again"
        return ProblemError(status, told, code=error.code, headers=waits)
    if isinstance(error, (SchemaValidationError, WrongTypeError)):
        return ProblemError(422, str(error))
    if isinstance(error, OverflowError):
        return ProblemError(400, "a number of the request is out of range")
    if isinstance(error, OSError) and error.errno in _DISK:
        logger.error("the disk failed: %s", error)
        status, code = _DISK[error.errno]
        return ProblemError(status, f"the service could not store it ({code}); try again", code=code,
                            headers={"Retry-After": "1"})  # fmt: skip
    if isinstance(error, RecursionError):  # only decoders go as deep as what they are given
        return ProblemError(400, "the JSON is nested too deeply")
    if isinstance(error, ValidationException):
        return _bad_request(error)
    if isinstance(error, HTTPException):
        return ProblemError(error.status_code, error.detail, headers=dict(error.headers or {}))
    logger.exception("quark: a request failed", exc_info=error)
    return ProblemError(500, "the service failed on this request; its log says why")


def _bad_request(error: ValidationException) -> ProblemError:
    """The first of what is wrong with the fields of a request."""
    causes = error.extra if isinstance(error.extra, list) else []
    found = causes[0] if causes and isinstance(causes[0], dict) else {}
    message, key = str(found.get("message") or error.detail), found.get("key")
    if message == repr(key):  # the text of a KeyError
        message = "the request needs a JSON object as its body" if key == "data" else f"{key} is missing"
    return ProblemError(400, message, field=key)


def answer_bytes(problem: ProblemError) -> bytes:
    """The body of the response to a problem."""
    return msgspec.json.encode({"error": problem.content})


def answer(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """The response to an error, of whose frames nothing is kept."""
    problem = problem_of(error)
    _forget_frames(error)
    return Response({"error": problem.content}, status_code=problem.status, headers=problem.headers)


def _forget_frames(error: BaseException | None) -> None:
    """Let go of what the functions held that raised an error, such as a whole body, without waiting for the collector.

    A thread's errors come through a future, which the traceback of the same error holds: a cycle.
    """
    while error is not None:
        error.__traceback__, error = None, error.__cause__ or error.__context__
