"""Texts from outside, made fit to be sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import httpx

from tasks.model.escalation import Notice
from tasks.redact import redact

# Half a surrogate pair is no UTF-8, and receivers stumble over control characters. Line breaks and tabs stay.
_UNSENDABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_HOST = re.compile(r"[\w.:-]+")
NOTHING = "–"  # an empty text is refused by some receivers, and overlooked by people
_ELLIPSIS = "…"
_LINK = 1000  # Slack takes 3000 characters


def clean(text: str) -> str:
    """The text without secrets, and without characters that cannot be sent."""
    return _UNSENDABLE.sub("\ufffd", redact(text))


def one_line(text: str) -> str:
    """The cleaned text on one line."""
    return " ".join(clean(text).split())


def headline(notice: Notice) -> str:
    """What it is about and why it is told, on one line."""
    return f"{one_line(notice.title) or NOTHING}: {notice.kind}"


def facts(of: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Names and values, cleaned. A value whose name says that it is a secret is hidden as a whole."""
    for name, value in of:
        told = redact(f"{name}=shown") != f"{name}=shown"
        yield one_line(name) or NOTHING, "***" if told else clean(value).strip() or NOTHING


def web_address(text: str) -> httpx.URL | None:
    """The text as an http or https address, or None where it is none."""
    try:
        url = httpx.URL(text)
        url.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return None
    return url if url.scheme in ("http", "https") and _HOST.fullmatch(url.host) else None


def link(notice: Notice) -> str:
    """The notice's link, or the empty string where it is no web address, or far too long: a receiver would refuse the
    whole notice for it."""
    url = web_address(clean(notice.link))
    return str(url) if url and len(str(url)) <= _LINK else ""


def units(text: str) -> int:
    """The length in UTF-16 code units. Receivers do not say what they count as a character: this is the larger of the
    usual two."""
    return len(text.encode("utf-16-le")) // 2


def fit(text: str, most: int, write: Callable[[str], str] = str) -> str:
    """The text as `write` escapes it, at most so long. What does not fit is cut off, never within a character or an
    escape, and replaced by an ellipsis."""
    written = write(text)
    if units(written) <= most:
        return written
    room, kept = most - units(_ELLIPSIS), []
    for character in text:
        piece = write(character)
        room -= units(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + _ELLIPSIS
