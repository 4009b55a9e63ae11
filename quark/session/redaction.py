"""Secrets are taken out before anything becomes a record: by the name of the key, and by the look of the value."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "[redacted]"

_NAME = re.compile(
    r"(?:^pass$|(?:^|[_.\-\s])(?:pass(?:word|wd|phrase)|pwd|secrets?|token|api_?keys?|access_?keys?|private_?keys?|user_?key|"
    r"auth(?:orization)?|credentials?|cookie|bearer|session_?key|dsn|webhook(?:_?url)?)(?:$|[_.\-\s]))",
    re.IGNORECASE,
)
_NOT_SECRET = re.compile(
    r"(?:num|max|min|n|use|pad|cls|bos|eos|sep|mask|unk|memory|special|image|per|total)[_.\-]?.*tokens?\b|"
    r"tokens?_?(?:ids?|types?|per|count|length|dim|size|dropout|embedding|izer)|^tokens?$(?<=tokens)|author(?!iz)",
    re.IGNORECASE,
)
_VALUES = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(
        r"\b(?:qk_|sk-|sk_live_|ghp_|gho_|ghs_|github_pat_|glpat-|xox[abprs]-|hf_|AKIA|ASIA|AIza|ya29\.)[\w\-]{8,}"
    ),
    re.compile(r"\beyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]+"),
    re.compile(r"\b(?:Bearer|Basic)\s+[\w\-+/=.]{12,}", re.IGNORECASE),
    re.compile(r"https://hooks\.slack\.com/\S+"),
)
_URL_USER = re.compile(r"(\b[a-z][a-z0-9+.\-]*://)[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
_URL_QUERY = re.compile(
    r"([?&](?:token|key|api_key|password|secret|sig|signature|access_token)=)[^&\s]+", re.IGNORECASE
)
_SPLIT_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def redact(value: Any, name: str = "") -> Any:
    """``value`` without what looks like a secret; mappings and lists keep their shape."""
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if name and is_secret_name(name) and value not in (None, "", True, False):
        return HIDDEN
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return value


def is_secret_name(name: str) -> bool:
    """Whether a key of this name holds a secret: ``api_key`` does, ``num_memory_tokens`` does not."""
    snake = _SPLIT_CAMEL.sub("_", name).replace("-", "_").replace(".", "_")
    return bool(_NAME.search(snake)) and not _NOT_SECRET.search(snake)


def redact_text(text: str) -> str:
    """A text without keys, bearer tokens, private keys and passwords in URLs."""
    for pattern in _VALUES:
        text = pattern.sub(HIDDEN, text)
    text = _URL_USER.sub(rf"\1{HIDDEN}@", text)
    return _URL_QUERY.sub(rf"\1{HIDDEN}", text)


def redact_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line without the values of options that hold secrets, ``--key=value`` and ``--key value`` alike."""
    made: list[str] = []
    hide_next = False
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        is_option = argument.startswith("-")
        if hide_next and not is_option:
            made.append(HIDDEN)
        elif (is_option or equals) and is_secret_name(option.lstrip("-")):
            made.append(f"{option}={HIDDEN}" if equals else argument)
        else:
            made.append(redact_text(argument))
        hide_next = is_option and not equals and is_secret_name(option.lstrip("-"))
    return made
