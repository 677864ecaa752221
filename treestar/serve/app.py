"""The HTTP application: routes, the API key, and errors in OpenAI's format."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from treestar.search import SearchResult
from treestar.search.engine import strategy_of
from treestar.serve.errors import RequestError, invalid, server_error
from treestar.serve.request import MODEL, Defaults, read_request
from treestar.serve.response import Reply, comment, error_event
from treestar.serve.searches import Searches, ServedSearch, closing_error

__all__ = ["make_app"]

LARGEST_BODY = 8 * 2**20
"""In bytes; enough for a conversation of many long turns."""

CLIENT_GONE = 499
"""The status, which nobody reads, after the client has disconnected."""


def make_app(
    searches: Searches, api_key: str | None, keep_alive_seconds: float, allowed_origins: Sequence[str] = ()
) -> ASGIApp:
    """The application.

    Args:
        api_key: clients must send it as `Authorization: Bearer KEY`; None accepts every client.
        allowed_origins: the origins of web pages that browsers let call the server, `*` for all.
    """
    app = FastAPI(openapi_url=None)
    solver = searches.solver
    policy, scorer = solver.components.policy, solver.components.scorer
    defaults = Defaults(solver.search, solver.seed, scorer is not None, policy.step_format == "thinking")
    model = model_object(searches)

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        check_key(request, api_key)
        check_content_type(request)
        try:
            body = await read_body(request)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        asked = read_request(body, defaults)
        search = searches.begin(asked)
        reply = Reply(asked)
        if asked.stream:
            return SearchStream(search, stream(search, reply, keep_alive_seconds))
        try:
            await ended_or_disconnected(search, request)
        finally:
            search.end()
        if not search.result.done():
            return Response(status_code=CLIENT_GONE)
        return JSONResponse(reply.completion(result_of(search)))

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        check_key(request, api_key)
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name:path}")
    async def one_model(request: Request, name: str) -> dict[str, Any]:
        check_key(request, api_key)
        if name != MODEL:
            raise RequestError(
                404, f"model {name!r} does not exist: the only model is {MODEL!r}", "model", "model_not_found"
            )
        return model

    @app.get("/health")
    async def health() -> Response:
        state = {
            "status": "closing" if searches.closing else "ok",
            "running": searches.running,
            "waiting": searches.waiting,
        }
        return JSONResponse(state, status_code=503 if searches.closing else 200)

    @app.exception_handler(RequestError)
    async def on_request_error(_: Request, error: RequestError) -> Response:
        return error_response(error)

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}"
        return error_response(RequestError(error.status_code, message), error.headers)

    @app.exception_handler(Exception)
    async def on_failure(_request: Request, _error: Exception) -> Response:
        return error_response(server_error())

    return for_pages_of(allowed_origins, app) if allowed_origins else app


def for_pages_of(origins: Sequence[str], app: ASGIApp) -> ASGIApp:
    """`app`, whose responses tell browsers that pages of these origins may read them. It is outermost, because failures
    are answered outside of an application's own middleware."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=("*",),  # the official client sends a dozen of its own
        expose_headers=("Retry-After",),
    )


class SearchStream(StreamingResponse):
    """A stream of events. The search ends with it, even if the client disconnects before the first event."""

    def __init__(self, search: ServedSearch, events: AsyncIterator[str]) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        self.search = search

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.search.end()


async def stream(search: ServedSearch, reply: Reply, keep_alive_seconds: float) -> AsyncIterator[str]:
    """The events of one answer."""
    yield reply.opening()
    while not (await asyncio.wait([search.result], timeout=keep_alive_seconds))[0]:
        yield comment(search.stats)
    try:
        result = result_of(search)
    except RequestError as error:
        yield error_event(error)
        return
    for chunk in reply.chunks(result):
        yield chunk


async def ended_or_disconnected(search: ServedSearch, request: Request) -> None:
    """Wait until the search has ended or the client has disconnected, whichever comes first."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(disconnected())
    try:
        await asyncio.wait([search.result, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()


def result_of(search: ServedSearch) -> SearchResult:
    """The result of a search that has ended. Raises RequestError if it has none."""
    if search.result.cancelled():
        raise closing_error()
    if (failure := search.result.exception()) is not None:
        raise server_error() from failure
    return search.result.result()


async def read_body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise RequestError(413, f"the body has more than {LARGEST_BODY:,} bytes")
    if not body:
        raise invalid("the body is empty")
    return bytes(body)


def check_key(request: Request, api_key: str | None) -> None:
    if api_key is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Headers arrive as bytes, which are read as Latin-1; clients send UTF-8.
    is_right = hmac.compare_digest(given.encode("latin-1"), api_key.encode(errors="surrogateescape"))
    if scheme.lower() != "bearer" or not is_right:
        raise RequestError(401, "the key is missing or wrong: send it as Bearer", code="invalid_api_key")


def check_content_type(request: Request) -> None:
    """Raises RequestError for a body that does not say that it is JSON. Without asking the server first, a browser lets
    any web page send other types to any server, and so to one on its user's machine that needs no key."""
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise RequestError(415, f"the body's Content-Type must be application/json, not {given or 'left out'}")


def error_response(error: RequestError, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(error.to_json(), error.status, headers={**error.headers, **(headers or {})})


def model_object(searches: Searches) -> dict[str, Any]:
    """The only model, as listed by GET /v1/models, with its components."""
    solver = searches.solver
    strategy, _ = strategy_of(solver.search)
    scorer = solver.components.scorer
    behind = {
        "policy": solver.components.policy.name,
        "ppm": None if scorer is None else scorer.name,
        "strategy": strategy,
        "config": solver.search.to_json(),
    }
    return {"id": MODEL, "object": "model", "created": int(time.time()), "owned_by": "treestar", "treestar": behind}
