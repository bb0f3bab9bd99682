"""Free TCP ports on the loopback interface, for servers that must be told their port.

Ports are taken below the range from which the kernel gives ports to outgoing connections: a server that was killed
can then be started again on its port (no client's connection has it meanwhile), and a client that retries while the
server is down never connects to itself.
"""

import random
import socket

LOOPBACK = "127.0.0.1"
# Linux hands out 32768-60999 to outgoing connections, macOS 49152-65535.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `port` now. A port whose old connections still linger counts as free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now. Nothing reserves it: who starts a server on it must check that it is his that answers."""
    pick = random.SystemRandom()
    for _ in range(_TRIES):
        port = pick.randint(_FIRST, _LAST)
        if is_free(port):
            return port
    raise OSError(f"no free port between {_FIRST} and {_LAST} after {_TRIES} tries")
