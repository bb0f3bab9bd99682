"""Whether the process that started this one wants it to end, where that process does not say so itself.

A `make` that is killed passes nothing on. One that gets SIGINT alone (not from a terminal, which signals everybody in
the foreground) passes nothing on either: it waits for its command inside its handler, with the signal blocked, for as
long as the command likes. On Linux that can be seen.
"""

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path

_POLL_S = 0.25
_ENDING = (signal.SIGINT, signal.SIGHUP)


def end_with(parent: int) -> None:
    """From now on, look a few times a second; send this process SIGTERM once `parent` is gone or waits to end.

    Needs a running loop, and ends with it.
    """
    if os.getppid() != parent or _waits_to_end(parent):
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        asyncio.get_running_loop().call_later(_POLL_S, end_with, parent)


def _waits_to_end(pid: int) -> bool:
    with contextlib.suppress(OSError):
        blocked = re.search(r"^SigBlk:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text("ascii"), re.MULTILINE)
        return blocked is not None and any(int(blocked[1], 16) >> (number - 1) & 1 for number in _ENDING)
    return False
