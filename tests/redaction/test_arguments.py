"""Command lines: every way in which programs take a secret as an argument."""

import pytest

from quark.redaction import HIDDEN, redact_arguments

X = "hunter2Zq9"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--user-token", X], [f"--session-token={X}"], ["--wandb-key", X], [f"--db-pass={X}"], ["--password", f"-{X}"],
        ["--header", f"Authorization: {X}"], [f"--header=Authorization: {X}"], ["-H", f"X-Api-Key: {X}"],
        ["-H", f"Cookie: a=1; b={X}"], [f"+logger.neptune_api_token={X}"], [f"++a.token={X}"], [f"trainer.token={X}"],
        [f"hydra.env.HF_TOKEN={X}"], [f"logger={{token:{X},name:y}}"], ["--config", f'{{"password": "{X}"}}'],
        [f'--config={{"credentials": {{"value": "{X}"}}}}'], ["--config",
        f'[{{"name": "Authorization", "value": "{X}"}}]'],
        ["-e", f"HF_TOKEN={X}"], [f"--env=HF_TOKEN={X}"], ["--set", f"auth.password={X}"], [f"https://u:{X}@h/p"],
        [f"https://{X}@h/p"], [f"https://h/?token={X}&a=1"], [f"--url=https://h/?a=1&sig={X}"], ["--dsn",
        f"p://u:{X}@h"],
        [f"--db=host=h password={X}"], ["--connection", f"Server=h;Password={X};A=b"], ["-password", X], ["--apiKey",
        X],
        ["--API_KEY", X], ["--api.key", X], ["--secret", X, "--lr", "1"], ["-c", f"print('password={X}')"],
        ["bash", "-c", f"curl -u ada:{X} https://h"], ["curl", "-u", f"ada:{X}", "https://h"], [f"HF_TOKEN={X}", "run"],
        [f"ghp_{X}{X}"], ["--note", f"key: sk-{X}{X}"], ["--tokens", X, X], ["--from-literal=password=" + X],
        ["mysql", f"-p{X}"], ["sshpass", "-p", X], ["redis-cli", "-a", X], ["docker", "login", "-u", "ada", "-p", X],
        ["--private-key", f"-----BEGIN PRIVATE KEY-----\n{X}\n-----END PRIVATE KEY-----"], [f"api-key:{X}"],
        ["--header", "Authorization", X], ["--set", "password", X], ["-o", "X-Api-Key:", X],
        ["config", "set", "api_key", X],
        ["git", "config", "user.password", X], ["aws", "configure", "set", "aws_secret_access_key", X], ["setx",
        "HF_TOKEN", X],
        ["zip", "-P", X, "a.zip"], ["/usr/bin/mysqldump", "-uroot", f"-p{X}"], ["7z", "a", f"-p{X}"],
        ["bash", "-c", f"mysql -uroot -p{X} db"], ["sh", "-c", f"sshpass -p {X} ssh h"], ["--connection-string", X],
        ["openssl", "-passin", f"pass:{X}"], ["--sas", X],
        ["wandb", "login", X], ["wandb", "login", "--relogin", X], ["/usr/bin/vault", "login", X],
        ["openssl", "enc", "-k", X],
        ["openssl", "enc", "-aes-256-cbc", "-K", X], ["curl", "-su", f"a:{X}"], ["curl", f"-ua:{X}"],
        ["http", "-a", f"a:{X}"],
        ["twine", "upload", "-u", "__token__", "-p", X], ["ssh-keygen", "-N", X],
        ["dvc", "remote", "modify", "r", "password", X],
        ["aws", "configure", "set", "default.aws_secret_access_key", X], ["bash", "-c", f"wandb login {X}"],
        ["mc", "alias", "set", "m", "https://h", "key", X],
        ["mc", "--json", "alias", "set", "m", "https://h", "key", X],
        ["sqlplus", f"ada/{X}@db"], ["/usr/bin/sqlplus", "-S", f"ada/{X}@//h:1/x"], ["rman", "target", f"sys/{X}@db"],
        ["htpasswd", "-b", "file", "ada", X], ["htpasswd", "-cbB", "file", "ada", X], ["htpasswd", "-nb", "ada", X],
        ["mc", "-C", "/c", "alias", "set", "m", "https://h", "key", X],
        ["htpasswd", "-b", "-C", "10", "-B", "f", "ada", X],
        ["curl", "--proxy-user", f"ada:{X}"], ["ssh-keygen", "-p", "-P", X],
        ["mount", "-o", f"user=ada,pass={X}", "//h"],
        ["npm", "config", "set", "//r/:_authToken", X], ["keyring", "set", "service", "ada", X],
        ["docker", "login", "--password", X, "h"],
        ["docker", "login", f"-p{X}"],
        ["mysql", f"--password={X}"], ["redis-cli", "--pass", X], ["redis-cli", "-u", f"redis://ada:{X}@h"],
        ["sshpass", f"-p{X}", "ssh", "h"], ["az", "storage", "blob", "list", "--account-key", X],
        ["az", "login", "--service-principal", "-u", "id", "-p", X],
        ["pip", "install", "-i", f"https://u:{X}@h/simple"],
        ["pip", "--index-url", f"https://u:{X}@h/simple"], ["huggingface-cli", "login", "--token", X],
        ["twine", "upload", f"-p{X}"], ["gh", "secret", "set", "NAME", "--body", X],
        ["gh", "secret", "set", "NAME", "-b", X],
        ["snyk", "auth", X], ["ngrok", "config", "add-authtoken", X], ["rclone", "obscure", X],
        ["poetry", "config", "http-basic.r", "ada", X], ["poetry", "publish", "-u", "ada", "-p", X],
        ["uv", "publish", f"-t={X}"], ["pulumi", "config", "set", "--secret", "name", X],
        ["pulumi", "config", "set", "name", X, "--secret"], ["rabbitmqctl", "add_user", "ada", X],
        ["nmcli", "dev", "wifi", "connect", "ssid", "password", X], ["qpdf", "--encrypt", X, X, "256", "--", "a", "b"],
        ["lftp", "-u", f"ada,{X}", "h"], ["smbclient", "//h/s", "-U", f"ada%{X}"], ["xfreerdp", "/u:ada", f"/p:{X}"],
        ["az", "keyvault", "secret", "set", "-n", "s", "--value", X], ["swaks", "-ap", X], ["useradd", "-p", X, "ada"],
        ["npm", "config", "set", "_authToken", X], ["etcdctl", "--user", f"ada:{X}"],
        ["sonar-scanner", f"-Dsonar.login={X}"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_secret_in_a_command_line_is_hidden(arguments):
    """Nothing of the secret is left; as many arguments remain, and looking again changes nothing."""
    shown = redact_arguments(["train.py", *arguments, "--epochs", "3"])
    assert X not in " ".join(shown)
    assert shown[0] == "train.py"
    assert shown[-2:] == ["--epochs", "3"]
    assert len(shown) == len(arguments) + 3
    assert redact_arguments(shown) == shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-tokens", "100"], ["--tokens", "512"], ["--tokenizer", "bpe"], ["--num_tokens=3"], ["--eos-token",
        "</s>"],
        ["--pad-token=<pad>"], ["--key-dim", "64"], ["--sort-key", "step"], ["--author", "Ada"], ["--use-token-type",
        "x"],
        ["--monitor-key=val/loss"], ["--password-file", "/run/secrets/db"], ["--lr", "0.1"], ["model.lr=0.1",
        "+seed=1"],
        ["-u", "train.py"], ["-m", "torch.distributed.run"], ["--no-password", "train.py"], ["--token", "--lr", "1"],
        ["https://h/?page=2"], ["s3://bucket/key=1"], ["--pass-rate", "0.5"], ["-p", "8080"], ["-u", "1000:1000"], [""],
        ["--use-auth-token=true"], ["~model.token_dim"], ["docker", "run", "-p", "8080:80"], ["a=b=c"], ["--key",
        "value"], ["--sort-by", "token", "train.txt"], ["set", "lr", "0.1"], ["--mode", "train", "password"],
        ["--monitor", "val_loss", "--password-file", "x"], ["--columns", "name", "key", "value"], ["unzip", "a.zip"],
        ["rsync", "--password-file", "/run/f", "a", "b"], ["mc", "alias", "set", "m", "https://h"],
        ["mc", "ls", "m/b/c/d"],
        ["mount", "-o", "rw,noexec=1,uid=3", "//h"], ["curl", "-E", "cert.pem", "https://h"],
        ["npm", "config", "set", "//r/:email", "x@h"], ["sqlplus", "/", "as", "sysdba"],
        ["sqlplus", "ada@db", "@scripts/x.sql"], ["sqlplus", "ada/$PASS@db"],
        ["htpasswd", "file", "ada", "x"], ["htpasswd", "-D", "file", "ada"], ["keyring", "set", "service", "ada"],
        ["heroku", "auth:token"], ["heroku", "auth:whoami"], ["gh", "auth", "login", "--with-token"],
        ["gh", "secret", "set", "NAME"], ["gh", "pr", "create", "-b", "the body"],
        ["restic", "--password-command", "pass x"],
        ["poetry", "run", "pytest", "-p", "no:randomly"], ["poetry", "config", "virtualenvs.create", "false"],
        ["pulumi", "config", "set", "aws:region", "eu-west-1"], ["cargo", "publish", "-p", "crate"],
        ["nmcli", "dev", "status"],
        ["uv", "run", "-p", "3.12", "train.py"], ["smbclient", "//h/s", "-U", "ada"], ["lftp", "-u", "ada", "h"],
        ["qpdf", "a.pdf", "b.pdf"], ["rar", "a", "b.rar", "c"], ["snyk", "auth"],
        ["models/mc", "a", "set", "b", "c", "d"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_ordinary_command_line_stays_as_it_was(arguments):
    """Options of training keep their values."""
    assert redact_arguments(["train.py", *arguments]) == ["train.py", *arguments]


def test_a_command_line_may_hold_anything():
    """An embedding program may have put any object into sys.argv."""

    class Odd:
        def __str__(self):
            raise RuntimeError

    shown = redact_arguments(["a", b"x", None, 3, Odd(), "\udce9", "--password", 5])  # type: ignore[list-item]
    assert len(shown) == 8
    assert shown[-1] == HIDDEN
