"""Errors as JSON: ``{"error": "NotFoundError", "message": "…"}`` with a fitting status.

Messages of bad questions are for whoever asked. Those of our own troubles may hold addresses and
statements: they go to the log, and whoever asked is told that there is trouble.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from tracker.errors import (
    InvalidArgumentError,
    NotAuthenticatedError,
    NotFoundError,
    RecordUnreachableError,
    TrackerError,
)
from tracker.server import guards
from tracker.service.wire import error_to_json, name_of

_log = logging.getLogger("tracker.server")

AUTHENTICATE = {"WWW-Authenticate": 'Basic realm="mlflow", charset="UTF-8"'}
"""Makes a browser ask for a name and password, under the name that MLflow asks by."""

_SECONDS_UNTIL_RETRY = {"Retry-After": "5"}


def install(app: FastAPI) -> None:
    """Make an application answer with JSON whatever goes wrong."""
    app.add_exception_handler(TrackerError, _ours)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(ValidationError, _not_valid)  # of a question in an address
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _unexpected)


def status_of(error: TrackerError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, NotAuthenticatedError):
        return 401
    if isinstance(error, NotFoundError):
        return 404
    if isinstance(error, InvalidArgumentError):
        return 400
    return 503


def message_of(error: TrackerError) -> str:
    """Return what whoever asked is told: all of it if it is about the question."""
    if status_of(error) != 503:
        return str(error)
    _log.warning("%s: %s", type(error).__name__, error)
    if isinstance(error, RecordUnreachableError):
        return (
            "MLflow can't be asked now what you may see, or what has changed, so nothing is shown. "
            "Try again in a few seconds."
        )
    return "The catalog can't be asked now. The log of the tracker service says why."


def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TrackerError)
    status = status_of(error)
    headers = {401: AUTHENTICATE, 503: _SECONDS_UNTIL_RETRY}.get(status)
    return _answer(status, name_of(error), message_of(error), headers)


def _not_valid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError | ValidationError)
    # Without what was given: it may be 3 MB.
    reasons = "; ".join(
        f"{'.'.join(map(str, each['loc'][1:])) or each['loc'][0]}: {each['msg']}"[:500]
        for each in error.errors()[:5]
    )
    return _answer(400, "InvalidArgumentError", f"The question can't be read: {reasons}.")


def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message = "There is nothing at this address; api/1/openapi.json says what there is."
        return _answer(404, "NotFoundError", message)
    if error.status_code == 405:
        message = "The service is there to be asked, and changes nothing: there is no such method."
        return _answer(405, "InvalidArgumentError", message, error.headers)
    return _answer(error.status_code, "InvalidArgumentError", str(error.detail), error.headers)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    message = "Something went wrong in the tracker service; its log says what."
    # Here, because this answer is made outside of all that would add them.
    return _answer(500, "TrackerError", message, guards.ANSWER_HEADERS)


def _answer(
    status: int, name: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    content: Any = error_to_json(name, message)
    return JSONResponse(content, status_code=status, headers=dict(headers or {}))
