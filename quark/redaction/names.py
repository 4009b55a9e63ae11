"""Whether a name says that what it holds is a secret: judged by its whole words, whatever way they are joined."""

import functools
import itertools
import re

from .lazy import lazy_pattern
from .words import (
    ATTRIBUTES,
    COUNTS,
    ENGLISH,
    HEADS,
    KEY_TEXT,
    KEYS,
    PASS,
    PASSWORDS,
    PHRASES,
    PROVIDERS,
    TAILS,
    TEXT_HEADS,
    TOKENS,
    TRAINING,
)

OPEN = 0
TEXT = 1
ALL = 2
"""How much a name hides: nothing; text, but no numbers; everything but None, True and False."""

NEEDS_PARENT = frozenset(("key", "keys", "code", "codes", "phrase", "pin", "url", "signature"))
"""Names that are secret below some others only: ``api.key``, ``{"webhook": {"url": ...}}``."""

LONGEST = 200
_SOUNDS = lazy_pattern(
    r"pass|pw|secret|cred|token|key|auth|cookie|jwt|bearer|otp|csrf|xsrf|dsn|hook|code|phrase|pin|netrc|sign|wort|senha|pats?(?![a-z])|sas|conn|mnemonic|private"
    r"|contrasena|wachtwoord|motdepasse|[^\x00-\x7f]"
)
"""What every secret name holds, in lower case; most names hold none of it, and need not be taken apart."""

_PATH = lazy_pattern(r"[./:\[\]\\]+")
_WORD = lazy_pattern(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")
_CODINGS = lazy_pattern(r"base64|b64|sha256|md5", re.IGNORECASE)
_GLUED = ("passwords", "password", "passwd", "passphrase", "passcode", "tokens", "token", "secrets", "secret",
          "credentials", "creds", "apikeys", "apikey", "privatekey", "secretkey", "accesskey")  # fmt: skip
_KEY_PARTS = ("api", "access", "secret", "private", "encryption", "signing", "auth")
_AFTER_SECRET = frozenset(["key", "keys", "value", "token", "id", "access", "string"])


def is_secret_name(name: str) -> bool:
    """Whether text under this name is a secret: ``apiKey`` is, ``num_memory_tokens`` is not."""
    return secrecy(name) != OPEN


def judge(name: str) -> int:
    """How much a name hides: OPEN, TEXT or ALL. What lies below a secret name is as secret: ``credentials.user``."""
    if not _SOUNDS.search(name.lower()):
        return OPEN
    if len(name) > 2 * LONGEST:
        name = f"{name[:LONGEST]}_{name[-LONGEST:]}"
    segments = _PATH.split(name)
    below = (f"{above}_{own}" for above, own in itertools.pairwise(segments) if own.lower() in NEEDS_PARENT)
    return max(map(_of_segment, (*segments, *below)), default=OPEN)


secrecy = functools.lru_cache(maxsize=4096)(judge)
"""``judge``, which remembers: the same names come again in every record."""


def last_segment(name: str) -> str:
    """The part of a dotted name that stands for the value: ``token`` of ``trainer.token``."""
    return _PATH.split(name)[-1]


def _of_segment(segment: str) -> int:
    words = [part for word in _WORD.findall(_CODINGS.sub(" ", segment)) for part in _parts(word.lower())]
    if not words:
        return OPEN
    level = max(_of_passwords(words), _of_phrase(words))
    while len(words) > 1 and (words[-1] in TAILS or (words[-1] in PROVIDERS and words[-2] not in ATTRIBUTES)):
        words.pop()
        level = max(level, _of_phrase(words))
    return max(level, _of_head(words))


def _of_phrase(words: list[str]) -> int:
    return ALL if "_".join(words[-2:]) in PHRASES and words[0] not in COUNTS else OPEN


def _of_passwords(words: list[str]) -> int:
    """A password is one wherever it stands, but for what describes or counts it."""
    for place, word in enumerate(words):
        if word in PASSWORDS:
            described = any(later in ATTRIBUTES for later in words[place + 1 :])
            return OPEN if described or words[0] in COUNTS else ALL
    return OPEN


def _of_head(words: list[str]) -> int:
    head, before = words[-1], words[:-1]
    if head in ("id", "ids") and before and before[-1] in ("key", "keys"):
        head, before = before[-1], before[:-1]
    if words[0] in COUNTS and before:
        return OPEN
    if head in HEADS:
        return ALL
    if head in TEXT_HEADS:
        return TEXT
    if head in ("key", "keys"):
        return _of_key(before)
    if head in ("token", "tokens"):
        return _of_token(before)
    if head in ("pat", "pats"):  # a personal access token
        return OPEN if PROVIDERS.isdisjoint(before) else TEXT
    if head in ("pass", "pw"):
        return TEXT if not before or not PASS.isdisjoint(before) else OPEN
    return OPEN


def _of_key(before: list[str]) -> int:
    if "public" in before or not before:
        return OPEN
    nearest = [word for word in before if word not in TAILS or word == "write"][-1:]
    if nearest and nearest[0] in KEYS:
        return ALL
    return TEXT if nearest and nearest[0] in KEY_TEXT else OPEN


def _of_token(before: list[str]) -> int:
    if not TOKENS.isdisjoint(before):
        return ALL
    return OPEN if not TRAINING.isdisjoint(before) else TEXT


def _parts(word: str) -> tuple[str, ...]:
    """A word without the seams that nobody wrote: ``dbpass``, ``secretkey``, ``passwordfile``."""
    if word in PASSWORDS or word in ENGLISH or word in HEADS or word in TEXT_HEADS:
        return ("api", "key") if word.startswith("apikey") else (word,)
    for end in _GLUED:
        if word.endswith(end):
            before = word[: -len(end)]
            return (*((before,) if before else ()), *(_glued_key(end) if end.endswith(("key", "keys")) else (end,)))
    for start in ("password", "passwd", "passphrase"):
        if word.startswith(start):
            return start, word[len(start) :]
    if word.startswith(("connection", "conn")) and word.endswith(("string", "strings", "str")):
        return "connection", "string"
    if word.startswith("secret") and word[6:] in _AFTER_SECRET:
        return "secret", word[6:]
    for end, allowed in (("keys", KEYS), ("key", KEYS), ("pass", PASS), ("pw", PASS), ("pwd", PASS), ("auth", PASS)):
        before = word.removesuffix(end)
        if before != word and (before in allowed or (end.startswith("key") and before.endswith(_KEY_PARTS))):
            return before, end
    return (word,)


def _glued_key(word: str) -> tuple[str, str]:
    key = "keys" if word.endswith("keys") else "key"
    return word[: -len(key)], key
