"""Well-known programs that take a secret and do not say so: ``mysql -pX``, ``wandb login X``, ``aws configure set``."""

# ruff: noqa: SIM905  words in a text are easier to read and to sort than quoted ones

import re

from .extent import says_nothing
from .formats import HIDDEN
from .lazy import lazy_pattern
from .names import ALL, OPEN, secrecy
from .prose import looks_secret

_OPTIONS = {
    "-p": """sshpass mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlpump mysqlslap mysqlbinlog
        mariadb mariadb-dump mariadb-admin login mongo mongosh mongodump mongorestore mongoexport mongoimport 7z 7za 7zz
        cqlsh rabbitmqadmin twine snowsql rdesktop useradd usermod cypher-shell couchbase-cli beeline yt-dlp youtube-dl
        unrar rar""",
    "-w": "ldapsearch ldapmodify ldapadd ldapdelete ldappasswd",
    "-P": "sqlcmd bcp zip unzip mosquitto_pub mosquitto_sub ipmitool isql tsql ssh-keygen",
    "-a": "redis-cli",
    "-N": "ssh-keygen",
    "-k": "enc",
    "-K": "enc",
}
"""Options and the programs that have them; ``login`` is that of docker and its like, ``enc`` is OpenSSL's."""

SHORT_OPTIONS: dict[str, set[str]] = {}
for _option, _names in _OPTIONS.items():
    for _name in _names.split():
        SHORT_OPTIONS.setdefault(_name, set()).add(_option)

SEPARATE = frozenset(("-k", "-K", "-N"))
"""Options whose value is an argument of its own: ``-keyout`` is another option."""

WITH_USER = frozenset(("curl", "wget", "http", "https", "httpie", "etcdctl"))
"""Programs that take ``-u user:password``."""

SHORTEST = 4
"""Shorter words are words: ``is``, ``the``."""

LOGINS = frozenset(("wandb", "vault", "cargo"))
"""Programs whose ``login`` takes a key as its argument."""

SETTING = frozenset("aws git npm yarn pnpm pip pip3 dvc poetry conda gcloud prefect heroku rclone".split())
"""Programs that keep settings: ``aws configure set NAME X``, ``dvc remote modify NAME X``."""

_USER_OPTION = lazy_pattern(r"--user|--auth|-[A-Za-z]{0,6}[uUa]")
_KEY = lazy_pattern(r"(?=[\w\-.]*\d)(?=[\w\-.]*[A-Za-z])[\w\-.]{8,}+\Z")
_LOGIN = lazy_pattern(
    r"(?<![\w.\-])(?:wandb|vault|cargo)[ \t]{1,4}login(?:[ \t]{1,4}[^\s;|&]{1,200}){0,6}?[ \t]{1,4}"
    r"(?P<value>(?=[\w\-.]*\d)(?=[\w\-.]*[A-Za-z])[\w\-.]{8,}+)(?=[\s;|&]|\Z)"
)
_SETS = lazy_pattern(
    rf"""(?<![\w.\-])(?:
        (?:{"|".join(sorted(SETTING))})[ \t][^\n;|&]{{0,200}}?(?:config|configure|modify|set) | setx | setenv | export
    )[ \t][^\n;|&]{{1,500}}""",
    re.VERBOSE,
)
_WORD = lazy_pattern(r"""["']?([^\s"']+)["']?""")
_PIPED = lazy_pattern(
    r"""(?<![\w.\-])(?:echo|printf)[ \t]{1,4}(?:-[ne][ \t]{1,4})?["']?(?P<value>[^\s$|;&"']{4,200}+)["']?[ \t]{0,4}\|
    [^\n;|&]{0,200}
    (?:-stdin|--with-token|chpasswd|\blogin\b|\bkeyring[ ]set\b|\bsudo[ ]-S|\bsecrets?[ ](?:set|create|store)\b)""",
    re.VERBOSE,
)
_HERE = lazy_pattern(
    r"""(?:-stdin|--with-token|chpasswd|\blogin\b|\bkeyring[ ]set\b)[^\n;|&<]{0,100}
    <<<[ \t]{0,4}["']?(?P<value>[^\s$;|&"'<]{4,200}+)""",
    re.VERBOSE,
)
_IN_TEXT = (("login", _LOGIN), ("|", _PIPED), ("<<<", _HERE))

COMMANDS = (
    "login",
    "config",
    "set",
    "export ",
    "modify",
    "-stdin",
    "chpasswd",
    "--with-token",
    "sudo -S",
    "secret create",
)
"""A text without any of these gives no program a key in such a way."""


def _pattern(option: str) -> re.Pattern[str]:
    names = "|".join(map(re.escape, _OPTIONS[option].split()))
    gap = r"[ \t]{1,4}" if option in SEPARATE else r"[ \t]{0,4}"
    return lazy_pattern(
        rf"""((?<![\w.\-])(?:{names})(?:\.exe)?[ \t](?:[^\n;|&]{{0,300}}?[ \t])??{option}{gap})
        (?!-)(?:"[^"\n]{{1,200}}"|'[^'\n]{{1,200}}'|[^\s;|&"']++)""",
        re.VERBOSE,
    )


_PATTERNS = {option: _pattern(option) for option in _OPTIONS}


def program_of(argument: str) -> str:
    """The name of the program that an argument may be, whatever its directory."""
    return argument.rpartition("/")[2].removesuffix(".exe")


def is_user_option(argument: str) -> bool:
    """Whether ``user:password`` follows, as after ``-u`` and ``-su``."""
    return _USER_OPTION.fullmatch(argument) is not None


def is_key_of_login(arguments: list[str], place: int) -> bool:
    """Whether an argument is the key of a ``wandb login`` before it."""
    before = arguments[max(0, place - 6) : place]
    if "login" not in before or not _KEY.match(arguments[place]):
        return False
    program = place - len(before) + before.index("login") - 1
    return program >= 0 and program_of(arguments[program]) in LOGINS


def without_short_options(text: str) -> str:
    """A text without the passwords of command lines in it."""
    for option, pattern in _PATTERNS.items():
        if option in text:
            text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def without_given(text: str) -> str:
    """A text without the keys that commands in it log in with, set or pass on: ``echo X | docker login``."""
    for mark, pattern in _IN_TEXT:
        if mark in text:
            text = pattern.sub(_hidden, text)
    return _SETS.sub(_set, text)


def _set(found: re.Match[str]) -> str:
    """What is set under a secret name: ``aws configure set aws_secret_access_key X``."""
    text, made, kept, level = found.group(), "", 0, OPEN
    for word in _WORD.finditer(text):
        if level != OPEN and _may_be_secret(word[1], level):
            made, kept = made + text[kept : word.start(1)] + HIDDEN, word.end(1)
        level = OPEN if "=" in word[1] or word[1].startswith("-") else secrecy(word[1])
    return made + text[kept:]


def _may_be_secret(value: str, level: int) -> bool:
    ordinary = len(value) < SHORTEST or value.startswith(("-", "$", HIDDEN)) or says_nothing(value, level, special=True)
    return not ordinary and (level == ALL or looks_secret(value))


def _hidden(found: re.Match[str]) -> str:
    begin, end = (place - found.start() for place in found.span("value"))
    return found.group()[:begin] + HIDDEN + found.group()[end:]
