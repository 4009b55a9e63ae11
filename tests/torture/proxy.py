"""The way between clients and service: it drops, delays, cuts, repeats and makes up answers, by a seed."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable

FAULTS: dict[str, float] = {
    "refused": 0.04, "too_many": 0.04, "internal_before": 0.03, "internal_after": 0.05, "unavailable": 0.03,
    "answer_lost": 0.05, "answer_cut": 0.03, "request_cut": 0.03, "html": 0.02, "late": 0.01, "delayed": 0.05,
    "twice": 0.08,
}  # fmt: skip
"""Each fault with the share of requests that it befalls."""

_HTML = b"<html><body>Please sign in to the network.</body></html>"


class FaultProxy:
    """Listens on a free port of this machine and passes requests on to ``target``; it lives in a thread of its own."""

    def __init__(self, target: int, seed: int) -> None:
        self.target = target
        self.counts: Counter[str] = Counter()
        self.calm = False
        self.port = 0
        self._rng = random.Random(seed)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="torture-proxy", daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Drop what is open and end."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        self._loop.remove_reader(server.sockets[0])  # a server that closes leaves open what it is just accepting
        await asyncio.sleep(0.1)
        while asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self._serving:
                task.cancel()  # those that began only: one that never did could not close its connection
            await asyncio.sleep(0.1)  # and what is aborted is closed a round later
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served outside of a task; let asyncio.start_server call this")
        self._serving.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            pass  # the end: a handler that ends as cancelled makes asyncio's own callback raise before Python 3.12
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and what becomes of it; whether the connection stays open."""
        request = await _message(reader)
        fate = self._fate()
        self.counts[fate] += 1
        found = getattr(self, f"_{fate}", None)
        if found is not None:
            handle: Callable[[bytes], Awaitable[bytes | None]] = found
            answer = await handle(request)
        else:
            answer = await self._ask(request)
        if answer is None:
            return False
        whole = fate != "answer_cut"
        writer.write(answer if whole else answer[: self._rng.randrange(len(answer))])
        await writer.drain()
        return whole

    def _fate(self) -> str:
        if self.calm:
            return "passed"
        drawn = self._rng.random()
        for name, share in FAULTS.items():
            drawn -= share
            if drawn < 0:
                return name
        return "passed"

    async def _ask(self, request: bytes) -> bytes | None:
        """What the service answers; None if it is not there or breaks off."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 24)
        except OSError:
            return None
        try:
            writer.write(request)
            return await _message(reader)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            return None
        finally:
            writer.transport.abort()

    async def _refused(self, request: bytes) -> None:
        return None

    async def _too_many(self, request: bytes) -> bytes:
        wait = self._rng.choice((b"0", b"0.2", b"-5", b"soon", b"Wed, 21 Oct 2015 07:28:00 GMT"))
        return _answer(429, b"{}", b"Retry-After: " + wait)

    async def _unavailable(self, request: bytes) -> bytes:
        return _answer(503, b'{"error":{"code":"busy","message":"later"}}', b"Retry-After: 0.1")

    async def _internal_before(self, request: bytes) -> bytes:
        return _answer(500, b"{}")

    async def _internal_after(self, request: bytes) -> bytes:
        await self._ask(request)
        return _answer(self._rng.choice((500, 502, 504)), b"gateway")

    async def _answer_lost(self, request: bytes) -> None:
        await self._ask(request)

    async def _request_cut(self, request: bytes) -> None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.target)
            writer.write(request[: self._rng.randrange(len(request))])
            await writer.drain()
            writer.transport.abort()
        except OSError:
            pass

    async def _html(self, request: bytes) -> bytes:
        return _answer(200, _HTML, b"Content-Type: text/html")

    async def _late(self, request: bytes) -> bytes | None:
        answer = await self._ask(request)
        await asyncio.sleep(3)
        return answer

    async def _delayed(self, request: bytes) -> bytes | None:
        await asyncio.sleep(self._rng.uniform(0, 0.5))
        return await self._ask(request)

    async def _twice(self, request: bytes) -> bytes | None:
        return (await asyncio.gather(self._ask(request), self._ask(request)))[0]


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    length = int(fields.get(b"content-length", b"0"))
    return head + (await reader.readexactly(length) if length else b"")


def _answer(status: int, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d Fault" % status, b"Content-Length: %d" % len(body), *headers, b"", b""]
    return b"\r\n".join(lines) + body
