"""Secrets never become records: by the name of their key, by their look, in configs, command lines and URLs."""

import json

import pytest

from quark.redaction import HIDDEN, is_secret_name, redact, redact_arguments, redact_text

SECRETS = {
    "api_key": "abc123", "apiKey": "abc123", "OPENAI_API_KEY": "abc123", "password": "hunter2", "db_passwd": "x1",
    "auth_token": "t0k", "token": "t0k", "hf_token": "t0k", "aws_secret_access_key": "zz", "secret": "zz",
    "client_secret": "zz", "private_key": "pem", "credentials": "c", "Authorization": "Bearer x", "cookie": "c=1",
    "webhook_url": "https://example.com/x", "dsn": "postgres://", "bearer": "b", "user_key": "qk_1",
    "PGPASSWORD_pwd": "p",
}  # fmt: skip
INNOCENT = {
    "num_memory_tokens": 4, "use_cls_token": True, "max_tokens": 100, "tokenizer": "bpe", "tokens_per_step": 7,
    "token_dim": 64, "n_tokens": 3, "author": "ada", "key": "value", "keys": 3, "pass_through": 1, "num_passes": 2,
    "secretary": "bob", "keyboard": "qwerty", "passenger_count": 3, "monkey": "m", "total_tokens": 4,
}  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_values_under_secret_names_are_hidden(name):
    """A key whose name says secret loses its value, at any depth."""
    assert redact({"outer": {name: SECRETS[name]}})["outer"][name] == HIDDEN


@pytest.mark.parametrize("name", INNOCENT)
def test_innocent_names_keep_their_values(name):
    """Hyperparameters that only sound alike stay readable."""
    assert redact({name: INNOCENT[name]}) == {name: INNOCENT[name]}
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "sk-abcdefghijklmnop", "ghp_0123456789abcdef", "AKIAIOSFODNN7EXAMPLE", "hf_abcdefghijkl", "qk_live_abcdefgh",
        "xoxb-123456789012", "Bearer abcdefghijklmnop", "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF",
        "-----BEGIN RSA PRIVATE KEY-----", "postgres://user:hunter2@db/x", "https://a.b/?token=abc&x=1",
        "https://hooks.slack.com/services/T0/B0/XX",
    ],
)  # fmt: skip
def test_values_that_look_like_secrets_are_hidden_under_any_name(text):
    """A key, token or password inside a value is taken out, and the rest of the text stays."""
    shown = redact({"note": f"see {text} here"})["note"]
    assert HIDDEN in shown
    assert "hunter2" not in shown
    assert shown.startswith("see ")


def test_command_lines_lose_the_values_of_secret_options():
    """``--wandb-key=x`` and ``--password x`` are hidden, everything else is kept."""
    argv = [
        "train.py",
        "--lr",
        "0.1",
        "--wandb-api-key=s3cret",
        "--password",
        "hunter2",
        "--use-token-type",
        "--epochs=3",
    ]
    shown = redact_arguments(argv)
    assert shown == [
        "train.py", "--lr", "0.1", f"--wandb-api-key={HIDDEN}", "--password", HIDDEN, "--use-token-type", "--epochs=3",
    ]  # fmt: skip


def test_shapes_and_ordinary_values_survive():
    """Redaction keeps the shape of a config and its ordinary values."""
    config = {"lr": 0.1, "layers": [1, 2, {"size": 3}], "name": "résumé", "none": None, "url": "https://a.b/c?x=1"}
    assert redact(config) == config
    assert json.dumps(redact(config)) == json.dumps(config)
    assert redact_text("plain text") == "plain text"
