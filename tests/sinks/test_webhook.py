"""WebhookSink against a real HTTP server: what is sent, what is tried again, and that the address stays a secret."""

import http.server
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import traceback

import pytest

from quark.errors import ConfigurationError, QuarkError
from quark.records.base import Origin
from quark.sinks.address import parse_address, resolve
from quark.sinks.post import WebhookError, post_json
from quark.sinks.webhook import WebhookSink
from quark.testing import alert_line, event_line, make_batch, make_manifest, metric_lines, run_line, start_line

ORIGIN = Origin("run-1", "writer-a")
SECRET = "T0K3N-s3cret"
END = run_line("end", {"status": "failed", "reason": "error", "ended_at": "2026-05-07T00:03:20Z"})


class Receiver:
    """A chat that answers with ``answers`` in turn, then 200, and keeps what it was told."""

    def __init__(self):
        self.answers = []
        self.requests = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                said = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, dict(self.headers), json.loads(said)))
                status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST

            def log_message(self, format, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}?k={SECRET}"

    @property
    def texts(self):
        return [message["text"] for _, _, message in self.requests]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def chat():
    receiver = Receiver()
    yield receiver
    receiver.close()


def started(url, **options):
    sink = WebhookSink(url, **options)
    sink.on_start(make_manifest(ORIGIN))
    return sink


def test_the_end_of_a_run(chat):
    """The end is told with project, run, status, reason, duration, last step and last values; nothing else is sent."""
    sink = started(chat.url)
    sink.write(make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(5, ("train/loss", "val/acc")), END]))
    sink.on_stop(None, "error")
    sink.close()
    assert chat.texts == [
        "digits: run cnn (run-1) failed (error) after 3 min 20 s, step 4\ntrain/loss 0.2, val/acc 1.2"
    ]
    path, headers, _ = chat.requests[0]
    assert (path, headers["Content-Type"]) == (f"/services/{SECRET}?k={SECRET}", "application/json")


def test_the_end_without_an_end_line(chat):
    """Where the run's last line is missing, ``on_stop`` has the end told, once."""
    sink = started(chat.url)
    sink.on_stop(None, "interrupted")
    sink.on_stop(None, "interrupted")
    assert chat.texts == ["digits: run cnn (run-1) interrupted"]


def test_alerts_by_severity(chat):
    """Alerts from min_severity on, and events of severity error or above, are sent; the rest is not."""
    sink = started(chat.url, min_severity="warning")
    lines = [
        alert_line("a", "info", title="quiet"),
        alert_line("b", "warning", step=7, title="it rose"),
        event_line("oom", "critical", {"message": "out of memory"}, step=8),
        event_line("note", "warning", {"message": "quiet"}),
    ]
    sink.write(make_batch(ORIGIN, lines))
    assert chat.texts == [
        "digits: run cnn (run-1) warning: b at step 7: it rose",
        "digits: run cnn (run-1) critical: oom at step 8: out of memory",
    ]


@pytest.mark.parametrize(("on", "count"), [("stop", 1), (("alert",), 1), (("stop", "alert"), 2)])
def test_only_the_occasions_that_were_asked_for(chat, on, count):
    """``on`` chooses ends, alerts or both."""
    sink = started(chat.url, on=on)
    sink.write(make_batch(ORIGIN, [alert_line("a"), END]))
    assert len(chat.texts) == count


def test_a_rule_is_heard_once_in_five_minutes(chat):
    """A rule that fires all the time sends one message, then one that sums up; other rules are not held back."""
    now = [0.0]
    sink = started(chat.url, monotonic=lambda: now[0])
    for number in range(20):
        now[0] = float(number)
        sink.write(make_batch(ORIGIN, [alert_line("spike", step=number, title="it rose")], number))
    sink.write(make_batch(ORIGIN, [alert_line("other", title="x")], 20))
    assert len(chat.texts) == 2
    now[0] = 301.0
    sink.write(make_batch(ORIGIN, metric_lines(1), 21))
    assert chat.texts[2:] == [
        "digits: run cnn (run-1) 19 more of these, the last one: warning: spike at step 19: it rose"
    ]


def test_the_end_sums_up_what_was_held_back(chat):
    """Alerts that were only counted are in the message of the end."""
    sink = started(chat.url)
    sink.write(make_batch(ORIGIN, [alert_line("spike", step=n, title="it rose") for n in range(4)] + [END]))
    assert chat.texts[-1].endswith("\n3 more like this: warning: spike at step 3: it rose")


