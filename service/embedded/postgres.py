"""Embedded Postgres server with one cluster, its roles and psql."""

import asyncio
import os
import re
import shutil
import signal
import struct
from abc import abstractmethod
from pathlib import Path

from service.embedded import reaper
from service.embedded.binaries import Programs, Unprivileged, find_unprivileged
from service.embedded.child import Child, Command
from service.embedded.errors import EmbeddedError
from service.embedded.keys import Secrets, write_private
from service.embedded.ports import LOOPBACK, Ports
from service.embedded.server import Server, exchange, server_environment

# fsync stays on: an acknowledged write must survive a kill.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    # The details of a constraint violation contain names and numbers of people.
    "log_error_verbosity": "terse",
}

# Idempotent: the first start can be killed at any point.
_ROLES = """\
SET client_min_messages = error;
-- The passwords are long and random, so more iterations would only slow down connections.
SET scram_iterations = 64;
SELECT 'CREATE ROLE aftertone' WHERE to_regrole('aftertone') IS NULL \\gexec
SELECT 'CREATE ROLE aftertone_owner' WHERE to_regrole('aftertone_owner') IS NULL \\gexec
ALTER ROLE aftertone LOGIN PASSWORD '{aftertone}';
ALTER ROLE aftertone_owner LOGIN CREATEDB PASSWORD '{aftertone_owner}';
SELECT 'CREATE DATABASE aftertone OWNER aftertone_owner'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'aftertone') \\gexec
"""

# Messages of Postgres while processes of its previous run still exist.
_PREVIOUS_RUN = re.compile(r"pre-existing shared memory block|lock file .* already exists")

# States of a primary and of a standby that accept connections.
_READY = ("ready", "standby")

# SSLRequest message: a server without TLS answers `N`.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class PostgresServer(Server):
    """Postgres with the roles `postgres` (superuser), `aftertone_owner` and `aftertone`."""

    def __init__(
        self, name: str, data: Path, log: Path, programs: Programs, secrets: Secrets
    ) -> None:
        super().__init__(name, data, log)
        self._programs = programs
        self._secrets = secrets
        self._cluster = data / "cluster"

    @property
    @abstractmethod
    def port(self) -> int:
        """Port for clients."""

    def url(self, database: str = "aftertone", role: str = "aftertone_owner") -> str:
        password = getattr(self._secrets, role)
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self.port}/{database}"

    def listens_on(self) -> tuple[int, ...]:
        return (self.port,)

    async def start(self, timeout_s: float = 60) -> None:
        for attempt in range(50):
            try:
                await super().start(timeout_s)
                break
            except EmbeddedError:
                if attempt == 49 or not _PREVIOUS_RUN.search(self.read_log()):
                    raise
                await asyncio.sleep(0.2)
        if not (self.data / "roles").exists():
            await self._create_roles()

    async def command(self, lock: int) -> Command:
        launch = await asyncio.to_thread(
            find_unprivileged, self.data, self._programs.postgres("postgres")
        )
        if not self._cluster.exists():
            await self._create_cluster(launch, lock)
        self._remove_stale_pid_file()
        settings = {**_SETTINGS, "port": str(self.port), **self._more_settings()}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self._run(launch, lock, "postgres", "-D", str(self._cluster), *options)

    def _more_settings(self) -> dict[str, str]:
        """Returns more settings of this server."""
        return {}

    def _run(self, launch: Unprivileged, lock: int, program: str, *arguments: str) -> Command:
        return self._build_command(
            [*launch.prefix, str(self._programs.postgres(program)), *arguments],
            lock,
            user=launch.user,
            # Fast shutdown: disconnects sessions and writes all data.
            stop_signal=signal.SIGINT,
        )

    async def _create_cluster(self, launch: Unprivileged, lock: int) -> None:
        """Creates the cluster under a temporary name: a kill leaves no partial cluster."""
        draft = self.data / "cluster.new"
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        await self._write_cluster(draft, launch, lock)
        draft.rename(self._cluster)

    async def _write_cluster(self, draft: Path, launch: Unprivileged, lock: int) -> None:
        password = self._write_owned("password", self._secrets.postgres, launch)
        locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
        login = ("--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256")
        try:
            await self._complete(
                self._run(
                    launch, lock, "initdb", "-D", str(draft), "--no-instructions", *locale, *login
                )
            )
        finally:
            password.unlink(missing_ok=True)

    def _write_owned(self, name: str, content: str, launch: Unprivileged) -> Path:
        """Writes a file of the data folder that only the user of Postgres can read."""
        file = self.data / name
        write_private(file, content.encode())
        if launch.user:
            os.chown(file, *launch.user)
        return file

    async def _complete(self, command: Command) -> None:
        """Runs a program to its end. Raises EmbeddedError when it fails."""
        child = Child(self.name, command)
        try:
            await child.start()
            code = await child.wait()
        finally:
            await child.stop()
        if code:
            raise self.exit_error(code)

    def _remove_stale_pid_file(self) -> None:
        """Removes a `postmaster.pid` whose process is not this Postgres.

        Postgres treats a zombie or an unrelated process with the same pid as a running server.
        """
        file = self._cluster / "postmaster.pid"
        pid = file.read_text().split()[:1] if file.exists() else []
        if pid and str(self._cluster) not in reaper.command_of(int(pid[0])):
            file.unlink()

    async def answers(self) -> bool:
        """Checks for `ready` in the pid file, as pg_ctl does, and connects to the server."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        ready = len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() in _READY
        return ready and await exchange(self.port, _SSL_REQUEST) == b"N"

    async def _create_roles(self) -> None:
        text = _ROLES.format(
            aftertone=self._secrets.aftertone, aftertone_owner=self._secrets.aftertone_owner
        )
        await self.psql(text, database="postgres")
        (self.data / "roles").touch()

    async def psql(self, text: str, database: str = "aftertone", role: str = "postgres") -> str:
        """Runs SQL and returns unaligned rows with columns separated by `|`."""
        process = await asyncio.create_subprocess_exec(
            str(self._programs.postgres("psql")),
            *("--no-psqlrc", "--quiet", "--no-align", "--tuples-only"),
            *("--set", "ON_ERROR_STOP=1", "--file", "-"),
            *("--host", LOOPBACK, "--port", str(self.port)),
            *("--username", role, "--dbname", database),
            # Not on the command line, which all users of the machine can read.
            env={**server_environment(self.data), "PGPASSWORD": getattr(self._secrets, role)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate(text.encode())
        if process.returncode:
            raise EmbeddedError(f"psql failed: {errors.decode(errors='replace').strip()}")
        return output.decode().strip()


class EmbeddedPostgres(PostgresServer):
    """The only Postgres of a folder."""

    def __init__(
        self, data: Path, log: Path, programs: Programs, ports: Ports, secrets: Secrets
    ) -> None:
        super().__init__("Postgres", data, log, programs, secrets)
        self.ports = ports

    @property
    def port(self) -> int:
        return self.ports.postgres
