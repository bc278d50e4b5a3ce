"""The command line: reads arguments and settings, calls one service, says in one line what happened.

Exit codes: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong arguments or settings.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError

from chat_service.domain.errors import ChatError
from chat_service.domain.models import AccountState, GlobalRole
from chat_service.services.accounts import AccountService, NewAccount
from chat_service.services.passwords import Passwords, make_argon2
from chat_service.services.sessions import SessionService
from chat_service.services.tokens import Tokens
from chat_service.settings import Settings

T = TypeVar("T")

cli = typer.Typer(
    name="chat-service",
    help="A self-hosted real-time chat service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(help="The username, or the e-mail address.", metavar="NAME")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


class CommandFailed(Exception):
    """The command cannot do what was asked; its text is one sentence for the operator."""


def main() -> None:
    """The program `chat-service`; ends the process with an exit code."""
    try:
        cli()
    except (ChatError, CommandFailed) as error:
        print(f"chat-service: {error}", file=sys.stderr)
        sys.exit(1)
    except ValidationError as error:
        for one in error.errors():
            setting = "_".join(("chat", *(str(part) for part in one["loc"]))).upper()
            where = f"{setting}: " if one["loc"] else ""
            print(f"chat-service: {where}{one['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        sys.exit(2)


# --- The node -----------------------------------------------------------------------------------------


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on (CHAT_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on (CHAT_PORT).")] = None,
) -> None:
    """Run a node until a signal ends it."""
    gc.disable()  # until the node is made: looking for garbage among its modules takes a fifth of the start
    from chat_service.app import StartupError  # noqa: PLC0415 - the other commands start faster
    from chat_service.server import serve as serve_node  # noqa: PLC0415 - as above

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        serve_node(Settings(**given))  # type: ignore[arg-type]
    except StartupError as error:
        raise CommandFailed(str(error)) from error


@cli.command()
def migrate(
    down_to: Annotated[
        str | None, typer.Option(help='Undo every step above this revision ("base": all), data included.')
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before data is removed.")] = False,
) -> None:
    """Bring the schema of the metadata store to that of this version."""
    from chat_service.adapters.sql.migrate import (  # noqa: PLC0415 - the other commands start faster
        current_revision,
        downgrade,
        upgrade,
    )

    url = Settings().metadata_url
    if down_to is None:
        upgrade(url)
    else:
        if not yes:
            typer.confirm(f"Undo every step above {down_to}, with the data in its tables?", abort=True)
        downgrade(url, down_to)
    print(f"The metadata store is at revision {current_revision(url) or 'none'}.")


# --- Measuring ----------------------------------------------------------------------------------------


@cli.command()
def load(  # noqa: PLR0913, PLR0917 - the options of the command
    url: Annotated[str, typer.Option(help="Where the service answers.")] = "http://127.0.0.1:8000",
    chats: Annotated[int, typer.Option(min=1, help="Groups to make.")] = 10,
    people: Annotated[int, typer.Option(min=2, help="People in each group.")] = 10,
    senders: Annotated[int, typer.Option(min=0, help="People who send, in all groups together.")] = 10,
    rate: Annotated[
        float, typer.Option(min=0, help="Messages a second in all; 0: each sender sends as soon as it may.")
    ] = 0.0,
    seconds: Annotated[float, typer.Option(help="How long to send, up to 600.")] = 10.0,
    window: Annotated[
        int, typer.Option(min=1, help="Without a rate: messages of one sender that wait for their ack.")
    ] = 1,
    size: Annotated[int, typer.Option(min=1, max=20_000, help="Characters of a message.")] = 100,
    accounts: Annotated[
        int, typer.Option(min=0, help="Accounts shared out among the groups; 0: as many as --people.")
    ] = 0,
    devices: Annotated[int, typer.Option(min=1, help="Sockets that each person opens.")] = 1,
    sockets: Annotated[
        str, typer.Option(help="chat: a socket for each group of a person; user: one for all of them.")
    ] = "chat",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers to a file, too.")
    ] = None,
) -> None:
    """Measure a deployment with people, groups and messages of its own; it keeps them.

    Fails unless every message was acknowledged and reached every socket of its chat once and in order.
    """
    from chat_service.load.command import measure  # noqa: PLC0415 - the other commands start faster
    from chat_service.load.options import LoadFailed, LoadOptions, Sockets  # noqa: PLC0415 - as above

    if sockets not in set(Sockets):
        raise typer.BadParameter("--sockets is chat or user")
    options = LoadOptions(
        url=url.rstrip("/"),
        chats=chats,
        people=people,
        senders=senders,
        rate=rate,
        seconds=seconds,
        window=window,
        size=size,
        accounts=accounts,
        devices=devices,
        sockets=Sockets(sockets),
    )
    try:
        is_clean = measure(options, json_file)
    except LoadFailed as error:
        raise CommandFailed(str(error)) from error
    if not is_clean:
        raise typer.Exit(1)


# --- Checking -----------------------------------------------------------------------------------------


@cli.command()
def fsck(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Correct counters and positions, and remove orphans.")
    ] = False,
    from_chat: Annotated[int, typer.Option(min=1, metavar="ID", help="Go on with this chat.")] = 1,
    min_age: Annotated[
        float, typer.Option(min=2, metavar="HOURS", help="How old a body without a message is an orphan.")
    ] = 24.0,
    progress: Annotated[
        bool | None, typer.Option(help="Show how far it is on stderr; by default on a terminal.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
) -> None:
    """Prove that rows, texts and counters agree, beside a running server or without.

    Exit codes: 0 nothing found, 1 something found, 2 the stores cannot be checked, 130 interrupted.
    """
    from chat_service.fsck import Output, run_fsck  # noqa: PLC0415 - the other commands start faster
    from chat_service.services.fsck import Options  # noqa: PLC0415 - as above

    options = Options(repair=repair, from_chat=from_chat, min_age=timedelta(hours=min_age))
    raise typer.Exit(run_fsck(Settings(), options, Output(as_json, progress)))


@cli.command()
def epoch(
    *,
    new: Annotated[bool, typer.Option("--new", help="Write another one: every client reads afresh.")] = False,
) -> None:
    """Show the epoch of the metadata store, or begin a new one after a restore.

    Nodes that see another epoch close their sockets with 1012, within a second.
    """
    print(asyncio.run(_begin_epoch(Settings(), new)))


async def _begin_epoch(settings: Settings, is_new: bool) -> str:
    from chat_service.app import StartupError, open_metadata_store  # noqa: PLC0415 - `--help` is quick

    value = secrets.token_hex(8)
    try:
        async with open_metadata_store(settings) as metadata:
            if is_new:
                await metadata.transact(lambda unit: unit.nodes.set_epoch(value))
            return await metadata.get_epoch()
    except StartupError as error:
        raise CommandFailed(str(error)) from error


# --- Accounts -----------------------------------------------------------------------------------------


@cli.command()
def create_user(
    name: Annotated[str, typer.Argument(help="The username.", metavar="NAME")],
    email: Annotated[str | None, typer.Option(help="The e-mail address, if there is one.")] = None,
    role: Annotated[GlobalRole, typer.Option(help="What the account may do everywhere.")] = GlobalRole.USER,
    *,
    password_stdin: PasswordStdin = False,
) -> None:
    """Create an account, also where registration is closed."""
    wish = NewAccount(name, _read_password(password_stdin), email, role=role)
    user = _with_accounts(lambda accounts: accounts.create_user(wish))
    print(f"Created {user.username} (id {user.id}, role {user.role}).")


@cli.command()
def set_password(name: Name, *, password_stdin: PasswordStdin = False) -> None:
    """Set an account's password and end all of its sessions."""
    password = _read_password(password_stdin)
    _with_accounts(lambda accounts: accounts.set_password(name, password))
    print(f"Set the password of {name}; all sessions have ended.")


