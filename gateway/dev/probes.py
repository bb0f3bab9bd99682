"""Whether the server on a port is the one that was started: asked in the server's own protocol, without a client library.

Each probe opens one connection, asks one question, and is bounded by a second. It answers False while nothing (or
nothing that understands) is there, and raises `StrangerError` when a server answers that is not ours.
"""

import contextlib
import http.client
import socket
import struct

from gateway.dev.errors import StrangerError
from gateway.dev.ports import LOOPBACK

_TIMEOUT_S = 1.0
_METADATA, _METADATA_VERSION = 3, 2  # version 2 is the first to tell the cluster's id


def valkey_answers(port: int, pid: int) -> bool:
    """Whether process `pid` is the Valkey that answers on `port` (`INFO server` tells its process id)."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), _TIMEOUT_S) as link:
        link.sendall(b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n")
        reply = b""
        while b"\r\nprocess_id:" not in reply or not reply.endswith(b"\r\n"):
            chunk = link.recv(65536)
            if not chunk:
                return False
            reply += chunk
        if f"\r\nprocess_id:{pid}\r\n".encode() not in reply:
            raise StrangerError(f"another Redis-compatible server answers on port {port}")
        return True
    return False


def kafka_answers(port: int, cluster_id: str) -> bool:
    """Whether the broker on `port` belongs to `cluster_id` (a Metadata request for no topics)."""
    client = b"headrace"
    body = struct.pack(">hhih", _METADATA, _METADATA_VERSION, 1, len(client)) + client + struct.pack(">i", 0)
    with contextlib.suppress(OSError, struct.error), socket.create_connection((LOOPBACK, port), _TIMEOUT_S) as link:
        link.sendall(struct.pack(">i", len(body)) + body)
        reply = link.makefile("rb")
        with reply:
            (size,) = struct.unpack(">i", reply.read(4))
            if _cluster_id(reply.read(size)) != cluster_id:
                raise StrangerError(f"another Kafka broker answers on port {port}")
            return True
    return False


def http_answers(port: int, path: str) -> bool:
    """Whether `GET path` on `port` is answered with 200."""
    link = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
    try:
        link.request("GET", path)
        return link.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def _cluster_id(reply: bytes) -> str:
    """The cluster's id out of a Metadata reply of version 2: correlation id, brokers (id, host, port, rack), id."""
    (brokers,) = struct.unpack_from(">i", reply, 4)
    at = 8
    for _ in range(brokers):
        _, at = _string(reply, at + 4)
        _, at = _string(reply, at + 4)
    return _string(reply, at)[0]


def _string(reply: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">h", reply, at)
    end = at + 2 + max(length, 0)  # -1 stands for null
    return reply[at + 2 : end].decode(), end
