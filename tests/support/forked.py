"""Processes of the service that are forked from a process that has imported it.

The imports take most of the start of a process: more than a second of one core, for each of some
hundred processes. Otherwise such a process is one that was started with `python -m service`: it
has its own pid, environment, log and signals. Tests of `dev`, of the wheel and of the embedded
servers start programs instead.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import msgspec

from service.embedded import reaper
from service.embedded.child import Command, wait_for_stop
from tests.support.log_scan import scanned_stderr

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.preloaded"])


class Streams(msgspec.Struct, frozen=True):
    """Paths of the standard streams. Output is appended."""

    stdin: str
    stdout: str
    stderr: str


class Finished(msgspec.Struct, frozen=True):
    """Result of a command; `code` is 128 + the signal if a signal ended it."""

    code: int
    stdout: str
    stderr: str


class ServiceProcess(Protocol):
    """What `Child` and `ForkedChild` have in common."""

    @property
    def pid(self) -> int: ...
    @property
    def alive(self) -> bool: ...
    async def start(self) -> None: ...
    async def wait(self) -> int: ...
    async def stop(self) -> None: ...
    async def kill(self) -> None: ...
    def suspend(self) -> None: ...
    def resume(self) -> None: ...


class ForkedChild:
    """Process `aftertone` with the interface of a `Child`; it ends when this process ends."""

    def __init__(self, name: str, command: Command) -> None:
        """The arguments are those that follow `-m service`."""
        self.name = name
        self._command = command
        self._process: BaseProcess | None = None
        self._exit_task: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int:
        return (self._process and self._process.pid) or 0

    @property
    def alive(self) -> bool:
        return self._exit_task is not None and not self._exit_task.done()

    async def start(self) -> None:
        """Returns when the process exists."""
        command, log = self._command, str(self._command.log or os.devnull)
        arguments = command.argv[command.argv.index("service") + 1 :]
        streams = Streams(stdin=os.devnull, stdout=log, stderr=log)
        process = self._process = await fork(command.environment, arguments, streams)
        self._exit_task = asyncio.create_task(asyncio.to_thread(_exit_code_of, process))

    async def wait(self) -> int:
        """Waits for the process. Returns the exit code, or 128 + the signal."""
        return await asyncio.shield(self._exit_task) if self._exit_task else 0

    async def stop(self) -> None:
        """Sends the stop signal, and SIGKILL after `grace_s`."""
        if self.alive:
            reaper.signal_all([self.pid], self._command.stop_signal)
        try:
            async with asyncio.timeout(self._command.grace_s):
                await self.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kills the process and its descendants."""
        if self.alive:
            reaper.signal_all([self.pid, *reaper.descendants(self.pid)], signal.SIGKILL)
        await self.wait()

    def suspend(self) -> None:
        """Stops the process first, then its descendants, so that it cannot start new ones."""
        reaper.signal_all([self.pid], signal.SIGSTOP)
        reaper.signal_all(reaper.descendants(self.pid), signal.SIGSTOP)
        wait_for_stop(self.pid)

    def resume(self) -> None:
        reaper.signal_all([*reaper.descendants(self.pid), self.pid], signal.SIGCONT)


async def run_command(
    environment: Mapping[str, str],
    *arguments: str,
    stdin: str = "",
    terminal: str = "",
    started: Callable[[int], Awaitable[None]] | None = None,
) -> Finished:
    """Runs `aftertone` to its end, and scans its log.

    `terminal` is the path of a terminal for stderr. `started` is called with the pid.
    """
    with tempfile.TemporaryDirectory(prefix="aftertone-command-") as folder:
        given, printed, log = (Path(folder, name) for name in ("stdin", "stdout", "stderr"))
        given.write_text(stdin)
        log.touch()
        streams = Streams(str(given), str(printed), terminal or str(log))
        process = await fork(environment, arguments, streams)
        if started:
            await started(process.pid or 0)
        code = await asyncio.to_thread(_exit_code_of, process)
        logged = scanned_stderr(arguments[0], log.read_bytes())
        return Finished(code, printed.read_text(), logged)


def _exit_code_of(process: BaseProcess) -> int:
    process.join()
    code = process.exitcode or 0
    return code if code >= 0 else 128 - code


async def fork(
    environment: Mapping[str, str], arguments: Sequence[str], streams: Streams
) -> BaseProcess:
    """Starts `aftertone` with exactly this environment."""
    process = _CONTEXT.Process(target=_run, args=(dict(environment), list(arguments), streams))
    await asyncio.to_thread(process.start)
    return process


def _run(environment: dict[str, str], arguments: list[str], streams: Streams) -> None:
    from service.__main__ import main

    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(os.open(streams.stdin, os.O_RDONLY), 0)
    # multiprocessing has closed it.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    Path(streams.stdout).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, path in ((1, streams.stdout), (2, streams.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    main()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
