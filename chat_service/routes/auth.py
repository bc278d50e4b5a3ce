"""Tokens, sessions and tickets: `/auth/…`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import OAuth2PasswordRequestForm

from chat_service.domain.errors import InvalidCredentials, TokenExpired, Unauthenticated, Unavailable
from chat_service.domain.models import Caller
from chat_service.domain.names import refusal
from chat_service.domain.views import me_view, session_view
from chat_service.routes.dependencies import (
    AnonymousLimit,
    BearerDep,
    CallerDep,
    DeviceDep,
    ServicesDep,
    find_address,
    get_caller,
)
from chat_service.routes.middleware import API_PREFIX
from chat_service.routes.parameters import SessionId
from chat_service.routes.schemas import MAX_LOGIN_NAME_CHARS, RefreshIn, SessionsOut, TicketOut, TokenOut
from chat_service.routes.strict import JsonResponse, StrictRoute
from chat_service.services.container import Services
from chat_service.services.sessions import Device, SignedIn

COOKIE = "chat_refresh"
COOKIE_PATH = f"{API_PREFIX}/auth"
COOKIE_HEADER = "X-Chat-Session"

router = APIRouter(prefix="/auth", tags=["auth"], route_class=StrictRoute)


@router.post("/token", response_model=TokenOut, dependencies=[AnonymousLimit])
async def get_token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], services: ServicesDep, device: DeviceDep
) -> JsonResponse:
    """Sign in with the OAuth2 password form, for the Authorize button of these pages."""
    if len(form.username) > MAX_LOGIN_NAME_CHARS:  # nobody's, and too long to be kept as a key
        raise InvalidCredentials
    return token_response(await sign_in(services, form.username, form.password, device))


@router.post("/refresh", response_model=TokenOut, dependencies=[AnonymousLimit])
async def refresh(request: Request, services: ServicesDep, body: RefreshIn | None = None) -> JsonResponse:
    """Exchange a refresh token for the next one and a new access token."""
    if not is_cookie_mode(request):
        if body is None or body.refresh_token is None:
            raise refusal("refresh_token", f"Send a refresh_token, or the header {COOKIE_HEADER}: cookie.")
        return token_response(await services.sessions.refresh(body.refresh_token))
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        raise Unauthenticated("The cookie with the refresh token is missing.")
    return cookie_response(request, services, await services.sessions.refresh(cookie))


@router.post("/logout", status_code=204)
async def logout(request: Request, services: ServicesDep, token: BearerDep) -> Response:
    """End the session of the access token, or in cookie mode that of the cookie."""
    cookie = request.cookies.get(COOKIE) if is_cookie_mode(request) else None
    caller = await _find_caller(request, services, token, has_cookie=bool(cookie))
    if cookie:
        await services.sessions.logout_by_refresh(cookie)
    if caller is not None:
        await services.sessions.logout(caller)
    response = Response(status_code=204)
    if is_cookie_mode(request):
        response.delete_cookie(
            COOKIE,
            path=_cookie_path(request),
            secure=not _is_loopback(request),
            httponly=True,
            samesite="strict",
        )
    return response


@router.post("/logout-all", status_code=204)
async def logout_all(caller: CallerDep, services: ServicesDep) -> Response:
    """End all sessions of the user, this one too."""
    await services.sessions.logout_all(caller)
    return Response(status_code=204)


@router.get("/sessions", response_model=SessionsOut)
async def list_sessions(caller: CallerDep, services: ServicesDep) -> JsonResponse:
    """The devices that are signed in, the last used first."""
    sessions = await services.sessions.list_sessions(caller)
    return JsonResponse({"items": [session_view(session, caller.session_id) for session in sessions]})


@router.delete("/sessions/{session_id}", status_code=204)
async def delete_session(session_id: SessionId, caller: CallerDep, services: ServicesDep) -> Response:
    """Sign one device out."""
    await services.sessions.delete_session(caller, session_id)
    return Response(status_code=204)


@router.post("/ws-ticket", response_model=TicketOut)
async def issue_ticket(caller: CallerDep, services: ServicesDep) -> JsonResponse:
    """A one-time credential for `?ticket=` of a socket."""
    ticket = await services.sessions.issue_ticket(caller)
    return JsonResponse({"ticket": ticket.text, "expires_in": ticket.expires_in})


# --- Shared with `routes.users` -----------------------------------------------------------------------


async def sign_in(services: Services, name: str, password: str, device: Device) -> SignedIn:
    """Log in within the limits; see `Limits.take_login`."""
    services.limits.take_login(device.ip, name)
    try:
        signed_in = await services.accounts.login(name, password, device)
    except Unavailable:
        services.limits.return_login(device.ip, name)
        raise
    services.limits.forgive_login(device.ip, name)
    return signed_in


def is_cookie_mode(request: Request) -> bool:
    """Whether the client keeps its refresh token in the cookie. No foreign page can send this header."""
    return request.headers.get(COOKIE_HEADER, "").strip().lower() == "cookie"


def token_response(signed_in: SignedIn, *, in_body: bool = True) -> JsonResponse:
    return JsonResponse(
        {
            "access_token": signed_in.access_token,
            "token_type": "bearer",
            "expires_in": signed_in.expires_in,
            "refresh_token": signed_in.refresh_token if in_body else None,
            "user": me_view(signed_in.user),
        }
    )


def cookie_response(request: Request, services: Services, signed_in: SignedIn) -> JsonResponse:
    """The same with the refresh token where scripts cannot read it."""
    response = token_response(signed_in, in_body=False)
    response.set_cookie(
        COOKIE,
        signed_in.refresh_token,
        max_age=services.settings.refresh_token_days * 86_400,
        path=_cookie_path(request),
        secure=not _is_loopback(request),
        httponly=True,
        samesite="strict",
    )
    return response


def _cookie_path(request: Request) -> str:
    """As the browser sees it, also where the service is mounted below another application's path."""
    return f"{request.scope.get('root_path', '')}{COOKIE_PATH}"


def _is_loopback(request: Request) -> bool:
    """Whether the browser reached us by a loopback name, where it may not have TLS."""
    host = request.url.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _find_caller(
    request: Request, services: Services, token: str | None, *, has_cookie: bool
) -> Caller | None:
    """The caller; with a cookie the access token may be missing or have expired. Whoever has none counts
    against the address, as `get_caller` counts all that it refuses."""
    if token is None and has_cookie:
        services.limits.take_address_request(find_address(request))
        return None
    try:
        return await get_caller(request, services, token)
    except TokenExpired:
        if has_cookie:
            return None
        raise