@pytest.mark.parametrize(("status", "pause"), [(500, None), (503, None), (503, "7"), (429, "9999"), (408, None)])
def test_what_is_tried_again(chat, status, pause):
    """A failure of the receiver raises with the pause it asks for; the retry sends what is missing, nothing twice."""
    sink = started(chat.url)
    batch = make_batch(ORIGIN, [alert_line("a", title="one"), alert_line("b", title="two")])
    chat.answers = [(200, {}), (status, {"Retry-After": pause} if pause else {})]
    with pytest.raises(WebhookError, match=str(status)) as caught:
        sink.write(batch)
    assert isinstance(caught.value, QuarkError)
    assert isinstance(caught.value, OSError)
    assert caught.value.retry_after_s == min(float(pause or 0), 3600)
    sink.write(batch)
    assert [text.rpartition(" ")[2] for text in chat.texts] == ["one", "two", "two"]


@pytest.mark.parametrize("status", [302, 400, 403, 404, 410])
def test_what_is_given_up(chat, status, caplog):
    """A message that will never be taken is given up with one warning, and a redirect is not followed."""
    sink = started(chat.url)
    chat.answers = [(status, {"Location": "/elsewhere"})]
    with caplog.at_level(logging.WARNING, "quark"):
        sink.write(make_batch(ORIGIN, [alert_line("a"), alert_line("b")]))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(status) in caplog.text
    assert len(chat.requests) == 2


def test_only_rank_0_sends(chat):
    """A job of many ranks sends one message, not one per rank."""
    sink = WebhookSink(chat.url)
    sink.on_start(make_manifest(Origin("run-1", "w", 2)))
    sink.write(make_batch(Origin("run-1", "w", 2), [alert_line("a"), END]))
    sink.on_stop(None, "error")
    assert chat.texts == []


def test_text_cannot_call_everybody(chat):
    """Chat markup and control characters in names and titles arrive as plain text."""
    started(chat.url).write(make_batch(ORIGIN, [alert_line("a", title="<!channel> & \x1b[31m\u202e<https://evil|x>")]))
    assert chat.texts[0].endswith("a: &lt;!channel&gt; &amp; [31m &lt;https://evil|x&gt;")


def test_the_address_is_in_no_text(chat, caplog, monkeypatch):
    """The address is a secret: no log (at any level), repr, spec, error or traceback shows it."""
    monkeypatch.setenv("QUARK_WEBHOOK_URL", chat.url)
    sink = WebhookSink()
    texts = [repr(sink), repr(sink._address), json.dumps(sink.spec())]
    with caplog.at_level(logging.DEBUG):
        sink.write(make_batch(ORIGIN, [alert_line("a")]))
        chat.answers = [(500, {})]
        with pytest.raises(WebhookError) as caught:
            sink.write(make_batch(ORIGIN, [alert_line("b")], 1))
        texts.append("".join(traceback.format_exception(caught.value)))
        chat.close()
        with pytest.raises(WebhookError, match="did not answer") as caught:
            sink.write(make_batch(ORIGIN, [alert_line("c")], 2))
        texts.append("".join(traceback.format_exception(caught.value)))
    for bad in ("ftp://x/", "http://example.com/", "https://169.254.169.254/", "https://u:p@x/", "https://x:y/"):
        with pytest.raises(ConfigurationError) as refused:
            WebhookSink(bad + SECRET)
        texts.append("".join(traceback.format_exception(refused.value)))
    assert len(chat.requests) == 2
    assert SECRET not in "\n".join([*texts, caplog.text])
    chat.server.server_close()


def test_the_spec_makes_it_again(chat, monkeypatch):
    """``quark sync`` makes the sink from its options, with the address from the environment."""
    monkeypatch.setenv("QUARK_WEBHOOK_URL", chat.url)
    sink = WebhookSink(chat.url, on=["alert"], min_severity="error", timeout_s=3)
    spec = json.loads(json.dumps(sink.spec()))
    again = WebhookSink(**spec)
    assert (again.on, again.min_severity, again.timeout_s) == (("alert",), "error", 3)


def test_a_receiver_that_never_answers(chat):
    """After timeout_s the wait is over and the message is tried again later."""
    chat.answers = []
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as silent:
        sink = started(f"http://127.0.0.1:{silent.server_port}/", timeout_s=0.05)
        with pytest.raises(WebhookError, match="ReadTimeout"):
            sink.write(make_batch(ORIGIN, [alert_line("a")]))


