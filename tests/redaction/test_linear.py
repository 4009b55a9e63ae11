"""Redaction takes time in proportion to its input, whatever the input is made of."""

import time

import pytest

from quark.redaction import redact, redact_arguments, redact_text

PIECES = [
    "a", "1", " ", "-", ".", ":", "/", "=", "@", "\n", '"', "'", "\\", "&", ",", ";", "<", "{", "[", "(", "eyJ",
    "eyJ-", "eyJa.",
    "ab-cd-ef-", "a.b.c.", "://", "a://", "a://b:c", "a://b:c/", "x://y@", "sk-", "ghp_", "xoxb-", "SG.", "MNO.",
    "AKIA", "hf_",
    "Bearer ", "Basic ", "basic a", "12345678:AA", "a~~3Q~", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "PuTTY-",
    "curl -u ",
    "password", "password=", "password='",
    'password="', "password={", "password: [", "password=a,", "password=a;", "token ",
    "token=", "token: <", "key=", "api key: ", "--token ", "--password", "login a password ", "name='token' value=",
    "?sig=",
    "<token>", "identified by '", "Authorization: ", "Cookie: a", "'Cookie: ", "password = \\\"", "password='''",
    "p" * 50 + "=",
    "discord.com/api/webhooks/", "пароль: ", "a_b_", "token_", "token.", "key[", "Password=a b", "secret: {\"",
    "--user a:",
    "pass ", "\\\\\"token\\\\\": ", "token,", "auth/", "auth:", "%20", "www.", "a" * 19 + "://", "/hooks/",
    "name=\"key\",value:'", "password: |\n ", "password:\n", "api_key:\n - a: ", "wandb login ",
    "wandb login a1", "aws configure set ",
    "echo a | ", "docker login <<<", "git config token ", "openssl enc -k ", "setx token ", "- - ",
    "mc alias set a b c hunter2 ", "mc ", "sqlplus a/b ", "nmcli password ", "nmcli a ", "htpasswd -b ",
    "rar -hpa ", "password: | \n\n",
]  # fmt: skip
SIZE = 10_000
ROOM = 3.5
"""Twice the input may take this many times the time; four times would be quadratic."""


def seconds(act, argument) -> float:
    """Processor time of the quickest of three runs: what else the machine does only makes one slower."""
    taken = []
    for _ in range(3):
        begin = time.thread_time()
        act(argument)
        taken.append(time.thread_time() - begin)
    return min(taken)


@pytest.mark.parametrize("piece", PIECES, ids=repr)
def test_a_text_of_twice_the_length_takes_about_twice_the_time(piece):
    """No repetition of what the patterns look for makes them look at the same characters again and again."""
    text = piece * (4 * SIZE // len(piece) + 1)
    for _ in range(3):  # a moment of load on the machine is no reason to fail
        short, long = seconds(redact_text, text[:SIZE]), seconds(redact_text, text[: 4 * SIZE])
        if long < 2 * ROOM * short + 0.002:
            return
    pytest.fail(f"four times the text took {long / short:.1f} times as long")


@pytest.mark.parametrize("act", [redact, lambda text: redact({"x": text}), lambda text: redact_arguments(["a", text])])
def test_values_and_arguments_are_linear_too(act):
    """The way through a configuration or a command line adds nothing to that."""
    text = "ab-cd-ef=" * (4 * SIZE // 9)
    assert seconds(act, text) < 2 * ROOM * seconds(act, text[:SIZE]) + 0.002
