"""Takes secrets out of text before it is logged, stored or shown."""

from __future__ import annotations

import re

# A quoted value ends at its closing quote, not at an escaped one, or where the text was cut off.
_QUOTED = r"[bru]?(?:\"(?:[^\"\\]|\\.)*(?:\"|\\?$)|'(?:[^'\\]|\\.)*(?:'|\\?$))"
_DONE = r"(?!\s{0,9}\*\*\*(?:[^\w*]|$))"  # redacting twice changes nothing
# Counts of tokens are readings of AI platforms, not secrets.
_NAMES = (
    r"password|passwd|passphrase|pwd|secret|credential|(?<![a-z])(?:pass|auth)(?![a-z])"
    r"|(?:api|access|private|routing|integration|encryption|signing|master|account)[_-]?key"
    r"|token(?!s(?![a-z])|[_-]?(?:count|total|usage|used|limit|rate|budget))"
)

# Repetitions have an upper bound where a text made for it could take the time of its square.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*-----|$)", re.S),
        "***",
    ),
    # What a URL has before its @: user:password, or a token alone. The password may hold what it should not, / or @;
    # a port with a path after it is not a password.
    (
        re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@:\"'<>]{0,200}:(?!\d+[/?#])[^\s\"'<>]{0,500}@", re.I),
        r"\g<scheme>***@",
    ),
    (re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,30}://)[^\s/?#:\"'<>]{0,500}@", re.I), r"\g<scheme>***@"),
    (
        re.compile(
            r"(?P<hook>\b(?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks|[\w-]{1,63}\.webhook\.office\.com)/)"
            r"[^\s\"'<>]+",
            re.I,
        ),
        r"\g<hook>***",
    ),
    (
        re.compile(r"(?P<option>\s--?(?:[a-z]{1,20}-)?(?:password|token|secret)\s{1,9})[^\s\"']+", re.I),
        r"\g<option>***",
    ),
    # Headers whose whole line is a secret, whatever scheme it names.
    (
        re.compile(
            rf"(?P<key>\b(?:proxy-)?(?:authorization|cookie|set-cookie)\\*[\"']?\s{{0,9}}[:=]\s{{0,9}})"
            rf"{_DONE}(?:{_QUOTED}|[^\r\n\"']+)",
            re.I,
        ),
        r"\g<key>***",
    ),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.I), r"\1 ***"),
    # key=value, key: value and "key": "value", in JSON inside JSON too
    (
        re.compile(
            rf"(?P<key>[\"']?\b[\w.-]{{0,64}}(?:{_NAMES})[\w-]{{0,64}}\\*[\"']?)(?P<sep>\s{{0,9}}[:=]\s{{0,9}})"
            rf"{_DONE}(?:\\+\"(?:[^\"\\]|\\[^\"])*(?:\\+\"|$)|{_QUOTED}|[^\s&\"']+)",
            re.I,
        ),
        r"\g<key>\g<sep>***",
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), "***"),  # JSON web tokens
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), "***"),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|xox[a-z]-)[\w-]{8,}"), "***"),
    (re.compile(r"\bsk-[\w-]{16,}"), "***"),
)


def redact(text: str) -> str:
    """The text without passwords, tokens and keys. What is not recognised as a secret stays."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
