"""One leashed child process; the only place that starts processes that stay."""

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
    """What to start. `user` is (uid, gid) to change to; `log` takes both outputs when given.

    `held` is a descriptor, of a locked file for instance, that stays open until all is gone.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None = None
    user: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    log: Path | None = None
    held: int | None = None


class Child:
    """A process that cannot outlive us: see `leash`. One object is one life of it."""

    def __init__(self, name: str, command: Command) -> None:
        self.name = name
        self._command = command
        self._pid = 0
        self._reaper: asyncio.subprocess.Process | None = None
        self._begun = asyncio.Event()
        self._pipe: int | None = None
        self._ending: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def reaper_pid(self) -> int:
        return self._reaper.pid if self._reaper else 0

    @property
    def alive(self) -> bool:
        return self._ending is not None and not self._ending.done()

    async def start(self) -> None:
        """Returns as soon as the process exists."""
        program = self._command.argv[0]
        if not shutil.which(program):
            raise EmbeddedError(f"{self.name} cannot start: the program {program} is missing.")
        leashed, self._pipe = os.pipe()
        status, status_end = os.pipe()
        try:
            process = self._reaper = await self._start_reaper(leashed, status_end)
        except BaseException as error:
            os.close(status)
            self._let_go()
            if isinstance(error, OSError):
                raise EmbeddedError(f"{self.name} cannot start: {error}.") from error
            raise
        finally:
            os.close(leashed)
            os.close(status_end)
        # Shielded by a task of its own: a cancelled start must still see the child end.
        self._ending = asyncio.create_task(self._watch(process, status))
        await self._begun.wait()

    async def _start_reaper(self, leashed: int, status_end: int) -> asyncio.subprocess.Process:
        command = self._command
        uid, gid = command.user or (-1, -1)
        with contextlib.ExitStack() as stack:
            output = None
            if command.log:
                command.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                output = stack.enter_context(command.log.open("ab"))
            spawning = asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", reaper.__file__),
                *(str(status_end), str(-1 if command.held is None else command.held)),
                *(str(int(command.stop_signal)), str(command.grace_s), str(uid), str(gid)),
                *command.argv,
                stdin=leashed,
                stdout=output,
                stderr=output,
                env=dict(command.environment),
                cwd=command.folder,
                pass_fds=(status_end,) if command.held is None else (status_end, command.held),
                start_new_session=True,  # Ctrl-C in the terminal is for us alone
            )
            return await self._to_the_end(asyncio.create_task(spawning))

    async def _to_the_end(
        self, spawning: asyncio.Task[asyncio.subprocess.Process]
    ) -> asyncio.subprocess.Process:
        """Does not leave a leash half started: asyncio would kill it, and not what it leads."""
        try:
            return await asyncio.shield(spawning)
        except asyncio.CancelledError:
            started = await spawning
            if self._pipe is not None:
                os.write(self._pipe, reaper.AT_ONCE)
            self._let_go()
            await started.wait()
            raise

    async def _watch(self, process: asyncio.subprocess.Process, status: int) -> int:
        try:
            self._pid = await asyncio.to_thread(_read_pid, status)
        finally:
            self._begun.set()
        code = await process.wait()
        if code < 0 and self._pid:
            await self._end_without_reaper()
        self._let_go()
        return code

    async def _end_without_reaper(self) -> None:
        """The leash itself was killed: nobody else would end the child now."""
        victims = [self._pid, *reaper.descendants(self._pid)]
        reaper.signal_all(victims, signal.SIGKILL)
        reaper.kill_group(self._pid)
        for _ in range(500):
            if reaper.parents().keys().isdisjoint(victims):
                return
            await asyncio.sleep(0.01)

    def _let_go(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    async def wait(self) -> int:
        """The exit code, 128 + n for signal n, once the process and all below it are gone."""
        return await asyncio.shield(self._ending) if self._ending else 0

    async def stop(self) -> None:
        """Asks nicely, kills after the grace; returns when nothing is left."""
        self._let_go()
        try:
            async with asyncio.timeout(self._command.grace_s + 3):
                await self.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL to the process itself; what it leaves behind goes with it."""
        if self.alive:
            # A start that was cancelled may not know the pid yet.
            await self._begun.wait()
            reaper.signal_all([self._pid], signal.SIGKILL)
        await self.wait()

    def suspend(self) -> None:
        """Freezes the process, then all below it: nothing new can appear in between."""
        reaper.signal_all([self._pid], signal.SIGSTOP)
        reaper.signal_all(reaper.descendants(self._pid), signal.SIGSTOP)
        _wait_for_stop(self._pid)

    def resume(self) -> None:
        reaper.signal_all([*reaper.descendants(self._pid), self._pid], signal.SIGCONT)


def _read_pid(status: int) -> int:
    """The child's pid, 0 when the leash died before it had one."""
    try:
        return int(os.read(status, 32) or b"0")
    finally:
        os.close(status)


def _wait_for_stop(pid: int) -> None:
    """A signal takes effect a little later where a thread runs on another processor. Linux tells
    when; elsewhere there is nothing to wait for."""
    for _ in range(100):
        with contextlib.suppress(OSError):  # a thread that ends meanwhile
            stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
            if all(stat.rpartition(") ")[2].startswith("T") for stat in stats):
                return
        time.sleep(0.002)
