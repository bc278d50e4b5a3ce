"""Accounts as their owners and others see them: `/users/…`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from chat_service.domain.views import me_view, user_view
from chat_service.routes.auth import cookie_response, is_cookie_mode, sign_in, token_response
from chat_service.routes.dependencies import AnonymousLimit, CallerDep, CallerOnly, DeviceDep, ServicesDep
from chat_service.routes.middleware import API_PREFIX
from chat_service.routes.parameters import DEFAULT_LIMIT, Limit, SearchQuery, UserId
from chat_service.routes.schemas import (
    LoginIn,
    MeOut,
    PasswordIn,
    ProfileIn,
    RegisterIn,
    TokenOut,
    UserOut,
    UsersOut,
)
from chat_service.routes.strict import JsonResponse, StrictRoute
from chat_service.services.accounts import NewAccount

router = APIRouter(prefix="/users", tags=["users"], route_class=StrictRoute)


@router.post("/register", status_code=201, response_model=MeOut, dependencies=[AnonymousLimit])
async def register(body: RegisterIn, services: ServicesDep, device: DeviceDep) -> JsonResponse:
    """Create an account. It does not sign in."""
    services.limits.take_registration(device.ip)
    user = await services.accounts.register(
        NewAccount(body.username, body.password, body.email, body.full_name)
    )
    location = {"Location": f"{API_PREFIX}/users/{user.id}"}
    return JsonResponse(me_view(user), 201, location)


@router.post("/login", response_model=TokenOut, dependencies=[AnonymousLimit])
async def login(body: LoginIn, request: Request, services: ServicesDep, device: DeviceDep) -> JsonResponse:
    """Sign in by username or e-mail address."""
    signed_in = await sign_in(services, body.username, body.password, device)
    if is_cookie_mode(request):
        return cookie_response(request, services, signed_in)
    return token_response(signed_in)


@router.get("/me", response_model=MeOut)
async def get_me(caller: CallerDep, services: ServicesDep) -> JsonResponse:
    """The caller's own account."""
    return JsonResponse(me_view(await services.accounts.get_user(caller.id)))


@router.put("/me", response_model=MeOut)
async def update_me(body: ProfileIn, caller: CallerDep, services: ServicesDep) -> JsonResponse:
    """Change the fields that are sent; null clears one."""
    fields = body.model_dump(exclude_unset=True)
    return JsonResponse(me_view(await services.accounts.update_profile(caller, fields)))


@router.put("/me/password", status_code=204)
async def change_password(body: PasswordIn, caller: CallerDep, services: ServicesDep) -> Response:
    """Set another password; every other session ends."""
    services.limits.take_password_check(caller.id)
    await services.accounts.change_password(caller, body.current_password, body.new_password)
    services.limits.forgive_password_check(caller.id)
    return Response(status_code=204)


@router.get("/search", response_model=UsersOut, dependencies=[CallerOnly])
async def search(q: SearchQuery, services: ServicesDep, limit: Limit = DEFAULT_LIMIT) -> JsonResponse:
    """Active users with a word in their names that begins so."""
    users = await services.accounts.search_users(q, limit)
    return JsonResponse({"items": [user_view(user) for user in users]})


@router.get("/{user_id}", response_model=UserOut, dependencies=[CallerOnly])
async def get_user(user_id: UserId, services: ServicesDep) -> JsonResponse:
    """Another user, as everybody sees them."""
    return JsonResponse(user_view(await services.accounts.get_user(user_id)))