@pytest.fixture
def encrypted(chat, tmp_path, monkeypatch):
    """The chat behind TLS under the name chat.test, which is looked up as this machine."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=chat.test", "-addext", "subjectAltName=DNS:chat.test"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        certificate,
        *subject,
    ]
    if shutil.which("openssl") is None:
        pytest.skip("a certificate for this test is made by openssl, which is not installed")
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    chat.server.socket = context.wrap_socket(chat.server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", chat.server.server_port))]
    real = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        return found if host in ("chat.test", "other.test") else real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return chat.server.server_port


def test_it_connects_to_the_address_that_was_checked(chat, encrypted):
    """The name is looked up once and that address is used, with the name in the certificate still checked."""
    started(f"https://chat.test:{encrypted}/hook").write(make_batch(ORIGIN, [alert_line("a")]))
    assert chat.requests[0][1]["Host"] == f"chat.test:{encrypted}"


def test_a_certificate_of_another_name(chat, encrypted):
    """A receiver whose certificate is made out to another name gets no message."""
    with pytest.raises(WebhookError, match="ConnectError"):
        started(f"https://other.test:{encrypted}/hook").write(make_batch(ORIGIN, [alert_line("a")]))
    assert chat.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x", "http://10.0.0.1/x", "ftp://localhost/x", "file:///etc/passwd", "gopher://localhost/",
        "", "https://", "https:///x", "hooks.slack.com/x", "https://user:pw@example.com/", "https://example.com:99999/",
        "https://exa mple.com/", "https://example.com/a\nb", "https://169.254.169.254/x", "https://[fe80::1]/x",
        "https://[::ffff:169.254.169.254]/", "https://[fe80::1%25eth0]/", "https://0.0.0.0/", "https://[::]/",
        "https://224.0.0.1/", "https://100.100.100.200/", "https://[fd00:ec2::254]/", "https://[64:ff9b::a9fe:a9fe]/",
        "http://localhost.evil.example/", "https://[2002:a9fe:a9fe::1]/", "https://[::169.254.169.254]/",
        "https://[64:ff9b:1::a9fe:a9fe]/", "https://[64:ff9b:1:a9fe:a9:fe00::]/", "https://[64:ff9b:1:a9:fe:a9fe::]/",
        "https://[64:ff9b:1:1:a9:fea9:fe00:0]/", "https://[::ffff:0:169.254.169.254]/", "https://[::100.100.100.200]/",
        "https://[2001:0:4136:e378:8000:63bf:5601:5601]/", "https://[2001:0:a9fe:a9fe::1]/", "https://[fec0::1]/",
        "https://[2001:db8::200:5efe:169.254.169.254]/", "https://[::ffff:0.0.0.0]/", "https://0.1.2.3/",
        "https://255.255.255.255/", "http://[::127.0.0.1]/", "http://[64:ff9b::127.0.0.1]/",
    ],
)  # fmt: skip
def test_addresses_that_are_refused(url):
    """Anything but https (or http on this machine), and every address of a cloud's metadata, is refused at once."""
    with pytest.raises(ConfigurationError, match="url of WebhookSink"):
        WebhookSink(url)


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "169.254.43518", "0251.0376.0251.0376"])
def test_addresses_in_disguise(host, monkeypatch):
    """The metadata address in other notations is seen through before connecting, and with a proxy as well."""
    address = parse_address(f"https://{host}/latest/meta-data", "the url")
    with pytest.raises(ConfigurationError, match="metadata"):
        resolve(address)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="metadata"):
        post_json(address, {}, 1.0)


@pytest.mark.parametrize(
    ("url", "host_header"),
    [
        ("https://hooks.slack.com/services/T/B/x", "hooks.slack.com"),
        ("https://chat.internal:8443/hooks/x", "chat.internal:8443"),
        ("https://10.1.2.3/hooks", "10.1.2.3"),
        ("http://localhost:9000/x", "localhost:9000"),
        ("http://[::1]:9000/x", "[::1]:9000"),
        ("https://[2606:4700::1111]/x", "[2606:4700::1111]"),
        ("https://[64:ff9b::808:808]/x", "[64:ff9b::808:808]"),
        ("https://[64:ff9b:1::808:808]/x", "[64:ff9b:1::808:808]"),
        ("https://[2002:808:808::1]/x", "[2002:808:808::1]"),
    ],
)
def test_addresses_that_are_taken(url, host_header):
    """https anywhere, a team's own network included, and http on this machine."""
    address = parse_address(url, "the url")
    assert (address.host_header, address.at(address.host).count("//")) == (host_header, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on": ["start"]}, "on must name"),
        ({"on": []}, "on must name"),
        ({"min_severity": "debug"}, "min_severity"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
)
def test_options_that_cannot_be_used(options, words):
    """A wrong option is told when the sink is made."""
    with pytest.raises(ConfigurationError, match=words):
        WebhookSink("https://example.com/x", **options)


def test_without_an_address(monkeypatch):
    """Without an address the error says where it is looked for."""
    monkeypatch.delenv("QUARK_WEBHOOK_URL", raising=False)
    with pytest.raises(ConfigurationError, match="QUARK_WEBHOOK_URL"):
        WebhookSink()
