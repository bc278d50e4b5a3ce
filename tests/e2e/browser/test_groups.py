"""Groups: made, joined, run and left, and what the others see of it at that moment."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from playwright.async_api import Route, expect

from tests.builders import TestUser, a_group, a_user
from tests.e2e.browser.screens import Screen
from tests.e2e.browser.window import Windows
from tests.process import Process


@dataclass
class Group:
    """Ann owns it, Ben and Cem are in it; Ann and Ben have it open."""

    id: int
    name: str
    people: list[TestUser]
    ann: Screen
    ben: Screen


async def an_open_group(windows: Windows, service: Process) -> Group:
    people = [await a_user(service, f"{name}-{secrets.token_hex(3)}") for name in ("ann", "ben", "cem")]
    name = f"Climbers {secrets.token_hex(3)}"
    chat_id = await a_group(*people, name=name)
    path = f"/chats/{chat_id}"
    ann, ben = await windows.open(people[0], path), await windows.open(people[1], path)
    return Group(chat_id, name, people, ann, ben)


async def test_a_group_whose_answer_was_lost_is_made_once(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    screen = await windows.open(ann)

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort("connectionreset")

    await screen.context.route("**/api/v1/chats", lose, times=1)
    await screen.button("newChat.title").first.click()
    await screen.dialog("newChat.title").get_by_role("button", name=screen.words("newGroup.title")).click()
    dialog = screen.dialog("newGroup.title")
    await dialog.get_by_label(screen.words("field.name")).fill("Only once")
    await screen.pick(dialog, ben.username)
    await dialog.get_by_role("button", name=screen.words("newGroup.create")).click()
    await expect(dialog.get_by_role("alert")).to_have_text(screen.words("error.network"))
    await dialog.get_by_role("button", name=screen.words("newGroup.create")).click()
    await expect(screen.page.get_by_role("heading", name="Only once", level=1)).to_be_visible()
    await expect(screen.chat("Only once")).to_have_count(1)


async def test_a_group_is_made_and_everybody_hears_of_it(windows: Windows, service: Process) -> None:
    users = [await a_user(service, f"{name}-{secrets.token_hex(3)}") for name in ("ann", "ben", "cem")]
    ann, ben = await windows.open(users[0]), await windows.open(users[1])
    name = f"Nguyễn Huệ {secrets.token_hex(3)}"
    await ann.create_group(name, users[1].username, users[2].username)
    await ann.say("Welcome!")
    await ben.open_chat(name)
    await ben.reads("Welcome!")
    await expect(ben.message("Welcome!")).to_contain_text(users[0].username)
    await ben.say("Thank you")
    await ann.reads("Thank you")
    await ann.sees("chat.members", count=3)
    await ann.act("Welcome!", "readers")
    readers = ann.dialog("chat.readers.title")
    await expect(readers).to_contain_text(ann.words("chat.readers.read", count=1))
    await expect(readers).to_contain_text(users[1].username)


async def test_who_of_the_group_is_online_is_seen_also_without_a_direct_chat(
    windows: Windows, service: Process
) -> None:
    group = await an_open_group(windows, service)
    _, ben, cem = group.people
    await group.ann.open_details()
    online = group.ann.words("presence.online")
    await expect(group.ann.member(ben.username)).to_contain_text(online)
    await expect(group.ann.member(cem.username)).not_to_contain_text(online)


async def test_a_new_name_and_new_people_are_seen_at_once(windows: Windows, service: Process) -> None:
    group = await an_open_group(windows, service)
    ann, ben = group.ann, group.ben
    dan = await a_user(service, f"dan-{secrets.token_hex(3)}")
    await ann.open_details()
    await ann.button("details.rename").click()
    dialog = ann.dialog("details.rename")
    await dialog.get_by_role("textbox").fill("Climbers of the north")
    await dialog.get_by_role("button", name=ann.words("action.save")).click()
    for screen in (ann, ben):
        heading = screen.page.get_by_role("heading", level=1, name="Climbers of the north")
        await expect(heading).to_be_visible()
        await expect(screen.chat("Climbers of the north")).to_be_visible()

    await ann.button("details.addPeople").click()
    dialog = ann.dialog("details.addPeople")
    await ann.pick(dialog, dan.username)
    await dialog.get_by_role("button", name=ann.words("details.add.action", count=1)).click()
    await expect(dialog).to_be_hidden()
    await expect(ann.member(dan.username)).to_be_visible()
    await ben.sees("chat.members", count=4)


async def test_a_hand_over_that_was_interrupted_goes_on_with_the_leaving(
    windows: Windows, service: Process
) -> None:
    group = await an_open_group(windows, service)
    ann, ben_user = group.ann, group.people[1]
    leave = f"**/api/v1/chats/{group.id}"
    await ann.context.route(leave, lambda route: route.abort("connectionreset"))
    await ann.open_details()
    await expect(ann.member(ben_user.username)).to_be_visible()
    await ann.button("details.leave").click()
    dialog = ann.dialog("details.heir.title")
    await dialog.get_by_role("radio", name=ben_user.username).check()
    await dialog.get_by_role("button", name=ann.words("details.heir.action")).click()
    await expect(dialog.get_by_role("alert")).to_have_text(ann.words("error.network"))
    await ann.context.unroute(leave)
    await dialog.get_by_role("button", name=ann.words("details.heir.action")).click()
    await expect(dialog).to_be_hidden()
    await expect(ann.chat(group.name)).to_have_count(0)


async def test_an_admin_may_what_a_member_may_not(windows: Windows, service: Process) -> None:
    group = await an_open_group(windows, service)
    ann, ben = group.ann, group.ben
    _, ben_user, cem = group.people
    await ben.open_details()
    await expect(ben.member(cem.username)).to_be_visible()
    await expect(ben.button("details.addPeople")).to_have_count(0)
    await ann.open_details()
    await ann.act_on(ben_user.username, "details.make.admin")
    await expect(ann.member(ben_user.username)).to_contain_text(ann.words("role.admin"))
    await expect(ben.button("details.addPeople")).to_be_visible()

    await cem.say(group.id, "Something rude")
    await ben.delete("Something rude", everywhere=True)
    await ann.reads_nothing_of("Something rude")

    await ann.act_on(ben_user.username, "details.make.owner")
    await ann.confirm("details.handOver.title", "details.handOver.action", name=ben_user.username)
    await expect(ben.member(group.people[0].username)).to_contain_text(ben.words("role.admin"))
    await expect(ann.member(ben_user.username)).to_contain_text(ann.words("role.owner"))


async def test_who_is_removed_sees_it_at_once_and_loses_the_chat(windows: Windows, service: Process) -> None:
    group = await an_open_group(windows, service)
    ann, ben, ben_user = group.ann, group.ben, group.people[1]
    await ann.say("A secret for three")
    await ben.reads("A secret for three")
    await ben.composer.fill("Half a thought")
    await ann.open_details()
    await ann.act_on(ben_user.username, "details.remove")
    await ann.confirm("details.removeTitle", "details.remove", name=ben_user.username)
    await ben.sees("gone.title")
    await ben.sees("gone.unsent")
    await ben.sees_text("Half a thought")
    await ben.reads_nothing_of("A secret for three")
    await expect(ben.chat(group.name)).to_have_count(0)
    await expect(ann.member(ben_user.username)).to_have_count(0)
    await ann.sees("chat.members", count=2)
    await ben.page.get_by_role("link", name=ben.words("unknown.action")).click()
    await ben.is_at("/")

    await group.people[0].post(f"/chats/{group.id}/participants", {"user_ids": [ben_user.id]}, status=200)
    await ben.open_chat(group.name)
    await ben.reads("A secret for three")


async def test_an_owner_hands_over_before_leaving(windows: Windows, service: Process) -> None:
    group = await an_open_group(windows, service)
    ann, ben = group.ann, group.ben
    await ben.open_details()
    await ann.open_details()
    await ann.button("details.leave").click()
    dialog = ann.dialog("details.heir.title")
    await dialog.get_by_role("button", name=ann.words("details.heir.action")).click()
    await expect(dialog.get_by_role("alert")).to_have_text(ann.words("details.heir.missing"))
    await dialog.get_by_role("radio", name=group.people[1].username).check()
    await dialog.get_by_role("button", name=ann.words("details.heir.action")).click()
    await expect(dialog).to_be_hidden()
    await expect(ann.chat(group.name)).to_have_count(0)
    await expect(ben.member(group.people[1].username)).to_contain_text(ben.words("role.owner"))
    await expect(ben.member(group.people[0].username)).to_have_count(0)

    await ben.button("details.leave").click()
    await ben.page.keyboard.press("Escape")
    await expect(ben.chat(group.name)).to_be_visible()
