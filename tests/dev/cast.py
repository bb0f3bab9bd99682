"""Small programs that play a part, and a run of three of them for tests that signal or kill a whole supervisor."""

import asyncio
import os
import sys
from pathlib import Path

from gateway.dev.errors import PartError
from gateway.dev.part import Launch, Part
from gateway.dev.supervisor import Supervisor, supervise
from gateway.dev.warden import Warden

# Says `ready`, and when asked to end notes its name in the file that it was given.
GOOD = """
import signal, sys
name, notes = sys.argv[1:]
def end(*_):
    with open(notes, "a") as file: file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print(name, "http://127.0.0.1/" + name)
print("ready")
while True: signal.pause()
"""
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
while True: signal.pause()
"""
DIES_WHEN_TOLD = """
import sys
print("ready")
sys.stdout.flush()
import pathlib, threading
while not pathlib.Path(sys.argv[2]).exists(): threading.Event().wait(0.02)
print("the last straw")
sys.exit(7)
"""


def player(name: str, program: str, *args: object, **bounds: float) -> Part:
    argv = (sys.executable, "-c", program, name, *map(str, args))
    return Part(name, lambda: Launch(argv, env=dict(os.environ), ready_line="ready"), **bounds)  # type: ignore[arg-type]


async def _run(folder: Path, notes: Path, programs: list[str]) -> None:
    async def story(supervisor: Supervisor) -> None:
        for number, program in enumerate(programs):
            part = player(f"p{number}", globals()[program], notes, stop_within_s=1.0)
            print("pid", (await supervisor.start(part)).pid, flush=True)
        print("up", flush=True)

    warden = Warden(folder)
    print("pid", warden.pid, flush=True)
    try:
        await supervise(story, warden, say=lambda line: print(line, flush=True), log=lambda _: None)
    except PartError as error:
        print(error, flush=True)
        sys.exit(1)
    finally:
        warden.close()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
