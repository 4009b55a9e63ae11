"""Commands that take a secret at a place of their own: ``mc alias set NAME URL KEY X``, ``sqlplus ada/X@db``."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .formats import HIDDEN
from .lazy import lazy_pattern
from .prose import looks_secret

_SHAPES = """
    mc -C=_ --config-dir=_ alias set _ _ _ X
    mcli -C=_ --config-dir=_ alias set _ _ _ X
    mc -C=_ --config-dir=_ config host add _ _ _ X
    htpasswd -C=_ -r=_ -b !-n _ _ X
    htpasswd -C=_ -r=_ -n -b _ X
    curl --proxy-user=u:X
    curl -E=u:X
    curl --cert=u:X
    http -a=u:X
    http --auth=u:X
    nmcli * wifi-sec.psk X
    mosquitto_passwd -b _ _ X
    rabbitmqctl add_user _ X
    rabbitmqctl change_password _ X
    rabbitmqctl authenticate_user _ X
    keyring set _ _ X
    snyk auth X
    ngrok authtoken X
    ngrok config add-authtoken X
    nuget setapikey X
    dotnet nuget push -k=X
    gem push -k=X
    civo apikey add _ X
    rclone obscure X
    wpa_passphrase _ X
    nmcli * password X
    bw login _ X
    bw unlock X
    chamber write _ _ X
    pulumi config set --secret _ X
    poetry config http-basic* _ X
    poetry publish -p=X
    uv publish -t=X
    uv publish -p=X
    gh secret set --body=X
    gh secret set -b=X
    glab auth login -t=X
    fly auth login -t=X
    flyctl auth login -t=X
    doctl auth init -t=X
    prefect cloud login -k=X
    prefect cloud login --key=X
    wandb login --key=X
    neptune login X
    codecov -t=X
    az keyvault secret set --value=X
    databricks secrets put --string-value=X
    databricks secrets put-secret --string-value=X
    gcloud auth activate-refresh-token _ X
    neo4j-admin * set-initial-password X
    swaks -ap=X
    sendemail -xp=X
    snmpget -A=X
    snmpget -X=X
    snmpwalk -A=X
    snmpwalk -X=X
    net use _ _ X
    isql _ _ X
    db2 connect * using X
    pdftk * user_pw X
    pdftk * owner_pw X
    qpdf --encrypt X X
    sqlplus u/X
    sqlplus64 u/X
    sqlldr u/X
    expdp u/X
    impdp u/X
    rman target u/X
    lftp -u=u,X
    smbclient -U=u%X
    smbclient --user=u%X
    rpcclient -U=u%X
    xfreerdp /p:X
    wlfreerdp /p:X
    rar -hpX
    sonar-scanner -Dsonar.login=X
"""
"""A shape is a program and what follows it.

