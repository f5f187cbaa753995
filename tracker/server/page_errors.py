"""Errors as pages where a browser asks for one; programs get the JSON that they get anyway."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from tracker.server.rendering import page
from tracker.service.wire import PREFIX

_HEADINGS = {
    400: ("This can't be read", "Go back and change what was asked for."),
    401: (
        "Who is it?",
        "Sign in with the user name and password that you have for MLflow: reload this page and "
        "the browser asks for them. Whoever administers MLflow can give you an account.",
    ),
    403: ("Not at this address", "Use the address that whoever runs the service has told you."),
    404: (
        "There is no such page",
        "It may have been deleted, or your account may not read it. The experiments that you may "
        "read are on the first page.",
    ),
    405: ("This page is only there to be read", "Nothing can be changed here."),
    503: (
        "Not available at the moment",
        "Nothing is lost. Reload this page; if it stays so, ask whoever runs MLflow, and see the "
        "log of the tracker service.",
    ),
}
_OTHERWISE = ("Something went wrong", "Reload this page; if it stays so, see the service's log.")

Handler = Callable[[Request, Any], Response | Awaitable[Response]]


def install(app: FastAPI) -> None:
    """Let the handlers of errors that an application has answer browsers with pages."""
    for kind, handler in list(app.exception_handlers.items()):
        app.add_exception_handler(kind, _for_browsers(handler))


def _for_browsers(handler: Handler) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        answer = handler(request, error)
        answered = answer if isinstance(answer, Response) else await answer
        if isinstance(answered, JSONResponse) and wants_page(request):
            return await run_in_threadpool(_page, request, answered)
        return answered

    return handle


def wants_page(request: Request) -> bool:
    """Return whether a request comes from somebody who looks at a page."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    path = request.url.path.removeprefix(root)
    return "text/html" in request.headers.get("accept", "") and not path.startswith(PREFIX)


def _page(request: Request, answer: JSONResponse) -> Response:
    heading, advice = _HEADINGS.get(answer.status_code, _OTHERWISE)
    told = json.loads(bytes(answer.body))
    kept = {k: v for k, v in answer.headers.items() if k in ("www-authenticate", "retry-after")}
    return page(
        request,
        "error.html",
        status=answer.status_code,
        headers=kept,
        heading=heading,
        message=told.get("message", ""),
        advice=advice,
    )
