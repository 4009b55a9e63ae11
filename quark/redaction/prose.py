"""Secrets in plain sentences: ``the password is X``, ``with password X``, ``API key X is not valid``.

A word after ``password is`` may be the password or an ordinary word. It is taken for a secret if it looks like one
(quotes, digits and letters together), and after a password also if the sentence ends with it.
"""

# ruff: noqa: SIM905  words in a text are easier to read and to sort than quoted ones

import re

from .formats import HIDDEN
from .lazy import lazy_pattern

_PASSWORDS = """password|passwd|passphrase|passcode|pwd|passwort|kennwort|contraseña|contrasena|senha|wachtwoord"""
_OTHERS = """(?:api|access|secret|private|license|account)[ _-]?key|(?:access|auth|api|bearer|session)[ _-]?token|token
    |client[ _]secret|secret|credential"""
_IS = "is|was|are|were|now|becomes?|ist|war|lautet|es|est|é|has[ ]been[ ]set[ ]to|(?:re)?set[ ]to|changed[ ]to"
_PROSE = lazy_pattern(
    rf"""(?<![\w.\-])(?:(?P<password>{_PASSWORDS})|(?P<other>{_OTHERS}))s?["'`]?[ \t]{{1,4}}
    (?P<verb>(?:{_IS})(?:[ ]now)?:?[ \t]{{1,4}})?
    (?P<quote>["'`]?)(?P<value>[^\s"'`]{{1,200}})(?P=quote)""",
    re.VERBOSE | re.IGNORECASE,
)
_ONE_WORD = lazy_pattern(r"[A-Za-z]+")
_ENDS = lazy_pattern(r"[\s.!?)\]]*(?:\Z|\n)")
_CLOSING = ".,;:!?)]}"
_LOOKS_SECRET = lazy_pattern(r"(?=.{5,})(?=.*[A-Za-z])(?=.*[\d@#$%^&*!~+])[^/\\()\[\]{}<>=]+\Z")
_ORDINARY = lazy_pattern(r"\w+(?:ed|ing|able|ible|less|ly|ary|ory|ional|ent|ant|ful|ive|ous)\Z", re.IGNORECASE)
_WORDS = frozenset(
    """required invalid wrong incorrect missing not too none null empty set unset here there now still also never always
    no yes only optional ok okay valid correct unknown safe unsafe weak strong short long shorter longer old new secret
    public private the a an in on at to of by for from with without and or but if when where that this it hard easy
    good bad right fine true false free gone lost known kept sent shown clear plain text redacted case up out off
    yours mine his hers ours theirs what which one same different enough default something anything nothing
    visible readable rotated case-sensitive falsch richtig leer nicht sha1 sha256 sha512 md5 base64 utf8 utf-8 bcrypt
    scrypt argon2 argon2id pbkdf2 oauth2 x509 ed25519 gpt2 int8 fp16 bf16 python3 http2 number id index step""".split()
)
"""What may follow ``is`` and is no secret, also some that look like one."""


def looks_secret(word: str) -> bool:
    """Whether a word is made like a secret and not like a word: of letters with digits or signs."""
    return _LOOKS_SECRET.match(word) is not None


def without_spoken(text: str) -> str:
    """A text without the secrets that its sentences tell."""
    return _PROSE.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    value = found["value"].rstrip(_CLOSING)
    if not value or value.lower() in _WORDS or HIDDEN in found.group() or "=" in value:
        return found.group()
    vague = found["other"] and _ONE_WORD.fullmatch(found["other"])
    if vague and not found["verb"]:
        return found.group()  # ``token 5``, ``secret project2``
    quoted = found["quote"] and found["verb"] and not vague
    if not (quoted or looks_secret(value) or _ends_with_it(found, value)):
        return found.group()
    begin = found.start("value") - found.start()
    return found.group()[:begin] + HIDDEN + found.group()[begin + len(value) :]


def _ends_with_it(found: re.Match[str], value: str) -> bool:
    """Whether a sentence ends with a word that a password was said to be."""
    if not (found["password"] and found["verb"]) or _ORDINARY.match(value) or not value[0].isalpha():
        return False
    return _ENDS.match(found.string, found.start("value") + len(value)) is not None
