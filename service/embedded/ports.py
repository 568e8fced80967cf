"""Free loopback ports for the servers, stored so that a restart uses the same ones."""

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from service.embedded.keys import write_private

LOOPBACK = "127.0.0.1"
# Below the ephemeral ports of Linux (32768) and macOS (49152): a client that connects to a stopped
# server must not get its port, or be connected to itself.
_LOWEST, _HIGHEST = 10_000, 19_999
# `weed mini` uses this fixed distance between the two ports of its admin server.
ADMIN_GRPC_OFFSET = 10_000


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """All ports of the three servers."""

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
    def s3_ports(self) -> tuple[int, ...]:
        names = [name for name in self.__struct_fields__ if name not in ("postgres", "nats")]
        return (*(getattr(self, name) for name in names), self.admin_grpc)

    @property
    def are_free(self) -> bool:
        return all(is_free(port) for port in (self.postgres, self.nats, *self.s3_ports))


def bind(host: str, port: int) -> None:
    """Raises OSError if the port cannot be listened on."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As the servers do: a connection in TIME_WAIT does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    try:
        bind(host, port)
    except OSError:
        return False
    return True


def find_free(host: str, count: int = 1) -> list[int]:
    """Returns different free ports. Call it late: another program may take them before use."""
    free = (port for port in _free_ports() if is_free(port, host))
    return [next(free) for _ in range(count)]


def _free_ports() -> Iterator[int]:
    for port in random.SystemRandom().sample(range(_LOWEST, _HIGHEST + 1), k=_HIGHEST - _LOWEST):
        if is_free(port) and is_free(port + ADMIN_GRPC_OFFSET):
            yield port


def choose_ports() -> Ports:
    free = _free_ports()
    return Ports(**{name: next(free) for name in Ports.__struct_fields__})


def load_ports(file: Path) -> Ports:
    """Returns the stored ports if all of them are free, otherwise new ones."""
    try:
        ports = msgspec.json.decode(file.read_bytes(), type=Ports)
    except (OSError, msgspec.DecodeError):
        return choose_ports()
    return ports if ports.are_free else choose_ports()


def store_ports(file: Path, ports: Ports) -> None:
    write_private(file, msgspec.json.encode(ports))
