"""Names, e-mail addresses, passwords and profiles: what is accepted, and when two of them are the same.

`fold` is the only function that decides equality of names and what a search finds. Stores keep folded
names and words, so a change to it needs a new `FOLD_VERSION` and a migration that folds them again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email

from chat_service.domain.errors import InvalidRequest

FOLD_VERSION = 1
MIN_USERNAME, MAX_USERNAME = 3, 32
MIN_PASSWORD, MAX_PASSWORD = 8, 128
MIN_QUERY, MAX_QUERY = 2, 100
MAX_QUERY_WORDS = 10
MAX_KEY_BYTES = 255
"""The bytes that the stores keep of a folded name or word."""
PROFILE_CHARS = {"full_name": 100, "bio": 500, "phone": 32, "avatar_url": 500}

_STROKES = str.maketrans({"đ": "d", "ø": "o", "ł": "l", "ı": "i"})  # noqa: RUF001 - that very letter
"""Latin letters that have no decomposition although people type them without their stroke or dot."""
_PUNCTUATION = frozenset("._-")
_JAPANESE = frozenset({"HIRAGANA", "KATAKANA", "CJK", "IDEOGRAPHIC"})
_NO_SCRIPT = frozenset({"COMBINING", "MODIFIER", "VARIATION"})
_INVISIBLE = frozenset("\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Letters and marks that are drawn as nothing: Hangul fillers, inherent vowels, variation selectors."""
_LAYOUT = frozenset("\n\r\t")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They would turn round the text behind a name."""


def fold(text: str) -> str:
    """The form in which names are compared and searched: without case, marks, width and strokes.

    NFKD without combining marks, casefolded, NFKC, then the letters of `_STROKES` (docs/protocol.md).
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return unicodedata.normalize("NFKC", bare.casefold()).translate(_STROKES)


def fold_email(email: str) -> str:
    return unicodedata.normalize("NFC", email).casefold()


def list_words(*names: str | None) -> set[str]:
    """The folded words that the owner of these names is found by.

    A word is what stands between white space, and again what follows a mark inside of it: "anna-lena" is
    found by "anna-l" and by "lena". Each has at most `MAX_KEY_BYTES` bytes.
    """
    words: set[str] = set()
    for name in names:
        for token in fold(name or "").split():
            starts = [i for i in range(len(token)) if i == 0 or _begins_word(token, i)]
            words.update(_cut(token[start:]) for start in starts)
    return words


def split_query(query: str) -> list[str]:
    """The folded words of a search, each of which must begin a word of whoever is found.

    Raises `InvalidRequest` for a query that is too short, too long or has too many words. The list may be
    empty, for a query of combining marks alone, and then nobody is found.
    """
    check_text("q", query)
    if not MIN_QUERY <= len(query.strip()) <= MAX_QUERY:
        raise refusal("q", f"A search has {MIN_QUERY} to {MAX_QUERY} characters.")
    words = sorted({_cut(word) for word in fold(query).split()})
    if len(words) > MAX_QUERY_WORDS:
        raise refusal("q", f"A search has at most {MAX_QUERY_WORDS} words.")
    return words


def check_text(field: str, text: str) -> None:
    """Refuse what no store and no answer can hold: lone surrogates and U+0000."""
    if not is_text(text):
        raise refusal(field, "The text holds a character that cannot be stored.")


def is_encodable(text: str) -> bool:
    """Whether the text has no lone surrogate."""
    return re.search("[\ud800-\udfff]", text) is None


def is_text(text: str) -> bool:
    """Whether the text has neither a lone surrogate nor U+0000."""
    return is_encodable(text) and "\x00" not in text


def check_username(username: str) -> str:
    """The username in the form that is stored (NFC); raises `InvalidRequest` if it may not be one."""
    name = unicodedata.normalize("NFC", username)
    if not MIN_USERNAME <= len(name) <= MAX_USERNAME:
        raise refusal("username", f"A username has {MIN_USERNAME} to {MAX_USERNAME} characters.")
    compatible = unicodedata.normalize("NFKC", name)
    if not all(_is_allowed(text, i) for text in (name, compatible) for i in range(len(text))):
        raise refusal("username", "A username has letters, digits and the signs . _ - only.")
    if not any(c.isalnum() for c in name):
        raise refusal("username", "A username has at least one letter or digit.")
    if len({script for c in compatible if (script := _find_script(c))}) > 1:
        raise refusal("username", "The letters of a username are of one script.")
    if len(fold(name).encode()) > MAX_KEY_BYTES:
        raise refusal("username", "The username is too long.")
    return name


