"""PgBouncer in transaction mode before the primary, if the program is installed."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from service.embedded.binaries import Unprivileged, find_unprivileged
from service.embedded.child import Command
from service.embedded.cluster.postgres import PostgresPair
from service.embedded.keys import Secrets, write_private
from service.embedded.ports import LOOPBACK
from service.embedded.server import Server, exchange

_CONFIGURATION = """\
[databases]
aftertone = host={host} port={primary} dbname=aftertone

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
max_client_conn = 500
default_pool_size = 20
server_round_robin = 1
{preparation}
# Servers that a client can no longer use, such as a former primary.
server_fast_close = 1
server_connect_timeout = 2
server_login_retry = 0.2
query_wait_timeout = 10
log_connections = 0
log_disconnections = 0
"""

# PgBouncer does not pass the settings of a session on.
_ROLE_SETTINGS = """\
ALTER ROLE aftertone SET statement_timeout = '5s';
ALTER ROLE aftertone SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE aftertone SET plan_cache_mode = force_custom_plan;
ALTER ROLE aftertone SET jit = off;
"""

# SSLRequest message: a server without TLS answers `N`.
_SSL_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))
_PREPARES_FROM = (1, 21)
_PREPARATION = "max_prepared_statements = 200"
_PLACES = os.pathsep.join((os.defpath, "/usr/sbin", "/usr/local/sbin"))


def find_pgbouncer() -> Path | None:
    """Returns the installed program, or None."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=_PLACES)
    return Path(program) if program else None


def _prepares(program: Path) -> bool:
    """Returns whether this version keeps prepared statements in transaction mode.

    Returns False if the program does not state its version; its start reports the cause.
    """
    printed = subprocess.run(  # noqa: S603
        [program, "--version"], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    version = re.search(r"(\d+)\.(\d+)", printed)
    return version is not None and (int(version[1]), int(version[2])) >= _PREPARES_FROM


class PgBouncer(Server):
    """Pooler with the roles of the service. `follow_primary` redirects it after a promotion."""

    def __init__(
        self, data: Path, log: Path, program: Path, port: int, pair: PostgresPair, secrets: Secrets
    ) -> None:
        super().__init__("PgBouncer", data, log)
        self.port = port
        self.prepares = _prepares(program)
        self._program = program
        self._pair = pair
        self._secrets = secrets
        self._launch = Unprivileged()

    def url(self, role: str = "aftertone") -> str:
        password = getattr(self._secrets, role)
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self.port}/aftertone"

    def listens_on(self) -> tuple[int, ...]:
        return (self.port,)

    async def start(self, timeout_s: float = 60) -> None:
        """Starts the pooler. The primary must be running."""
        await self._pair.psql(_ROLE_SETTINGS, database="postgres")
        await super().start(timeout_s)

    async def command(self, lock: int) -> Command:
        self._launch = find_unprivileged(self.data, self._program)
        self._write("users.txt", "".join(map(self._user, ("aftertone", "aftertone_owner"))))
        argv = [*self._launch.prefix, str(self._program), "-q", str(self._write_configuration())]
        return self._build_command(argv, lock, user=self._launch.user, grace_s=4)

    def follow_primary(self) -> None:
        """Directs new transactions to the primary of the pair."""
        self._write_configuration()
        if self.alive:
            os.kill(self.pid, signal.SIGHUP)

    def _write_configuration(self) -> Path:
        primary, users = self._pair.primary.port, self.data / "users.txt"
        text = _CONFIGURATION.format(
            host=LOOPBACK,
            port=self.port,
            primary=primary,
            users=users,
            preparation=_PREPARATION if self.prepares else "",
        )
        return self._write("pgbouncer.ini", text)

    def _write(self, name: str, content: str) -> Path:
        file = self.data / name
        write_private(file, content.encode())
        if self._launch.user:
            os.chown(file, *self._launch.user)
        return file

    def _user(self, role: str) -> str:
        return f'"{role}" "{getattr(self._secrets, role)}"\n'

    async def answers(self) -> bool:
        return await exchange(self.port, _SSL_REQUEST) == b"N"
