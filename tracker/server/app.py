"""Puts the service together: a FastAPI application over one catalog."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from tracker import __version__, catalog
from tracker.catalog import Engine
from tracker.loading import mirror
from tracker.server import answers, checkpoints, guards, page_errors, pages, places, registered
from tracker.server.following import Following
from tracker.server.rendering import STATIC, Static
from tracker.server.viewer import look_at_everything, look_in_mlflow
from tracker.service.wire import PREFIX

_ABOUT = """
The catalog of PyTorch checkpoints that MLflow holds.

You are who MLflow says you are: send the user name and password (Basic) or the token that you use
for MLflow itself. You see the checkpoints of the experiments that MLflow lets you read; whatever
else there is, is answered as if it did not exist (404). Without credentials where MLflow asks for
some: 401. While MLflow can't be asked: 503.

Everything here reads. No route changes anything, so there is nothing that a forged request could
do; POST is there for questions that are too long for an address.

JSON has no NaN and no infinities: such metrics are the texts `"NaN"`, `"Infinity"` and
`"-Infinity"`. Times are milliseconds since 1970-01-01 UTC, whole numbers have up to 64 bits.
Errors are `{"error": "NotFoundError", "message": "…"}`.
"""


def create_app(
    tracking_uri: str,
    engine: Engine,
    *,
    root_path: str = "",
    allowed_hosts: Sequence[str] = (),
) -> FastAPI:
    """Return the service as an ASGI application.

    Args:
        tracking_uri: Where MLflow is. A server (``http://…``) says who may see what, and the
            catalog follows it. With a database there are no users: everybody sees everything.
        engine: The catalog, of `tracker.catalog.open_catalog`.
        root_path: What a proxy cuts off the path before it comes here; links begin with it.
            Below ``/tracker`` the service answers in any case.
        allowed_hosts: Host names, or patterns of such, that it answers to beside ``localhost`` and
            addresses in numbers; ``*`` for any.

    Example:
        >>> app = create_app("http://mlflow:5000", open_catalog("postgresql://tracker@db/tracker"))
    """
    following, look = None, look_at_everything(engine)
    if catalog.is_server(tracking_uri):
        following = Following(lambda: mirror.update(engine), lambda: _reindex(engine))
        look = look_in_mlflow(tracking_uri, engine)
    app = FastAPI(
        title="tracker",
        version=__version__,
        description=_ABOUT,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from a network for delivery of content
        redoc_url=None,
        redirect_slashes=False,  # an address behind a proxy is not what it seems from here
        lifespan=_while_running(following),
    )
    app.state.tracking_uri = tracking_uri
    app.state.engine = engine
    app.state.look = look
    app.state.catch_up = following.catch_up if following else lambda: None
    answers.install(app)
    page_errors.install(app)
    for router in (places.router, checkpoints.router, registered.router, pages.router):
        app.include_router(router)
    app.add_api_route("/health", _health, methods=["GET"], tags=["service"], summary="Is it alive?")
    app.mount("/static", Static(directory=STATIC))
    app.add_middleware(guards.BoundedBodies)
    if "*" not in allowed_hosts:
        app.add_middleware(guards.KnownHosts, allowed=allowed_hosts)
    app.add_middleware(guards.AnswerHeaders)
    app.add_middleware(guards.BelowPrefix, root_path=root_path)
    return app


def _reindex(engine: Engine) -> None:
    # A service changes nothing in MLflow, whatever its account may do there.
    mirror.reindex_catalog(engine, retire=False)


async def _health() -> dict[str, str]:
    """Say that the service lives, to anybody; it says nothing else."""
    return {"service": "tracker", "status": "ok"}


def _while_running(
    following: Following | None,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        if following is not None:
            following.start()
        yield
        if following is not None:
            following.stop()

    return run
