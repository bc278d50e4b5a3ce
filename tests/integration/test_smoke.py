from tests.builders import a_direct_chat, a_user, sockets
from tests.node import Node


async def test_two_people_chat(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    chat_id = await a_direct_chat(ann, ben)
    async with sockets(ann, ben) as (ann_socket, ben_socket):
        sent = await ann_socket.say(chat_id, "Hello, Ben!")
        assert sent["seq"] == 1
        push = await ben_socket.expect("new_message")
        assert push["message"] == sent
        own = await ann_socket.expect("new_message")
        assert own == push
        rest = await ben.say(chat_id, "Hi!")
        assert (await ann_socket.expect("new_message"))["message"] == rest
    page = await ben.get(f"/messages/chat/{chat_id}")
    assert [m["content"] for m in page["items"]] == ["Hello, Ben!", "Hi!"]
