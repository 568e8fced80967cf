"""SandboxedProcess: a process for hostile or heavy work, with a socket as its standard input."""

import asyncio
import os
import socket
import sys
from contextlib import suppress

_BLOCK_BYTES = 64 * 1024
# The child gets no other variable of this process: some hold passwords.
_INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
# One arena: otherwise the allocator reserves address space for each thread.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class SandboxedProcess:
    """Process that answers each job with one line. After an error it must be closed."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.jobs = 0
        self._process = process
        self._channel = channel

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def close(self) -> None:
        """Ends the process at once. It has no state to save."""
        self._channel.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _receive_line(self, max_bytes: int) -> bytes:
        """Returns a line. It is incomplete if the process has ended, or if it is too long."""
        loop, line = asyncio.get_running_loop(), bytearray()
        while not line.endswith(b"\n") and len(line) <= max_bytes:
            block = await loop.sock_recv(self._channel, _BLOCK_BYTES)
            if not block:
                break
            line += block
        return bytes(line)


async def start_process(
    module: str, *arguments: object, **variables: str
) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """Runs a module, with the process ID of its parent and `arguments`. Raises OSError."""
    parent, child = socket.socketpair()
    parent.setblocking(False)
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    with child:
        try:
            process = await asyncio.create_subprocess_exec(
                # -P: a folder `service` in the current folder must not be imported.
                *(sys.executable, "-P", "-m", module, str(os.getpid()), *map(str, arguments)),
                stdin=child.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={**inherited, **_ENVIRONMENT, **variables},
                # Ctrl-C in a terminal goes to the parent only.
                start_new_session=True,
            )
        except BaseException:
            parent.close()
            raise
    return process, parent
