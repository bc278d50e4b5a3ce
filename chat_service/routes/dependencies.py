"""What handlers ask for: the services, the client, and who is calling.

All of it is `async`, also what waits for nothing: FastAPI would run the rest in a thread for each request.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from chat_service.domain.errors import ChatError, Unauthenticated
from chat_service.domain.models import Caller
from chat_service.routes.middleware import API_PREFIX
from chat_service.services.container import Services
from chat_service.services.sessions import Device

_read_bearer = OAuth2PasswordBearer(
    tokenUrl=f"{API_PREFIX}/auth/token", scheme_name="bearer", auto_error=False
)
BearerDep = Annotated[str | None, Depends(_read_bearer)]
"""The token of the Bearer header, not yet checked; None without one."""


async def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


def find_address(request: Request) -> str | None:
    """The client's address, as the server took it from trusted proxies; None on a Unix socket."""
    return request.client.host if request.client else None


async def get_device(request: Request) -> Device:
    return Device(find_address(request), request.headers.get("user-agent"))


DeviceDep = Annotated[Device, Depends(get_device)]


async def take_anonymous_request(request: Request, services: ServicesDep) -> None:
    """Count a request that needs no token against the address it comes from."""
    services.limits.take_address_request(find_address(request))


AnonymousLimit = Depends(take_anonymous_request)
"""For the `dependencies` of routes without a caller."""


async def get_caller(request: Request, services: ServicesDep, token: BearerDep) -> Caller:
    """Whose access token the Bearer header holds; refused requests count against the address."""
    try:
        if token is None:
            raise Unauthenticated
        caller = await services.sessions.authenticate(token)
    except ChatError as error:
        if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            services.limits.take_address_request(find_address(request))
        raise
    services.limits.take_user_request(caller.id)
    request.state.user_id = caller.id
    return caller


CallerDep = Annotated[Caller, Depends(get_caller)]
CallerOnly = Depends(get_caller)
"""For the `dependencies` of routes that answer every caller alike."""
