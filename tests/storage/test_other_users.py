"""A store that is open several times, here and in other processes, keeps every commit."""

import subprocess
import sys
from pathlib import Path

from quark.storage import SqlStore
from quark.testing.batches import make_batch, metric_lines, start_line
from quark.testing.opened import ORIGIN, RUN, batch_of

VISIT = "import sys; from quark.storage import SqlStore; SqlStore(sys.argv[1]).close()"


def test_another_process_that_comes_and_goes_takes_no_commit_along(path: Path) -> None:
    """A second store is opened and closed here, then one in another process: what the first writes after that stays.

    The locks of SQLite are the process's: whoever opens and closes the file by himself drops them, and the other
    process would take itself for the last user and delete the log that the first one goes on writing to.
    """
    with SqlStore(path) as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        SqlStore(path).close()
        subprocess.run([sys.executable, "-c", VISIT, str(path)], check=True)
        store.append(batch_of(metric_lines(10)))
        with SqlStore(path) as second:
            assert len(second.series(RUN, "train/loss")) == 10
    with SqlStore(path) as later:
        assert len(later.series(RUN, "train/loss")) == 10
