"""Every way by which text enters a record: what is secret in it reaches neither journal, store nor file."""

import subprocess
import sys
from pathlib import Path

import pytest

import quark
from quark.delivery.health import Health
from quark.errors import ConfigurationError
from quark.redaction import HIDDEN, redact_options, shown_url
from quark.session.capture.lines import PrintedLines
from quark.testing import MemoryRunHandle

X = "hunter2Zq9"


def kept_bytes(directory) -> bytes:
    """All that lies in a directory."""
    return b"\n".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def tell_everything(run) -> None:
    """Give a secret to each call that takes text."""
    run.add_tag(f"token={X}")
    run.note(f"password: {X}")
    run.summary["api_key"] = X
    run.set_summary({"note": f"password={X}"})
    run.add_log(f"login with --password {X}", payload={"credentials": {"value": X}})
    run.checkpoint(f"s3://u:{X}@bucket/1.pt", step=1).complete()
    run.set_progress(1, 2, operation=f"secret={X}")
    quark.EventLogger(run).log("login", payload={"headers": [{"name": "Authorization", "value": X}]}, status=f"pwd={X}")
    quark.MetricsLogger(run).log("loss", 1.0, step=1, description=f"password={X}", metadata={"token": X})
    store = quark.ArtifactStore(run)
    store.store("report", "notes", {"a": 1}, metadata={"password": X})


def test_nothing_that_a_run_is_told_keeps_its_secrets(tmp_path, monkeypatch):
    """Name, tags, configuration, command line, notes, events, metadata and the exception are stored without them."""
    monkeypatch.setattr(sys, "argv", ["train.py", "--user-token", X, "--header", f"Authorization: {X}"])
    monkeypatch.setenv("SLURM_JOB_NAME", f"token={X}")
    with (
        pytest.raises(ValueError, match="could not connect"),
        quark.start_run(
            project="doors", name=f"run with password={X}", tags=[f"key: sk-{X}{X}"], storage_dir=tmp_path,
            config={"session_token": X, "auth": ["ada", X], "url": f"https://{X}@h"}, trackers=["jsonl"],
        ) as run,
    ):  # fmt: skip
        tell_everything(run)
        raise ValueError(f"could not connect to postgresql://u:{X}@db/x")
    kept = kept_bytes(tmp_path)
    assert X.encode() not in kept
    assert HIDDEN.encode() in kept
    assert run.summary["api_key"] == HIDDEN


def test_a_joined_run_and_a_loop_keep_no_secrets(tmp_path):
    """What a run learns later is redacted as what it was given at its start."""
    with quark.start_run(project="doors", storage_dir=tmp_path) as run:
        run.share()
        quark.start_run(project="doors", config={"hub": {"token": X}}, tags=[f"password={X}"])
        run.share(False)
    assert X.encode() not in kept_bytes(tmp_path)


def alert_with(text: str) -> dict[str, object]:
    """The fields of an alert whose evidence quotes a text."""
    evidence = quark.EvidenceRecord(kind="event", source=text, summary=f"the log says {text}")
    words = dict.fromkeys(("title", "summary", "fact", "inference"), text)
    return {"rule_id": "own", "category": "runtime", "severity": "warning", "evidence": (evidence,), **words}


def test_what_analyzers_say_keeps_no_secrets():
    """Alerts, health scores and phases with their evidence, which quotes names and messages of users."""
    handle = MemoryRunHandle()
    alert = handle.emit(quark.AlertRecord, alert_with(f"password={X}"))
    evidence = alert.evidence
    handle.emit(quark.HealthScoreRecord, {
        "score_key": "overall", "score": 50.0, "status": "watch",
        "evidence": alert_with(f"password={X}")["evidence"],
    })  # fmt: skip
    handle.emit(quark.PhaseRecord, {
        "phase_name": "stabilization", "display_name": "Even", "summary": f"pwd={X}", "step_start": 0, "step_end": 1,
        "evidence": alert_with(f"password={X}")["evidence"],
    })  # fmt: skip
    assert X not in repr(handle.journal.lines())
    assert (type(evidence[0]), evidence[0].source) == (quark.EvidenceRecord, f"password={HIDDEN}")


def test_projects_and_groups_keep_no_secrets(tmp_path):
    """Their names are in every record, and the start of a group's name is in the ids of its runs."""
    with (
        quark.run_group(f"password={X}", project=f"token={X}", storage_dir=tmp_path, git_sha="") as group,
        group.run(f"api_key={X}") as run,
    ):
        run.log({"loss": 1.0})
    assert X not in group.run_id + run.run_id
    assert X.encode() not in kept_bytes(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if X in path.name]


