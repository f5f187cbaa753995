"""Renders the templates: everything is escaped, and nothing that is missing passes unnoticed."""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined

from tracker import catalog
from tracker.server import wording


class Static(StaticFiles):
    """Files whose addresses change when they do, so that browsers need not ask for them again."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a file, which may be kept for a year."""
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


STATIC = Path(str(files("tracker.server") / "static"))
"""Where the style sheet, the script and the charting library are."""


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """Return a page.

    Args:
        request: What it answers.
        template: The template's file name.
        status: The HTTP status.
        headers: More headers.
        **values: What the template shows.
    """
    root = str(request.scope.get("root_path", "")).rstrip("/")
    content = (
        _templates()
        .get_template(template)
        .render(
            root=root,
            mlflow=mlflow_address(
                root, request.app.state.tracking_uri, "x-forwarded-for" in request.headers
            ),
            static=lambda name: f"{root}/static/{name}?v={_version(name)}",
            **{"section": "", "user": None, "status": status, **values},
        )
    )
    return HTMLResponse(
        content,
        status_code=status,
        # Whoever may not see it tomorrow should not find it in a cache.
        headers={"Cache-Control": "no-store", "Vary": "Authorization, Accept", **(headers or {})},
    )


def mlflow_address(root: str, tracking_uri: str, behind_proxy: bool) -> str | None:
    """Return where a browser finds MLflow's own pages; None: nowhere.

    Behind a proxy that is what remains of the path without ours, since the address by which the
    service itself finds MLflow may mean nothing outside.

    Example:
        >>> mlflow_address("/team/tracker", "http://mlflow:5000", True)
        '/team'
        >>> mlflow_address("", "http://127.0.0.1:5000", False)
        'http://127.0.0.1:5000'
    """
    if not catalog.is_server(tracking_uri):
        return None
    if root and behind_proxy:
        return root.rpartition("/")[0]
    parts = urlsplit(tracking_uri)
    host = parts.netloc.rpartition("@")[2]  # without a password
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("tracker.server"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        ago=lambda milliseconds: wording.ago(milliseconds, int(time.time() * 1000)),
        amount=wording.amount,
        counted=wording.counted,
        iso=_iso,
        moment=wording.moment,
        number=wording.number,
        one_line=wording.one_line,
        short=wording.short,
        size=wording.size,
    )
    return templates


def _iso(milliseconds: int) -> str:
    try:
        when = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return when.isoformat(timespec="seconds")


@cache
def _version(name: str) -> str:
    """Return what changes with a file's content, so that browsers may keep the file for long."""
    return hashlib.blake2b((STATIC / name).read_bytes(), digest_size=6).hexdigest()
