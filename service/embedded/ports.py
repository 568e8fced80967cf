"""Loopback ports for the servers: free ones, remembered, so that a restart finds the same."""

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from service.embedded.keys import write_private

LOOPBACK = "127.0.0.1"
# Below what kernels hand out to outgoing connections (Linux 32768, macOS 49152): a client that
# dials a stopped server must neither take its port nor be connected to itself.
_LOWEST, _HIGHEST = 10_000, 19_999
# `weed mini` looks for its admin part's second port exactly here.
ADMIN_GRPC_OFFSET = 10_000


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Every port that the three servers listen on."""

    postgres: int
    nats: int
    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    admin: int

    @property
    def admin_grpc(self) -> int:
        return self.admin + ADMIN_GRPC_OFFSET

    @property
    def of_s3(self) -> tuple[int, ...]:
        names = [name for name in self.__struct_fields__ if name not in ("postgres", "nats")]
        return (*(getattr(self, name) for name in names), self.admin_grpc)

    @property
    def all_free(self) -> bool:
        return all(is_free(port) for port in (self.postgres, self.nats, *self.of_s3))


def bind(host: str, port: int) -> None:
    """OSError says why nobody can listen there now."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As the servers do: a connection in TIME_WAIT does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    try:
        bind(host, port)
    except OSError:
        return False
    return True


def free_one(host: str) -> int:
    return free_some(host, 1)[0]


def free_some(host: str, count: int) -> list[int]:
    """As many different ones. Each may be taken before it is used: better ask late."""
    free = (port for port in _free_ports() if is_free(port, host))
    return [next(free) for _ in range(count)]


def _free_ports() -> Iterator[int]:
    for port in random.SystemRandom().sample(range(_LOWEST, _HIGHEST + 1), k=_HIGHEST - _LOWEST):
        if is_free(port) and is_free(port + ADMIN_GRPC_OFFSET):
            yield port


def fresh() -> Ports:
    free = _free_ports()
    return Ports(**{name: next(free) for name in Ports.__struct_fields__})


def remembered(file: Path) -> Ports:
    """The ports of the last run when all are free again, else new ones."""
    try:
        ports = msgspec.json.decode(file.read_bytes(), type=Ports)
    except (OSError, msgspec.DecodeError):
        return fresh()
    return ports if ports.all_free else fresh()


def remember(file: Path, ports: Ports) -> None:
    write_private(file, msgspec.json.encode(ports))
