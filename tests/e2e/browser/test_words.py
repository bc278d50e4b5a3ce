"""Both languages say everything, and say it about the same things."""

from __future__ import annotations

import re
from pathlib import Path

from chat_service.domain.errors import every_error
from tests.e2e.browser.words import Entry, Words

APP = Path(__file__).parents[3] / "chat_service" / "web" / "app"
SOURCES = {file: file.read_text() for file in APP.rglob("*.js")}
ASKED = {
    key
    for text in SOURCES.values()
    for first in re.findall(r"\bt\(([^,)]*)", text)
    for key in re.findall(r'"([a-z]\w*(?:\.\w+)+)"', first)
}
# Others are passed on before they are looked up.
NAMED = {key for text in SOURCES.values() for key in re.findall(r'"([a-z]\w*(?:\.\w+)+)"', text)}
BEGINNINGS = {key for text in SOURCES.values() for key in re.findall(r"`([a-z][\w.]*\.)\$\{", text)}


def forms(entry: Entry) -> dict[str, str]:
    return {"other": entry} if isinstance(entry, str) else entry


def placeholders(sentence: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", sentence))


async def test_both_languages_have_the_same_sentences(words: dict[str, Words]) -> None:
    english, vietnamese = words["en"].entries, words["vi"].entries
    assert english.keys() - vietnamese.keys() == set()
    assert vietnamese.keys() - english.keys() == set()
    assert len(english) > 150


async def test_no_sentence_is_empty_or_was_left_in_english(words: dict[str, Words]) -> None:
    english, vietnamese = words["en"].entries, words["vi"].entries
    for language in (english, vietnamese):
        assert [key for key, entry in language.items() if not all(forms(entry).values())] == []
    same = {key for key, entry in english.items() if entry == vietnamese[key]}
    spoken = {key for key in same if re.search("[a-z]{3}", re.sub(r"\{\w+\}", "", str(english[key])))}
    assert {key for key in spoken if not re.match(r"app\.name|.*[Ee]mail|.*[Ll]anguage", key)} == set()


async def test_a_sentence_speaks_of_the_same_things_in_both_languages(words: dict[str, Words]) -> None:
    for key, entry in words["en"].entries.items():
        others = words["vi"].entries[key]
        assert isinstance(others, str) == isinstance(entry, str), key
        named = placeholders(forms(entry)["other"])
        assert placeholders(forms(others)["other"]) == named, key
        if not isinstance(entry, str):
            # `zero` is no category of either language; it is there where nothing is called otherwise.
            assert set(entry) - {"zero"} == {"one", "other"}, key
            assert set(forms(others)) - {"zero"} == {"other"}, key
            assert ("zero" in entry) == ("zero" in forms(others)), key
            assert placeholders(entry["one"]) <= named, key


async def test_every_refusal_of_the_service_has_its_sentence(words: dict[str, Words]) -> None:
    codes = {*every_error(), "invalid_frame", "network"}
    for language in words.values():
        assert {code for code in codes if f"error.{code}" not in language.entries} == set()
        for code in codes:
            assert "_" not in language(f"error.{code}"), "a code is not for people"


async def test_every_sentence_that_is_asked_for_is_there_and_no_other(words: dict[str, Words]) -> None:
    known = words["en"].entries.keys()
    assert len(ASKED) > 100
    assert ASKED - known == set()
    unused = {key for key in known - NAMED if not any(key.startswith(one) for one in BEGINNINGS)}
    assert {key for key in unused if not key.startswith("error.")} == set()
