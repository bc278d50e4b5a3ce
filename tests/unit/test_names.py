"""What may be a name, an address or a password, and when two of them are the same."""

# ruff: noqa: RUF001 - letters that are mistaken for others are what this is about

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_service.domain.errors import InvalidRequest
from chat_service.domain.names import (
    MAX_KEY_BYTES,
    check_email,
    check_password,
    check_profile,
    check_username,
    find_email_fold,
    fold,
    fold_email,
    list_words,
    split_query,
)


def refused_field(check: Callable[..., Any], *arguments: object) -> str:
    """The field that the refusal names."""
    with pytest.raises(InvalidRequest) as refused:
        check(*arguments)
    assert refused.value.errors is not None
    (error,) = refused.value.errors
    assert error["message"]
    return str(error["field"])


# --- Folding


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna", "ANNA"),
        ("anna", "Änná"),
        ("anna", "a\u0308nna"),
        ("Straße", "STRASSE"),
        ("Łódź", "lodz"),
        ("Đorđe", "dorde"),
        ("Søren", "soren"),
        ("Işık", "isik"),
        ("İstanbul", "istanbul"),
        ("ＡＢＣ", "abc"),
        ("ﬁona", "fiona"),
        ("𝐛𝐨𝐛", "bob"),
        ("Σίσυφος", "σισυφοσ"),
        ("user①", "user1"),
        ("가나다", "가나다"),
    ],
)
def test_names_that_look_alike_fold_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("anna", "anna."), ("ana", "anna"), ("😀", "😁"), ("o", "0")])
def test_other_names_fold_differently(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text().filter(lambda text: "\u0345" not in unicodedata.normalize("NFKD", text)))
def test_case_makes_no_difference(text: str) -> None:
    """But for the Greek iota below a letter: a mark, which the fold drops, and whose capital is a letter."""
    assert fold(text.casefold()) == fold(text)


# --- Usernames


@pytest.mark.parametrize(
    "name",
    [
        "bob",
        "b" * 32,
        "user_1.x-",
        "123",
        "Änne",
        "田中さくら",
        "ヴィクトー",
        "李雷123",
        "한국어",
        "Иван_2",
        "क्षितिज",
        "สมชาย",
        "علي٣٤",
    ],
)
def test_a_username_has_letters_and_digits_of_one_script(name: str) -> None:
    assert check_username(name) == name


def test_a_username_is_stored_composed() -> None:
    assert check_username("A\u0308nne") == "Änne"


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "b" * 33,
        "",
        "a@b",
        "a b",
        "a/b",
        "...",
        "_-_",
        "bob\u0301",
        "\u0301bob",
        "bob\u200b",
        "bob\u202e",
        "bob\x00",
        "bob\n",
        "bob\ud800",
        "bob😀",
        "bob①",
        "ㅤㅤㅤ",
        "boｂ．",
        "ﷺabc",
        "ʼabc",
    ],
)
def test_other_signs_are_no_username(name: str) -> None:
    assert refused_field(check_username, name) == "username"


@pytest.mark.parametrize(
    "name", ["pаypal", "раyраl", "bοb", "ⅎоо1", "bob٣", "Ａлекс", "𝐛ов", "anna田", "abcα", "नамя"]
)
def test_mixed_scripts_are_no_username(name: str) -> None:
    assert refused_field(check_username, name) == "username"


@given(st.text(min_size=3, max_size=32))
def test_what_is_accepted_as_a_username_can_be_stored(name: str) -> None:
    try:
        stored = check_username(name)
    except InvalidRequest:
        return
    assert 3 <= len(stored) <= 32
    assert "@" not in stored
    assert 0 < len(fold(stored).encode()) <= MAX_KEY_BYTES
    assert len(fold(stored).split()) == 1
    assert check_username(stored) == stored


# --- Addresses and passwords