@cli.command()
def set_user(
    name: Name,
    state: Annotated[AccountState | None, typer.Option(help="Other than active ends all sessions.")] = None,
    role: Annotated[GlobalRole | None, typer.Option(help="What the account may do everywhere.")] = None,
) -> None:
    """Change an account's state or role."""
    if state is None and role is None:
        raise typer.BadParameter("give --state or --role")
    user = _with_accounts(lambda accounts: accounts.set_user(name, state, role))
    print(f"{user.username} is {user.state} with the role {user.role}.")


@asynccontextmanager
async def _open_accounts(settings: Settings) -> AsyncIterator[AccountService]:
    from chat_service.adapters.bus_memory import MemoryBus  # noqa: PLC0415 - `--help` is quick
    from chat_service.app import (  # noqa: PLC0415 - as above
        StartupError,
        make_store_clock,
        open_metadata_store,
    )

    passwords = Passwords(make_argon2(settings.password_memory_mib))
    try:
        async with open_metadata_store(settings) as metadata:
            clock = await make_store_clock(settings, metadata)
            # No token is made here, so CHAT_SECRET_KEY is neither needed nor generated under the wrong user.
            tokens = Tokens(b"", access_lifetime=timedelta(), refresh_lifetime=timedelta(), clock=clock)
            # Nobody listens: every node asks the store each second which sessions have ended.
            sessions = SessionService(metadata, MemoryBus(), tokens, clock)
            yield AccountService(metadata, sessions, passwords, clock, registration_open=True)
    except StartupError as error:
        raise CommandFailed(str(error)) from error
    finally:
        passwords.close()


def _with_accounts(work: Callable[[AccountService], Awaitable[T]]) -> T:
    """Run one call of the account service on the configured store, beside a running server or without."""

    async def run() -> T:
        async with _open_accounts(Settings()) as accounts:
            return await work(accounts)

    return asyncio.run(run())


def _read_password(from_stdin: bool) -> str:
    """From standard input without its last line break, or asked for twice."""
    if from_stdin:
        try:
            return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise CommandFailed("The password on standard input is not UTF-8.") from error
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