def check_email(email: str) -> str:
    """The address as it is stored: its domain in lower case and Unicode. Nothing is looked up.

    Names of private networks (`.local`, `.test`) are accepted, domains without a dot are not.
    """
    check_text("email", email)
    try:
        # The library refuses reserved top-level names whatever it is told; below another one they are
        # labels like any other.
        found = validate_email(f"{email}.org", check_deliverability=False)
    except EmailNotValidError as error:
        raise refusal("email", "This is not an e-mail address.") from error
    normal = found.normalized.removesuffix(".org")
    if not re.fullmatch(r".*\..*[^\W\d]", normal.rpartition("@")[2]):
        raise refusal("email", "This is not an e-mail address.")
    return normal


def find_email_fold(email: str) -> str:
    """The fold under which a typed address is stored, also of one that nobody can have."""
    try:
        return fold_email(check_email(email))
    except InvalidRequest:
        return fold_email(email)


def check_password(password: str, field: str = "password") -> None:
    """8 to 128 code points of any kind; a lone surrogate is none."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise refusal(field, f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    if not is_encodable(password):
        raise refusal(field, "The password holds half of a surrogate pair.")


def check_profile(fields: Mapping[str, str | None]) -> dict[str, str | None]:
    """What of `full_name`, `bio`, `phone` and `avatar_url` is given, as it is stored: blank is None."""
    for field, text in fields.items():
        if text is not None:
            _check_profile_text(field, text)
    if avatar_url := fields.get("avatar_url"):
        _check_web_address("avatar_url", avatar_url)
    return {field: text if text and text.strip() else None for field, text in fields.items()}


def _check_profile_text(field: str, text: str) -> None:
    check_text(field, text)
    if len(text) > PROFILE_CHARS[field]:
        raise refusal(field, f"The field has at most {PROFILE_CHARS[field]} characters.")
    allowed = _LAYOUT if field == "bio" else frozenset()
    if any(c in _BIDI or unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text if c not in allowed):
        raise refusal(field, "The field has no control characters.")


def _check_web_address(field: str, address: str) -> None:
    """Clients put it into pages: `javascript:` and `data:` must never get there."""
    try:
        parts = urlsplit(address)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_web = False
    if not is_web or any(c.isspace() for c in address):
        raise refusal(field, "The address begins with https:// or http://.")


def refusal(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=[{"field": field, "message": message}])


def _is_allowed(text: str, index: int) -> bool:
    """Letters, digits, `._-`, and the vowel signs and such of a script after one of its letters."""
    c = text[index]
    category = unicodedata.category(c)
    if c in _INVISIBLE:
        return False
    if category in ("Mn", "Mc"):
        return index > 0 and bool(_find_script(c)) and _find_script(c) == _find_script(text[index - 1])
    return c in _PUNCTUATION or category == "Nd" or (category[0] == "L" and _find_script(c) != "")


@lru_cache(maxsize=4096)
def _find_script(c: str) -> str | None:
    """The script of a letter, mark or digit; None if it goes with every script, "" if it has none.

    The standard library knows no scripts, but every letter's name begins with its script's.
    """
    if c.isascii() and not c.isalpha():
        return None
    words = unicodedata.name(unicodedata.normalize("NFKD", c)[0], "").replace("-", " ").split()
    first = words[1] if words[:1] == ["EXTENDED"] and len(words) > 1 else (words or [""])[0]
    if first in _NO_SCRIPT:
        return ""
    return "CJK" if first in _JAPANESE else first


def _begins_word(token: str, index: int) -> bool:
    return _is_wordlike(token[index]) and not _is_wordlike(token[index - 1])


def _is_wordlike(c: str) -> bool:
    return unicodedata.category(c)[0] in "LNM"


def _cut(word: str) -> str:
    return word.encode()[:MAX_KEY_BYTES].decode(errors="ignore")