``_`` is any argument, ``*`` any number of them, ``X`` the secret, ``u/X`` a user and the secret; another word stands
for itself, ``http-basic*`` for what begins so. Options are looked for anywhere: ``-k=X`` is one with its value, which
may be the next argument, ``-C=_`` one whose value is no secret; ``-b`` has to be there (``-cb`` is it too), ``!-n``
must not. Other options are passed over.
"""

SHORTEST = 4
"""In a text a shorter word is a word, as in ``snyk auth is``."""

_WINDOW = 40
"""So many arguments of a program are looked at."""


class Place(NamedTuple):
    """A secret in a command line: the argument, and where in it the secret begins and ends."""

    argument: int
    start: int
    end: int


_BY_PROGRAM: dict[str, list[list[str]]] = {}
for _shape in filter(None, map(str.split, _SHAPES.splitlines())):
    _BY_PROGRAM.setdefault(_shape[0], []).append(_shape[1:])

_BEFORE_PROGRAM = ("/", '"', "'", "(", "`")
_COMMAND = lazy_pattern(rf"(?<![\w.\-])(?:{'|'.join(sorted(_BY_PROGRAM))})[ \t][^\n;|&]{{1,500}}")
_WORD = lazy_pattern(r"""["']?([^\s"']+)["']?""")
_OF_USER = {mark: lazy_pattern(rf"[^\s/@%,:\-][^\s/@%,:]{{0,64}}{mark}([^\s@]+)") for mark in "/,%:"}


def is_command(name: str) -> bool:
    """Whether there is a shape of this program."""
    return name in _BY_PROGRAM


def secret_places(arguments: Sequence[str], names: Sequence[str]) -> Iterator[Place]:
    """Where the secrets of a command line lie.

    Args:
        arguments: the command line, which may begin with other programs.
        names: what the arguments are called if they are programs.
    """
    for begin, name in enumerate(names, 1):
        for shape in _BY_PROGRAM.get(name, ()):
            for place in _places(shape, arguments[begin : begin + _WINDOW]):
                yield Place(place.argument + begin, place.start, place.end)


def without_placed(text: str) -> str:
    """A text without the secrets that commands in it take at their places."""
    words = text
    for sign in _BEFORE_PROGRAM:
        words = words.replace(sign, " ")
    if _BY_PROGRAM.keys().isdisjoint(words.split()):  # a tenth of the time that any search for the names takes
        return text
    return _COMMAND.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    text, made, kept = found.group(), "", 0
    words = list(_WORD.finditer(text))
    given = [word[1] for word in words]
    for argument, start, end in sorted(set(secret_places(given, given))):
        value, begin = given[argument][start:end], words[argument].start(1)
        sure = argument > 2 or start > 0 or given[argument - 1].startswith("-")
        if len(value) >= SHORTEST and (sure or looks_secret(value)):  # ``snyk auth fails``
            made, kept = made + text[kept : begin + start] + HIDDEN, begin + end
    return made + text[kept:]


def _places(shape: list[str], arguments: Sequence[str]) -> list[Place]:
    """Where the secrets are, if the arguments behind a program are of a shape."""
    words = [element for element in shape if element[0] not in "-/!"]
    if any(element[0] == "!" and _of_option(element[1:], arguments) is not None for element in shape):
        return []
    passed = [element[:-2] for element in shape if element.endswith("=_")]
    found = _of_words(words, arguments, passed)
    if found is None:
        return []
    for element in shape:
        if element[0] in "-/" and not element.endswith("=_"):
            place = _of_option(element, arguments)
            if place is None:
                return []
            found.append(place)
    return [
        place for place in found
        if (value := arguments[place.argument][place.start : place.end]) and not value.startswith(("-", "$", HIDDEN))
    ]  # fmt: skip


def _of_words(words: list[str], arguments: Sequence[str], passed: list[str]) -> list[Place] | None:
    found: list[Place] = []
    given = [
        place for place, argument in enumerate(arguments)
        if not argument.startswith("-") and not (place and arguments[place - 1] in passed)
    ]  # fmt: skip
    anywhere = False
    for word in words:
        if word == "*":
            anywhere = True
            continue
        while anywhere and given and arguments[given[0]] != word:
            given.pop(0)
        anywhere = False
        if not given:
            return None
        argument = arguments[place := given.pop(0)]
        if word.endswith("X"):
            secret = _value(word, place, argument, 0)
            if secret is None:
                return None
            found.append(secret)
        elif word not in ("_", argument) and not (word.endswith("*") and argument.startswith(word[:-1])):
            return None
    return found


def _of_option(element: str, arguments: Sequence[str]) -> Place | None:
    """The value of an option; an empty place if it has none and is there, None if it is not there."""
    option, equals, value = element.partition("=")
    for place, argument in enumerate(arguments):
        if not equals and element.endswith("X"):
            if argument.startswith(element[:-1]):
                return Place(place, len(element) - 1, len(argument))
        elif not equals:
            if argument.startswith("-") and not argument.startswith("--") and option[1:] in argument[1:]:
                return Place(place, 0, 0)
            if argument == option:
                return Place(place, 0, 0)
        elif argument == option:
            return _value(value, place + 1, arguments[place + 1], 0) if place + 1 < len(arguments) else None
        elif argument.startswith(f"{option}=") or (len(option) == 2 and argument.startswith(option)):
            return _value(value, place, argument, len(option) + argument.startswith(f"{option}="))
    return None


def _value(form: str, place: int, argument: str, start: int) -> Place | None:
    """The secret in an argument from ``start`` on: all of it, or what stands behind a user."""
    if form == "X":
        return Place(place, start, len(argument))
    found = _OF_USER[form[-2]].match(argument, start)
    return Place(place, *found.span(1)) if found else None
