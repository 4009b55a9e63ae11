"""Secrets in text: what stands in logs, exceptions, URLs and files, and what must stay readable in them."""

import base64
import json
import random

import pytest

from quark.redaction import HIDDEN, redact_text

X = "hunter2Zq9"
FORMS = [
    "password=§", "password = §", "password: §", "Password:§", "PASSWORD => §", "password := '§'", '"password": "§"',
    "'password': '§'", "{'password': '§', 'lr': 0.1}", '{"user": "a", "api_key": "§"}', '{\\"password\\": \\"§\\"}',
    "login failed: password=§; retry", "Server=db;User Id=sa;Password=§;Encrypt=yes", "Pwd=§;Server=db",
    "Server=db;Password=two words §;Encrypt=yes", "host=h user=u password=§ dbname=d", "host=h password='§'",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=§==;EndpointSuffix=core.windows.net",
    "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=§=", "API_KEY=§", "export DB_PASS=§", "HF_TOKEN: §",
    "session_token: §", "token: §", "API key: §", "Access key: §", "Client secret = §", "auth token: §",
    "secret access key: §", "ERROR invalid api key: §", "user_token=§ loss=0.3", "tokens=['§']", "tokens: [§]",
    "os.environ['API_KEY'] = '§'", 'os.environ["HF_TOKEN"]="§"', "login(token='§')", "login(user='u', token=\"§\")",
    "Config(password='§', lr=0.1)", "Config(password=§, lr=0.1)", "connect(host=h,password=§,timeout=3)",
    "run --password § now", "run --api-key=§", "tool --user-token § --lr 1",
    "Command '['curl', '--token', '§']' failed",
    "cmd: ['--api-key', '§']", "curl -u ada:§ https://h/", "curl --user ada:§ https://h/", "mysql --password=§",
    "Authorization: Bearer §", "Authorization: Basic §", "authorization: token §", "Authorization: §",
    "curl -H 'Authorization: Token §' https://h/", 'headers={"Authorization": "Bearer §"}',
    "Proxy-Authorization: Basic §",
    "Cookie: theme=dark; session=§", "Set-Cookie: sid=§; HttpOnly", "X-Api-Key: §", "x-api-key:§",
    '-H "X-Auth-Token: §"', "https://ada:§@h/p", "https://§@h/p", "https://§:x@h/p", "git+https://§@h/r.git",
    "postgresql://u:§@db/x", "postgresql+asyncpg://u:§@db/x", "redis://:§@h:6379/0", "mongodb+srv://u:§@c.net/x?a=1",
    "amqp://u:p/§@h", "https://u:a@§@h/", "http:/u:§@h", "postgresql:/u:§@h/db", "https:\\/\\/u:§@h\\/p",
    "https://h/?token=§", "https://h/?a=1&api_key=§&b=2", "https://h/p?sig=§&se=1", "https://h/p?key=§",
    "https://h/#access_token=§&state=1", "https://b.s3.amazonaws.com/k?X-Amz-Signature=§",
    "https://b/k?X-Amz-Credential=§%2F2026", "https://b/k?X-Amz-Security-Token=§", "https://b/k?X-Goog-Signature=§",
    "https://b/k?AWSAccessKeyId=A&Signature=§&Expires=1", "a=1&password=§&c=2", "grant_type=x&client_secret=§",
    "<password>§</password>", "<add name=\"Password\" value=\"§\"/>", '[{"name": "Authorization", "value": "§"}] sent',
    "name='DB_PASSWORD', value='§'", "machine h login u password §", "ALTER USER u PASSWORD '§'",
    "CREATE USER u IDENTIFIED BY '§'", "пароль: §", "密码: §", "//registry.npmjs.org/:_authToken=§",
    "aws_secret_access_key = §", "[default]\naws_secret_access_key=§\nregion=eu", "password:\t§",
    "password=\"§ and more\"",
    "password: '''§'''", "fernet key=x encryption_key=§", "otp=§", "jwt=§", "passphrase: §", "env: DB_PASSWORD=§",
    "docker run -e HF_TOKEN=§ image", "docker login -u u --password §", "trainer.logger.api_key=§", "+a.token=§",
    "sk-§Aa1sk9dkfj3", "ghp_§abcdef", "github_pat_§abcdef", "glpat-§abcdef", "hf_§abcdefgh", "qk_abc12345_§",
    "xoxb-1234567890-§", "xapp-1-§", "AIza§SyD-abcdef", "ya29.§abc", "npm_§abcdefghij", "pypi-§AgEIcHlwaS5",
    "dckr_pat_§abc", "shpat_§abc", "r8_§abcdefgh", "gsk_§abcdefgh", "nvapi-§abcdefgh", "tskey-§abc", "wandb_v1_§abc",
    "hvs.§abcdefghij", "dop_v1_§abcdefgh", "figd_§abcdefgh", "lin_api_§abcdefgh", "sk_live_§abc", "rk_test_§abc",
    "whsec_§abc", "sk-ant-api03-§-abc", "sk-proj-§_abc", "sk-or-v1-§abc", "GOCSPX-§abc", "Bearer §abcdef",
    "https://hooks.slack.com/services/T0/B0/§", "https://discord.com/api/webhooks/1/§",
    "https://discordapp.com/api/webhooks/12/§", "https://api.telegram.org/bot123:§/send",
    "https://x.webhook.office.com/webhookb2/§",
    "mysql -p§", "mysql -u root -p§ db", "mysqldump -uroot -p'§' db > x", "$ sshpass -p § ssh h", "redis-cli -a § ping",
    "docker login -u ada -p § h", "ldapsearch -x -w § -b dc=x",
    "zip -P § a.zip b", "7z a -p§ a.7z b", "mosquitto_pub -P §",
    "openssl pkcs12 -passin pass:§ -in x", "cd /x && mysql -p§", "connectionString: §", "conn_str='§'", "SAS=§",
    "password is §", "The password is §.", "my password was: §", "the password is now §",
    "password has been set to §",
    "with password §", "use password '§' to log in", "Passwort ist §", "la contraseña es §", "token is §",
    "x:\npassword: |\n  §", "x:\npassword: |-\n    §\n\n    more §", "x:\n  - token: >2\n      two § words",
    "x:\nprivate_key: |  # of us\n\n  §",
    "x:\napi_key:\n  §", "x:\npassword:  # the database's\n  '§ with words'", "x:\ntokens:\n- §\n- §",
    "x:\n  credentials:\n    user: ada\n    value: §",
    "x:\r\npassword: |\r\n  §\r", "aws configure set aws_secret_access_key §",
    "aws configure set default.aws_session_token § --profile p",
    "npm config set //r/:_authToken §", "pip config set global.password '§'",
    "dvc remote modify --local r password §", "setx HF_TOKEN §",
    "git config --global user.password §", "wandb login §", "$ wandb login --relogin §; python train.py",
    "wandb login --host=https://h §", "vault login §",
    "cargo login §", "mlflow server --password §", "openssl enc -aes-256-cbc -k § -in a", "openssl enc -K §",
    "podman login -u a -p § h",
    "echo § | gh auth login --with-token", "printf '§' | docker login -u a --password-stdin",
    "gh auth login --with-token <<< §", "curl -sSu a:§ https://h",
    "huggingface-cli login --token §", "hf auth login --token=§", "twine upload -u __token__ -p § d/*",
    "ssh-keygen -N § -f k", "chpasswd <<< 'ada:§'",
    "mc alias set m https://h key §", "$ sqlplus -S ada/§@db @x.sql", "http -a ada:§ h",
    "echo § | sudo -S ls", "printf § | docker secret create n -", "htpasswd -bc file ada '§'",
    "echo § | keyring set service ada", "keyring set service ada <<< §", "ngrok authtoken §", "lftp -u ada,§ h",
    "docker login -p § h && echo done", "redis-cli --pass § ping", "smbclient //h/s -U 'ada%§'",
    "gh secret set N -b\"§\"",
    "the API key is §", "API key § is not valid", "access token is \"§\"", "client secret is §",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_in_a_text_is_hidden(form):
    """Whatever way a text gives a secret away, nothing of the secret is left, and looking again changes nothing."""
    text = form.replace("§", X)
    shown = redact_text(f"before {text}\nafter, lr=0.1")
    assert X not in shown
    assert HIDDEN in shown
    assert shown.startswith("before ")
    assert shown.endswith("\nafter, lr=0.1")
    assert redact_text(shown) == shown


READABLE = [
    "epoch 3: loss=0.31 lr=1e-4 tokens/s: 12,345", "max_tokens=100 num_tokens=5 tokens=512", "tokens: 1.2M",
    "token: 17",
    "bos_token=<s> eos_token='</s>' pad_token=[PAD]", "special token: [MASK]", "pad token: x", "tokenizer=bpe",
    "TOKENIZERS_PARALLELISM=false", "credentials.py:12: in main", "tests/test_token.py::test_secret PASSED",
    'File "/x/site-packages/auth/token.py", line 3, in login', "token = self.token", "password=args.password",
    "def login(user: str, password: str, token: str = None):", "password: Optional[str] = None", "password=None",
    "token=true", "KeyError: 'key'", "key: value", "key=train/loss", "monitor_key=val/loss", "sort_key: step",
    "registry/auth:latest", "author: Ada", "passes: 3", "pass: 3", "pass_rate=0.9", "forward pass: done",
    "ssh://git@github.com/a/b.git", "git@github.com:a/b.git", "https://git@github.com/a", "https://github.com/a/b",
    "http://localhost:8080/a@b", "postgresql://ada@db/x", "abfss://data@account.dfs.core.windows.net/x",
    "s3://bucket/key=1/part", "mailto:ada@example.org", "12:30@noon", "sk-learn-pipeline",
    "hf_transformers hf_datasets",
    "basic transformations and basic Convolution", "bearer authentication failed", "resnet50-key-frames", "a" * 64,
    "0123456789abcdef0123456789abcdef01234567", "CUDA error: device-side assert triggered", "npm_config_registry",
    "model.embed_tokens.weight: [32000, 4096]", "x = {'lr': 0.1, 'keys': ['a', 'b']}", "https://h/?page=2&sort=key",
    "password is required", "password is not set", "the password is wrong", "password is case sensitive",
    "the token is invalid", "password is too short", "token is the last one", "secret is None", "password was changed",
    "passwords are stored hashed", "the password has expired", "incorrect password for user ada", "token is ignored",
    "password is hashed with sha256", "password is sha256 hashed", "token 5 of 10", "token is <unk>", "secret santa",
    "the next token is predicted", "API key is missing", "access token is expired", "password is None.", "-p 8080",
    "docker run -p 8080:80 image", "mysql --port 3306", "zip -r out.zip runs", "unzip a.zip -d out", "7z x a.7z",
    "python train.py -p 8", "ssh -p 2222 host", "connections: 5", "fully connected: 512", "sas_path: /x",
    "run wandb login to log in", "wandb login && python train.py", "wandb login --help",
    "aws configure set region eu-west-1", "git config user.name Ada",
    "git config --list", "git commit -m 'set tokens'", "openssl req -keyout k.pem -out c.pem",
    "openssl enc -aes-256-cbc -in a -out b", "echo done | tee log",
    "gh auth login --web", "curl -sSf https://h", "export the model weights", "config the password dialog",
    "mc alias set m https://h key $SECRET", "mc alias list | tee x", "sqlplus / as sysdba",
    "run snyk auth before you scan",
    "sqlplus reads scripts/report", "keyring set service ada", "heroku auth:token", "htpasswd -c file ada",
    "ssh-keygen -t ed25519", "echo $TOKEN | docker login --password-stdin",
    "x:\ntokens:\n  train: 1200\n  valid: 300",
    "Args:\n    token:\n        The token that is used.\n    api_key:\n        The key of the service.",
    "x:\npassword:\nlr: 0.1",
    "x:\nprompt: |\n  the password is asked for\nlr: 1", "x:\n  password: null\n  lr: 0.1",
    "x:\ntokenizer:\n  - bpe2024", "x:\nkey:\n  - value1",
    "login as ada -- done", "tokens are padded", "a token is 4 bytes",
    '{"lr": 0.1, "max_tokens": 5}', "  {not json}", "[1, 2, 3]", "", "a", "ä=ö", "password", "password=", "token:",
]  # fmt: skip


@pytest.mark.parametrize("text", READABLE)
def test_what_is_no_secret_stays_as_it_was(text):
    """Metrics, vocabularies, places in source files, addresses and types stay readable."""
    assert redact_text(text) == text
    assert redact_text(f"at 12:00 INFO {text}\n") == f"at 12:00 INFO {text}\n"


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"),
        ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----END PGP PRIVATE KEY BLOCK-----"),
        ("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----", "---- END SSH2 ENCRYPTED PRIVATE KEY ----"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\\n", "\r\n"])
def test_a_private_key_is_hidden_whole(begin, end, newline):
    """From its first line to its last, also where its line breaks are escaped, or its end is cut off."""
    text = newline.join([begin, "MIIEpAIBAAKCAQEA", "", "c2VjcmV0", end])
    assert redact_text(f"a {text} b") == f"a {HIDDEN} b"
    assert redact_text(f"{text}x{text}") == f"{HIDDEN}x{HIDDEN}"
    assert redact_text(f"a {text[:60]}") == f"a {HIDDEN}"


def test_tokens_that_are_json_inside_are_known_by_their_look():
    """JSON web tokens, and API tokens that are the base64 of a JSON object, as Neptune's."""
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (
        {"alg": "HS256", "typ": "JWT"}, {"sub": "1234567890"},
    ))  # fmt: skip
    for token in (
        f"{head}.{body}.c2lnbmF0dXJl",
        base64.b64encode(b'{"api_address":"https://x","api_key":"y"}').decode(),
    ):
        assert redact_text(f"got {token}, done") == f"got {HIDDEN}, done"


def test_no_text_makes_redaction_raise():
    """Random mixtures of everything that the patterns look for give a text, and never an exception."""
    pieces = [
        *FORMS,
        *READABLE,
        "://",
        ":",
        "=",
        '"',
        "'",
        "\\",
        "\n",
        "{",
        "}",
        "[",
        "]",
        "(",
        "<",
        "\ud800",
        "\0",
        "@",
        " ",
    ]
    chance = random.Random(12)
    for _ in range(3000):
        text = "".join(chance.choice(pieces)[chance.randrange(3) :] for _ in range(chance.randrange(1, 8)))
        assert type(redact_text(text)) is str