def test_the_health_of_a_session_shows_no_secret(tmp_path):
    """Refused names and what a sink raised are counted, and quoted without what is secret in them."""

    class Failing(quark.Sink):
        name = "failing"

        def write(self, batch):
            raise ConnectionError(f"https://u:{X}@h refused")

    with quark.start_run(project="doors", storage_dir=tmp_path, trackers=[Failing()], close_timeout_s=0.5) as run:
        run.log({f"password={X}": 1.0})
        run.flush()
    shown = repr(run.health())
    assert X not in shown
    assert "refused" in shown
    assert X.encode() not in kept_bytes(tmp_path)


def test_a_handle_for_tests_redacts_as_a_session_does():
    """What an analyzer or producer is tested with shows what would be stored."""
    handle = MemoryRunHandle()
    quark.EventLogger(handle).log("login", payload={"password": X})  # type: ignore[arg-type]
    assert X not in repr(handle.journal.lines())


def test_lines_of_a_command_lose_their_secrets_and_nothing_else():
    """A private key is hidden from its first line to its last; one that never ends hides only what looks like it."""
    lines = PrintedLines(2000)
    printed = [
        f"session_token: {X}", "epoch 1 loss=0.3", "-----BEGIN RSA PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED", "",
        "MIIEpAIBAAKCAQEA" + X, "c2Vj==", "-----END RSA PRIVATE KEY-----", "epoch 2", "-----BEGIN PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEA" + X, "is not a file, loss=0.2", "epoch 3",
    ]  # fmt: skip
    for text in printed:
        lines.put("stdout", text)
    shown = [line.text for line in lines.take_last()]
    assert shown == [
        f"session_token: {HIDDEN}", "epoch 1 loss=0.3", *[HIDDEN] * 6, "epoch 2", *[HIDDEN] * 2,
        "is not a file, loss=0.2", "epoch 3",
    ]  # fmt: skip


def test_a_warning_shows_no_secret(caplog):
    """What is warned about may quote what the user gave; neither the warning nor the counters keep it."""
    health = Health()
    health.report("refused", f"event 'x' ({{'password': '{X}'}}): too large")
    assert X not in caplog.text + repr(health.to_dict())


def test_options_of_sinks_are_written_down_without_secrets():
    """What ``quark sync`` needs is kept, a password in an address is not; a path is never changed."""
    options = {
        "tracking_uri": f"http://{X}@h:5000/?token={X}", "api_key": X, "store_path": "/data/token=a/quark.db",
        "layers": {"activation": ["*.key"]}, "fsync": True, "max_files": None,
    }  # fmt: skip
    shown = redact_options(options)
    assert X not in repr(shown)
    assert {name: shown[name] for name in list(options)[2:]} == {name: options[name] for name in list(options)[2:]}


@pytest.mark.parametrize(
    "url",
    [
        f"http://u:{X}@h", f"http://{X}@h", f"postgresql:/u:{X}@h/db", f"host=h password={X}",
        f"postgresql://u:p@{X}@h:port", f"//u:{X}@h", f"u:{X}@h/db", f"postgresql+x://u:{X}@[h", f"http://u:{X}@h:{X}@x",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_told_without_its_password(url):
    """The address of a database, and that of a service, however they are misspelt."""
    from quark.client.connection import Connection
    from quark.service.config import ServiceConfig

    assert X not in shown_url(url)
    for use in (lambda: Connection(url), lambda: ServiceConfig.of(url)):
        with pytest.raises(ConfigurationError) as refused:
            use()
        assert X not in str(refused.value)


@pytest.mark.slow
def test_a_command_that_is_run_keeps_no_secrets(tmp_path):
    """Arguments, printed lines and the traceback of ``quark run``."""
    program = f"print('HF_TOKEN: {X}'); raise SystemExit('password={X}')"
    subprocess.run(
        [
            str(Path(sys.executable).with_name("quark")), "run", "--storage-dir", str(tmp_path), "--",
            sys.executable, "-c", program, "--token", X,
        ],
        check=False, capture_output=True, timeout=120,
    )  # fmt: skip
    kept = kept_bytes(tmp_path)
    assert HIDDEN.encode() in kept
    assert X.encode() not in kept
