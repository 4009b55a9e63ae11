"""Well-known programs whose short options take a password and do not say so: ``mysql -pX``, ``sshpass -p X``."""

import re

from .formats import HIDDEN
from .lazy import lazy_pattern

SHORT_OPTIONS = {
    name: option
    for option, names in {
        "-p": """sshpass mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlpump mysqlslap mysqlbinlog
            mariadb mariadb-dump mariadb-admin login mongo mongosh mongodump mongorestore mongoexport mongoimport 7z 7za
            7zz cqlsh rabbitmqadmin""",
        "-w": "ldapsearch ldapmodify ldapadd ldapdelete ldappasswd",
        "-P": "sqlcmd bcp zip unzip mosquitto_pub mosquitto_sub ipmitool",
        "-a": "redis-cli",
    }.items()
    for name in names.split()
}
"""Each program and its option; ``login`` is that of docker and its like."""

WITH_USER = frozenset(("curl", "wget", "http", "https", "httpie"))
"""Programs that take ``-u user:password``."""


def _pattern(option: str) -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name, own in SHORT_OPTIONS.items() if own == option)
    return lazy_pattern(
        rf"""((?<![\w.\-])(?:{names})(?:\.exe)?[ \t](?:[^\n;|&]{{0,300}}?[ \t])??{option}[ \t]{{0,4}})
        (?!-)(?:"[^"\n]{{1,200}}"|'[^'\n]{{1,200}}'|[^\s;|&"']++)""",
        re.VERBOSE,
    )


_PATTERNS = {option: _pattern(option) for option in set(SHORT_OPTIONS.values())}


def program_of(argument: str) -> str:
    """The name of the program that an argument may be, whatever its directory."""
    return argument.rpartition("/")[2].removesuffix(".exe")


def without_short_options(text: str) -> str:
    """A text without the passwords of command lines in it."""
    for option, pattern in _PATTERNS.items():
        if option in text:
            text = pattern.sub(rf"\1{HIDDEN}", text)
    return text
