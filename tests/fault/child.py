"""A training process of the fault tests: records from four threads and leaves in the way that it is told to."""

import faulthandler
import mmap
import os
import signal
import struct
import sys
import threading
import time

import quark

store, page_path, mode = sys.argv[1:4]
options = sys.argv[4:]
with open(page_path, "r+b") as page_file:
    page = mmap.mmap(page_file.fileno(), 4096)
LIMIT = 3_000_000
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the suite may run under nohup, which would be inherited


def record(session, thread: int, pause: float, limit: int) -> None:
    metrics = quark.MetricsLogger(session)
    key = f"thread/{thread}"
    for number in range(limit):
        metrics.log(key, float(number), step=number)
        struct.pack_into("<q", page, thread * 8, number + 1)
        if pause:
            time.sleep(pause)


def from_four_threads(session, pause: float = 0.0, limit: int = LIMIT) -> None:
    threads = [threading.Thread(target=record, args=(session, k, pause, limit), daemon=True) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def start(**more):
    return quark.start_run(project="fault", storage_dir=store, **more)


def some(session) -> None:
    from_four_threads(session, limit=200)


if mode == "tight":
    from_four_threads(start())
elif mode == "paced":
    from_four_threads(start(), pause=0.0001)
elif mode == "jsonl":
    session = start()
    session.add_tracker(quark.JsonlSink(store + "/run.jsonl"))
    from_four_threads(session)
elif mode == "wait":
    session = start()
    some(session)
    print("ready", flush=True)
    time.sleep(60)
elif mode == "with-wait":
    with start() as session:
        some(session)
        print("ready", flush=True)
        time.sleep(60)
elif mode == "hung-sink":

    class Hung(quark.Sink):
        name = "hung"

        def write(self, batch):
            time.sleep(3600)

    with start(trackers=[Hung()], close_timeout_s=30) as session:
        some(session)
        print("ready", flush=True)
        time.sleep(60)
elif mode == "user-handler":

    def handler(number, frame):
        print("user handler", flush=True)
        sys.exit(7)

    signal.signal(signal.SIGTERM, handler)
    session = start()
    some(session)
    print("ready", flush=True)
    time.sleep(60)
elif mode == "os-exit":
    some(start())
    os._exit(3)
elif mode == "segfault":
    some(start())
    faulthandler.enable()
    faulthandler._sigsegv()
elif mode == "abort":
    some(start())
    os.abort()
elif mode == "exception":
    some(start())
    raise ValueError("the loss exploded")
elif mode == "with-exception":
    with start() as session:
        some(session)
        raise ValueError("the loss exploded")
elif mode == "sys-exit":
    some(start())
    sys.exit(5)
elif mode == "with-sys-exit":
    with start() as session:
        some(session)
        sys.exit(0)
elif mode == "normal":
    some(start())
elif mode == "with-normal":
    with start() as session:
        some(session)
elif mode == "end":
    session = start()
    some(session)
    session.end_run(options[0])
elif mode == "steps-break":
    with start() as session:
        some(session)
        for i in session.steps(range(100)):
            if i == 3:
                break
elif mode == "daemon-at-exit":
    session = start()
    some(session)

    def log_for_ever() -> None:
        metrics = quark.MetricsLogger(session)
        while True:
            metrics.log("late", 1.0, step=1)

    threading.Thread(target=log_for_ever, daemon=True).start()
    time.sleep(0.05)
else:
    raise SystemExit(f"unknown mode {mode}")
