"""Every error as a problem document (RFC 9457): what happened, and what to do next."""

from __future__ import annotations

import errno
import logging
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from ..errors import (
    DiskFull,
    EngineDown,
    EngineRefused,
    IllegalTransition,
    LedgerError,
    NotFound,
    NotReadable,
    Rejected,
    ZoetropeError,
    is_disk_full,
)
from ..gpu.client import HelperDown
from ..gpu.faults import GpuError
from ..inbox.request_key import KeyReused

LOG = logging.getLogger(__name__)

# The key says which problem it is; there is no page about each to point to, so none is made up.
BLANK = "about:blank"

STATUSES: dict[type[ZoetropeError], int] = {
    Rejected: 422,
    NotReadable: 409,
    NotFound: 404,
    IllegalTransition: 409,
    EngineDown: 503,
    EngineRefused: 502,
    LedgerError: 503,
    DiskFull: 507,
    HelperDown: 503,
    GpuError: 409,
    KeyReused: 422,
}


class BadRequest(ZoetropeError):
    """The request itself cannot be understood."""

    key = "bad-request"


class TooLarge(ZoetropeError):
    """The upload is larger than the settings allow."""

    key = "too-large"


class Forbidden(ZoetropeError):
    """The request comes from a host or an origin that is not allowed."""

    key = "forbidden"


class Unauthorized(ZoetropeError):
    """The request needs the token and has none, or a wrong one."""

    key = "token"


class TooManyGuesses(ZoetropeError):
    """The token was wrong too often where the request comes from."""

    key = "too-many-guesses"

    def __init__(self, sentence: str, next_step: str, *, seconds: int) -> None:
        super().__init__(sentence, next_step)
        self.seconds = seconds


class LintBusy(ZoetropeError):
    """So many lints wait already that another one would wait too long."""

    key = "lint-busy"


class WrongType(ZoetropeError):
    """The body has a media type that this address does not support."""

    key = "media-type"


class BadRange(ZoetropeError):
    """The request asks for a part outside the file."""

    key = "range"

    def __init__(self, asked: str, size: int) -> None:
        super().__init__(
            f"The Range {asked[:100]!r} is outside the file of {size} bytes.",
            f"Ask for bytes=0-{max(0, size - 1)}, or a part of it.",
        )
        self.size = size


STATUSES |= {BadRequest: 400, TooLarge: 413, Forbidden: 403, Unauthorized: 401}
STATUSES |= {WrongType: 415, BadRange: 416, TooManyGuesses: 429, LintBusy: 503}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document; `key` is for programs, `detail` and `next_step` are for people."""

    type: str
    title: str
    status: int
    detail: str
    key: str
    next_step: str = ""
    job: str = ""  # the earlier job that a duplicate would repeat


def problem(error: BaseException) -> Problem:
    """Turn an error into its problem document."""
    if isinstance(error, web.HTTPException):
        return Problem(
            type=BLANK,
            title=error.reason,
            status=error.status,
            detail=_http_detail(error),
            key=error.reason.lower().replace(" ", "-"),
        )
    if not isinstance(error, ZoetropeError) and is_disk_full(error):
        error = DiskFull(
            "The disk is full.", "Free some space on the disks of the inbox and the state folder."
        )
    if isinstance(error, ZoetropeError):
        status = next(
            (status for kind, status in STATUSES.items() if isinstance(error, kind)),
            500,
        )
        # Some keys have a status of their own.
        own = {"duplicate": 409, "gpu-not-found": 404, "job-unreadable": 500}
        status = own.get(error.reason.key, status)
        return Problem(
            type=BLANK,
            title=HTTPStatus(status).phrase,
            status=status,
            detail=_text(error.reason.sentence),
            key=error.reason.key,
            next_step=error.reason.next_step,
            job=getattr(error, "job", ""),
        )
    return Problem(
        type=BLANK,
        title=HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
        status=500,
        detail="An unexpected error occurred.",
        key="unexpected",
        next_step="Read the traceback in the service's log: journalctl -u zoetrope -e",
    )


def answer(found: Problem) -> web.Response:
    """Make the response that carries a problem document."""
    response = web.Response(
        status=found.status,
        body=msgspec.json.encode(found),
        content_type="application/problem+json",
    )
    if found.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if found.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # The rest of the upload is not read, so the connection cannot serve another request.
        response.force_close()
        response.headers["Connection"] = "close"
    if found.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "10"
    return response


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with its problem document."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = answer(problem(error))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except ConnectionError as error:
        # The client disconnected during its own request; no one reads the answer.
        LOG.debug("the client of %s disconnected: %s", request.path, error)
        return answer(problem(BadRequest("The connection was interrupted.")))
    except web.RequestPayloadError as error:
        # A body that is not what its headers say: compressed, or in chunks.
        LOG.debug("the body for %s cannot be read: %s", request.path, error)
        return answer(problem(BadRequest("The body cannot be read as its headers describe it.")))
    except Exception as error:
        found = problem(error)
        if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR and found.key == "unexpected":
            LOG.exception("%s %s failed", request.method, request.path)
        elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            LOG.warning("%s %s: the disk is full", request.method, request.path)
        response = answer(found)
        if isinstance(error, BadRange):
            response.headers["Content-Range"] = f"bytes */{error.size}"
        elif isinstance(error, TooManyGuesses):
            response.headers["Retry-After"] = str(error.seconds)
        return response


def _text(text: str) -> str:
    """Write what may quote a header as text: bytes of it that are not UTF-8 come as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _http_detail(error: web.HTTPException) -> str:
    match error.status:
        case 404:
            return "This address does not exist."
        case 405:
            return "This address does not support that method."
        case 413:
            return "The request is too large."
        case 417:
            return "This service meets no expectation but 100-continue."
        case _:
            return error.text or error.reason
