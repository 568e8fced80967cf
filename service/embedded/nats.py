"""The embedded NATS server with JetStream."""

from pathlib import Path

import msgspec

from service.embedded.binaries import Programs
from service.embedded.child import Command
from service.embedded.ports import LOOPBACK, Ports
from service.embedded.server import Server, exchange

# The storage limit must exceed `max_bytes` of the stream.
_CONFIGURATION = """\
listen: {host}:{port}
server_name: aftertone
jetstream {{
  store_dir: {store}
  max_memory_store: 64MB
  max_file_store: 16GB
}}
"""


class EmbeddedNats(Server):
    """NATS without a password: it listens on loopback only."""

    def __init__(self, data: Path, log: Path, programs: Programs, ports: Ports) -> None:
        super().__init__("NATS", data, log)
        self._programs = programs
        self.ports = ports

    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.ports.nats}"

    def listens_on(self) -> tuple[int, ...]:
        return (self.ports.nats,)

    async def command(self, lock: int) -> Command:
        file = self.data / "nats.conf"
        # A JSON string is valid syntax here; the path may contain quotes and spaces.
        store = msgspec.json.encode(str(self.data / "store")).decode()
        file.write_text(_CONFIGURATION.format(host=LOOPBACK, port=self.ports.nats, store=store))
        argv = [str(self._programs.nats_server), "--config", str(file)]
        return self._build_command(argv, lock, grace_s=5)

    async def answers(self) -> bool:
        greeting = await exchange(self.ports.nats, b"")
        return greeting.startswith(b"INFO") and b'"jetstream":true' in greeting
