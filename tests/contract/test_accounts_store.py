"""Accounts in the metadata store, on every engine."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from chat_service.domain.errors import EmailTaken, UsernameTaken
from chat_service.domain.models import AccountState, GlobalRole, User
from chat_service.domain.names import fold, fold_email, list_words
from chat_service.services.ports.metadata import MetadataStore, Unit

NOW = datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC)


def draft(username: str, *, email: str | None = None, full_name: str | None = None) -> User:
    return User(
        id=0,
        username=username,
        full_name=full_name,
        bio=None,
        avatar_url=None,
        is_bot=False,
        email=email or f"{username}@example.org",
        phone=None,
        role=GlobalRole.USER,
        state=AccountState.ACTIVE,
        created_at=NOW,
    )


async def add(unit: Unit, user: User, password_hash: str = "hash") -> User:
    return await unit.accounts.add_user(
        user,
        username_fold=fold(user.username),
        email_fold=fold_email(user.email),
        password_hash=password_hash,
        words=list_words(user.username, user.full_name),
    )


async def store_user(store: MetadataStore, username: str, *, full_name: str | None = None) -> User:
    return await store.transact(lambda unit: add(unit, draft(username, full_name=full_name)))


async def search(store: MetadataStore, *words: str, limit: int = 50) -> list[str]:
    found = await store.read(lambda unit: unit.accounts.search_users(words, limit))
    return [user.username for user in found]


async def test_an_account_is_found_by_id_name_and_address(metadata_store: MetadataStore) -> None:
    stored = await store_user(metadata_store, "Änne", full_name="Änne 😀 ")

    assert stored.id >= 1
    assert stored == await metadata_store.read(lambda unit: unit.accounts.find_user(stored.id))
    assert stored == await metadata_store.read(lambda unit: unit.accounts.find_user_by_username("anne"))
    by_email = await metadata_store.read(lambda unit: unit.accounts.find_user_by_email("änne@example.org"))
    assert stored == by_email


async def test_nobody_is_found_under_another_name(metadata_store: MetadataStore) -> None:
    await store_user(metadata_store, "anna")

    for name in ("Anna", "anna ", "ann", "änna", "anna\x00"):
        found = await metadata_store.read(lambda unit, name=name: unit.accounts.find_user_by_username(name))
        assert found is None
    assert await metadata_store.read(lambda unit: unit.accounts.find_user(2**53 - 1)) is None


async def test_a_taken_name_and_a_taken_address_are_told_apart(metadata_store: MetadataStore) -> None:
    await store_user(metadata_store, "anna")

    with pytest.raises(UsernameTaken):
        await metadata_store.transact(lambda unit: add(unit, draft("Ännä", email="other@example.org")))
    with pytest.raises(EmailTaken):
        await metadata_store.transact(lambda unit: add(unit, draft("berta", email="ANNA@example.org")))


async def test_the_transaction_goes_on_after_a_taken_name(metadata_store: MetadataStore) -> None:
    await store_user(metadata_store, "anna")

    async def work(unit: Unit) -> User:
        with pytest.raises(UsernameTaken):
            await add(unit, draft("anna", email="other@example.org"))
        return await add(unit, draft("berta"))

    berta = await metadata_store.transact(work)
    assert await metadata_store.read(lambda unit: unit.accounts.find_user(berta.id)) == berta


async def test_of_many_at_once_one_gets_the_name(metadata_store: MetadataStore) -> None:
    async def try_to_register(number: int) -> bool:
        try:
            await metadata_store.transact(
                lambda unit: add(unit, draft("anna", email=f"anna{number}@example.org"))
            )
        except UsernameTaken:
            return False
        return True

    assert sum(await asyncio.gather(*(try_to_register(number) for number in range(8)))) == 1


async def test_a_user_is_found_by_the_beginning_of_any_word(metadata_store: MetadataStore) -> None:
    await store_user(metadata_store, "ak", full_name="Anna-Lena Kühn")

    for query in (["ann"], ["anna-l"], ["lena"], ["kuhn"], ["kuh", "an"], ["ak"]):
        assert await search(metadata_store, *query) == ["ak"], query
    for query in (["nna"], ["kühn"], ["anna", "berta"], ["annax"], []):
        assert await search(metadata_store, *query) == [], query


@pytest.mark.parametrize("wildcard", ["%", "_", "a%", "a_", "\\", "a\\", "[a", "*", "?"])
async def test_wildcards_are_characters_like_others(metadata_store: MetadataStore, wildcard: str) -> None:
    await store_user(metadata_store, "axb")

    assert await search(metadata_store, wildcard) == []
    if set(wildcard) <= set("a_"):
        await store_user(metadata_store, "a_b")
        assert await search(metadata_store, wildcard) == (["a_b"] if wildcard == "a_" else [])


async def test_words_of_any_script_are_found_by_their_beginning(metadata_store: MetadataStore) -> None:
    await store_user(metadata_store, "u1_", full_name="田中 さくら")
    await store_user(metadata_store, "u2_", full_name="😀😁 Ω")

    assert await search(metadata_store, "田") == ["u1_"]
    assert await search(metadata_store, "😀") == ["u2_"]
    assert await search(metadata_store, "😁") == []


async def test_the_exact_name_comes_first_and_then_the_alphabet(metadata_store: MetadataStore) -> None:
    for username in ("anna.z", "annabel", "anna", "berta.anna"):
        await store_user(metadata_store, username)

    assert await search(metadata_store, "anna") == ["anna", "anna.z", "annabel", "berta.anna"]
    assert await search(metadata_store, "anna", limit=2) == ["anna", "anna.z"]


async def test_only_active_users_are_found(metadata_store: MetadataStore) -> None:
    for state in (AccountState.DEACTIVATED, AccountState.DELETED):
        user = await store_user(metadata_store, f"anna.{state}")
        await metadata_store.transact(
            lambda unit, user=user, state=state: unit.accounts.set_account(
                user.id, state=state, role=GlobalRole.USER
            )
        )

    assert await search(metadata_store, "anna") == []


async def test_a_new_profile_replaces_the_old_words(metadata_store: MetadataStore) -> None:
    user = await store_user(metadata_store, "ak", full_name="Anna")
    fields = {
        "full_name": "Berta",
        "bio": "😀",
        "phone": "+49 30 1",
        "avatar_url": "https://example.org/b.png",
    }

    await metadata_store.transact(
        lambda unit: unit.accounts.update_profile(user.id, fields, list_words("ak", "Berta"))
    )

    found = await metadata_store.read(lambda unit: unit.accounts.find_user(user.id))
    assert found is not None
    assert {name: getattr(found, name) for name in fields} == fields
    assert await search(metadata_store, "anna") == []
    assert await search(metadata_store, "berta") == ["ak"]


async def test_a_profile_has_no_other_columns(metadata_store: MetadataStore) -> None:
    user = await store_user(metadata_store, "anna")

    with pytest.raises(ValueError, match="role"):
        await metadata_store.transact(
            lambda unit: unit.accounts.update_profile(user.id, {"role": "admin"}, [])
        )


async def test_two_profile_changes_at_once_leave_one_of_them_whole(metadata_store: MetadataStore) -> None:
    user = await store_user(metadata_store, "ak")

    async def rename(name: str) -> None:
        async def work(unit: Unit) -> None:
            await unit.accounts.lock_user(user.id)
            await unit.accounts.update_profile(user.id, {"full_name": name}, list_words("ak", name))

        await metadata_store.transact(work)

    await asyncio.gather(*(rename(f"Name{number}") for number in range(6)))

    found = await metadata_store.read(lambda unit: unit.accounts.find_user(user.id))
    assert found is not None
    assert await search(metadata_store, "name") == ["ak"]
    assert await search(metadata_store, fold(found.full_name or "")) == ["ak"]


async def test_password_state_and_role_are_stored(metadata_store: MetadataStore) -> None:
    user = await store_user(metadata_store, "anna")

    async def work(unit: Unit) -> None:
        await unit.accounts.set_password_hash(user.id, "other")
        await unit.accounts.set_account(user.id, state=AccountState.DELETED, role=GlobalRole.ADMIN)

    await metadata_store.transact(work)

    assert await metadata_store.read(lambda unit: unit.accounts.get_password_hash(user.id)) == "other"
    locked = await metadata_store.transact(lambda unit: unit.accounts.lock_user(user.id))
    assert locked is not None
    assert (locked[0].state, locked[0].role, locked[1]) == (AccountState.DELETED, GlobalRole.ADMIN, "other")
    assert await metadata_store.transact(lambda unit: unit.accounts.lock_user(user.id + 1)) is None


async def test_a_locked_user_waits_for_nobody_else(metadata_store: MetadataStore) -> None:
    """Whoever locks the same user runs after the commit, so a count by read and write loses nothing."""
    user = await store_user(metadata_store, "anna")

    async def count_up(unit: Unit) -> None:
        locked = await unit.accounts.lock_user(user.id)
        assert locked is not None
        count = int(locked[0].bio or 0)
        await unit.accounts.update_profile(user.id, {"bio": str(count + 1)}, [])

    await asyncio.gather(*(metadata_store.transact(count_up) for _ in range(10)))

    found = await metadata_store.read(lambda unit: unit.accounts.find_user(user.id))
    assert found is not None
    assert found.bio == "10"


async def test_many_users_are_listed_by_id(metadata_store: MetadataStore) -> None:
    anna, berta = await store_user(metadata_store, "anna"), await store_user(metadata_store, "berta")
    ids = [anna.id, berta.id, *range(10_000, 11_200)]

    listed = await metadata_store.read(lambda unit: unit.accounts.list_users(ids))

    assert listed == {anna.id: anna, berta.id: berta}
    assert await metadata_store.read(lambda unit: unit.accounts.list_users([])) == {}


async def test_last_seen_is_what_was_set_last(metadata_store: MetadataStore) -> None:
    async def work(unit: Unit) -> None:
        await unit.accounts.set_last_seen([2, 1], NOW)
        await unit.accounts.set_last_seen([2], NOW + timedelta(seconds=1))
        await unit.accounts.set_last_seen([], NOW)

    await metadata_store.transact(work)

    seen = await metadata_store.read(lambda unit: unit.accounts.get_last_seen([1, 2, 3]))
    assert seen == {1: NOW, 2: NOW + timedelta(seconds=1)}
