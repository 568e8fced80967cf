"""Child process that ends with its parent; the only place that starts long-running processes."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from service.embedded import reaper
from service.embedded.errors import EmbeddedError


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Program to start. `user` is (uid, gid); `log` receives stdout and stderr.

    `lock` is a file descriptor that stays open until the process and its descendants have ended.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None = None
    user: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    log: Path | None = None
    lock: int | None = None


class Child:
    """Process that the reaper ends when the parent ends. An object can be started once."""

    def __init__(self, name: str, command: Command) -> None:
        self.name = name
        self._command = command
        self._pid = 0
        self._reaper: asyncio.subprocess.Process | None = None
        self._started = asyncio.Event()
        self._pipe: int | None = None
        self._exit_task: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def reaper_pid(self) -> int:
        return self._reaper.pid if self._reaper else 0

    @property
    def alive(self) -> bool:
        return self._exit_task is not None and not self._exit_task.done()

    async def start(self) -> None:
        """Returns when the process exists. Raises EmbeddedError."""
        program = self._command.argv[0]
        if not shutil.which(program):
            raise EmbeddedError(f"{self.name} cannot start: the program {program} is missing.")
        reaper_end, self._pipe = os.pipe()
        status, status_end = os.pipe()
        try:
            process = self._reaper = await self._start_reaper(reaper_end, status_end)
        except BaseException as error:
            os.close(status)
            self._close_pipe()
            if isinstance(error, OSError):
                raise EmbeddedError(f"{self.name} cannot start: {error}.") from error
            raise
        finally:
            os.close(reaper_end)
            os.close(status_end)
        # A separate task: the end of the child must be noticed even if the start is cancelled.
        self._exit_task = asyncio.create_task(self._wait_for_exit(process, status))
        await self._started.wait()

    async def _start_reaper(self, reaper_end: int, status_end: int) -> asyncio.subprocess.Process:
        command = self._command
        uid, gid = command.user or (-1, -1)
        with contextlib.ExitStack() as stack:
            output = None
            if command.log:
                command.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                output = stack.enter_context(command.log.open("ab"))
            spawning = asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", reaper.__file__),
                *(str(status_end), str(-1 if command.lock is None else command.lock)),
                *(str(int(command.stop_signal)), str(command.grace_s), str(uid), str(gid)),
                *command.argv,
                stdin=reaper_end,
                stdout=output,
                stderr=output,
                env=dict(command.environment),
                cwd=command.folder,
                pass_fds=(status_end,) if command.lock is None else (status_end, command.lock),
                start_new_session=True,  # Ctrl-C in the terminal must not reach the child
            )
            return await self._complete_spawn(asyncio.create_task(spawning))

    async def _complete_spawn(
        self, spawning: asyncio.Task[asyncio.subprocess.Process]
    ) -> asyncio.subprocess.Process:
        """Completes the spawn on cancellation: asyncio would kill the reaper, but not its child."""
        try:
            return await asyncio.shield(spawning)
        except asyncio.CancelledError:
            process = await spawning
            if self._pipe is not None:
                os.write(self._pipe, reaper.KILL_NOW)
            self._close_pipe()
            await process.wait()
            raise

    async def _wait_for_exit(self, process: asyncio.subprocess.Process, status: int) -> int:
        try:
            self._pid = await asyncio.to_thread(_read_pid, status)
        finally:
            self._started.set()
        code = await process.wait()
        if code < 0 and self._pid:
            await self._end_without_reaper()
        self._close_pipe()
        return code

    async def _end_without_reaper(self) -> None:
        """Kills the child after its reaper was killed."""
        pids = [self._pid, *reaper.descendants(self._pid)]
        reaper.signal_all(pids, signal.SIGKILL)
        reaper.kill_group(self._pid)
        for _ in range(500):
            if reaper.parents().keys().isdisjoint(pids):
                return
            await asyncio.sleep(0.01)

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    async def wait(self) -> int:
        """Waits for the process and its descendants. Returns the exit code, or 128 + the signal."""
        return await asyncio.shield(self._exit_task) if self._exit_task else 0

    async def stop(self) -> None:
        """Sends the stop signal, and SIGKILL after `grace_s`. Returns when no process is left."""
        self._close_pipe()
        try:
            async with asyncio.timeout(self._command.grace_s + 3):
                await self.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kills the process; the reaper ends its descendants."""
        if self.alive:
            # After a cancelled start, the pid may not be known yet.
            await self._started.wait()
            reaper.signal_all([self._pid], signal.SIGKILL)
        await self.wait()

    def suspend(self) -> None:
        """Stops the process first, then its descendants, so that it cannot start new ones."""
        reaper.signal_all([self._pid], signal.SIGSTOP)
        reaper.signal_all(reaper.descendants(self._pid), signal.SIGSTOP)
        wait_for_stop(self._pid)

    def resume(self) -> None:
        reaper.signal_all([*reaper.descendants(self._pid), self._pid], signal.SIGCONT)


def _read_pid(status: int) -> int:
    """Returns the pid of the child; 0 if the reaper ended before it started the child."""
    try:
        return int(os.read(status, 32) or b"0")
    finally:
        os.close(status)


def wait_for_stop(pid: int) -> None:
    """Waits until all threads have stopped, which takes a moment. Works on Linux only."""
    for _ in range(100):
        with contextlib.suppress(OSError):  # a thread may end meanwhile
            stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
            if all(stat.rpartition(") ")[2].startswith("T") for stat in stats):
                return
        time.sleep(0.002)