@pytest.mark.parametrize(
    ("given_as", "stored"),
    [
        ("Anna@Example.ORG", "Anna@example.org"),
        ("ann@chat.local", "ann@chat.local"),
        ("ann@example.test", "ann@example.test"),
        ("jürgen@bücher.example", "jürgen@bücher.example"),
        ("a@xn--bcher-kva.example", "a@bücher.example"),
    ],
)
def test_an_address_is_checked_without_the_network(given_as: str, stored: str) -> None:
    assert check_email(given_as) == stored


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "@example.org",
        "anna@",
        "anna@localhost",
        "a b@example.org",
        "a@b@example.org",
        "a@[127.0.0.1]",
        "a@1.2.3.4",
        "Anna <a@example.org>",
        "a\x00@example.org",
        "a\ud800@example.org",
        "a" * 250 + "@example.org",
    ],
)
def test_other_text_is_no_address(address: str) -> None:
    assert refused_field(check_email, address) == "email"


def test_an_address_is_found_however_it_is_typed() -> None:
    stored = fold_email(check_email("Anna@bücher.example"))

    assert find_email_fold("ANNA@BÜCHER.EXAMPLE") == stored
    assert find_email_fold("anna@xn--bcher-kva.example") == stored
    assert find_email_fold("anna@@") == "anna@@"


@pytest.mark.parametrize("password", ["12345678", "x" * 128, "😀" * 8, "        ", "\x00" * 8, "pässwörd"])
def test_a_password_may_have_any_characters(password: str) -> None:
    check_password(password)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "1234567\ud800"])
def test_a_password_has_8_to_128_whole_characters(password: str) -> None:
    assert refused_field(check_password, password) == "password"
    assert refused_field(check_password, password, "new_password") == "new_password"


# --- Profiles


def test_a_profile_is_stored_as_it_is_sent() -> None:
    fields = {
        "full_name": " Anna  😀 ",
        "bio": "Two\nlines\tand a tab",
        "phone": "+49 (30) 123-4",
        "avatar_url": "https://example.org/a.png?size=2#x",
    }
    assert check_profile(fields) == fields


def test_a_blank_field_is_none() -> None:
    assert check_profile({"full_name": "  ", "bio": "", "phone": None}) == {
        "full_name": None,
        "bio": None,
        "phone": None,
    }


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("full_name", "a\nb"),
        ("full_name", "a\x07"),
        ("full_name", "a\u202eb"),
        ("full_name", "a\u2028b"),
        ("full_name", "a\ud800"),
        ("full_name", "a" * 101),
        ("bio", "a" * 501),
        ("bio", "a\x00"),
        ("bio", "a\x1b[0m"),
        ("phone", "1" * 33),
        ("avatar_url", "javascript:alert(1)"),
        ("avatar_url", "data:image/png;base64,AA"),
        ("avatar_url", "//example.org/a.png"),
        ("avatar_url", "https://"),
        ("avatar_url", "https://[::1"),
        ("avatar_url", "https://example.org/a b"),
        ("avatar_url", "https://example.org:99999/"),
        ("avatar_url", "https://example.org/" + "a" * 490),
    ],
)
def test_what_would_harm_a_page_is_refused(field: str, text: str) -> None:
    assert refused_field(check_profile, {field: text}) == field


# --- Search


def test_a_user_is_found_by_every_word_and_what_follows_its_marks() -> None:
    assert list_words("anna.lee", "Anna-Lena  (Kühn)") == {
        "anna.lee",
        "lee",
        "anna-lena",
        "lena",
        "(kuhn)",
        "kuhn)",
    }
    assert list_words("हिन्दी", None) == {fold("हिन्दी")}


def test_long_words_are_cut_at_a_character() -> None:
    (word,) = list_words("田" * 100)
    assert word == "田" * 85


@given(st.text(max_size=100))
def test_every_beginning_of_a_name_finds_it(name: str) -> None:
    words = list_words(name)
    for token in fold(name).split():
        prefix = token[: max(1, len(token) // 2)]
        assert any(word.startswith(prefix) for word in words)


def test_a_query_is_split_into_folded_words() -> None:
    assert split_query("  Kühn ANNA kühn ") == ["anna", "kuhn"]
    assert split_query("%_") == ["%_"]
    assert split_query("\u0301\u0301") == []


@pytest.mark.parametrize("query", ["", "a", " a ", "a" * 101, "a\x00b", "a\ud800", " ".join("abcdefghijk")])
def test_a_query_has_2_to_100_characters_and_10_words(query: str) -> None:
    assert refused_field(split_query, query) == "q"
