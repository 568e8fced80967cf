"""Reaper: a small process that starts one child and ends it when the supervisor ends.

Run as `python -I -S reaper.py STATUS_FD LOCK_FD STOP_SIGNAL GRACE_S UID GID COMMAND...` with the
read end of a pipe as standard input. Only the supervisor holds the write end, so the pipe closes
when the supervisor ends, even by `kill -9`. This works on every Unix; PR_SET_PDEATHSIG does not.
The pid of the child is written to STATUS_FD. LOCK_FD (-1: none) is a locked file; the lock is held
until the reaper ends. The exit code is that of the child, or 128 + the signal that ended it.
The module imports only the standard library, since it is started once for each child.
"""

import contextlib
import os
import select
import signal
import sys
import time

# Sent by the supervisor before it closes the pipe: SIGKILL without grace period.
KILL_NOW = b"k"


def parents() -> dict[int, int]:
    """Returns all processes of this machine with their parents, without zombies."""
    if not os.path.isdir("/proc/self"):
        return _parents_by_ps()
    parent_of: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            # The process may have ended after the listing.
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                # The name is in parentheses and may itself contain spaces and parentheses.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in b"ZX":
                    parent_of[int(entry)] = int(parent)
    return parent_of


def _parents_by_ps() -> dict[int, int]:
    with os.popen("ps -A -o pid=,ppid=,stat=") as listing:  # noqa: S605,S607 - fixed text, BSD and macOS
        rows = [line.split() for line in listing]
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 3 and row[2][0] != "Z"}


def descendants(pid: int) -> list[int]:
    """Returns the descendants of `pid`, children first."""
    parent_of = parents()
    pids, frontier = [], {pid}
    while frontier:
        frontier = {child for child, parent in parent_of.items() if parent in frontier}
        pids += sorted(frontier)
    return pids


def command_of(pid: int) -> str:
    """Returns the command line of a process; empty if it is a zombie or does not exist."""
    if os.path.isdir("/proc/self"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        return ""
    with os.popen(f"ps -ww -o command= -p {int(pid)}") as listing:  # noqa: S605 - a number only
        return listing.read().strip()


def signal_all(pids: list[int], number: int) -> None:
    """Signals processes. Skips pid 0, which would be the process group of the caller."""
    for pid in filter(None, pids):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_group(pid: int) -> None:
    """Kills the process group of the leader `pid`."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _adopt_orphans() -> None:
    """Makes this process the parent of orphaned descendants (Linux).

    The process group does not contain them all: each Postgres backend has its own session.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _start(command: list[str], uid: int, gid: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # Python ignores these signals, and the program would inherit that.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        os.execvp(command[0], command)  # noqa: S606 - the command comes from the supervisor
    except BaseException as error:
        # This process is a copy of the reaper: nothing may return into its code.
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
    os._exit(127)


class _ExitWatcher:
    """Waits for the end of the child, or ends it after the end of the supervisor."""

    def __init__(self, stop_signal: int, grace_s: float) -> None:
        self.stop_signal, self.grace_s = stop_signal, grace_s
        self.is_stopping = False
        self.deadline: float | None = None
        self.wake, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._request_stop)

    def _request_stop(self, *_: object) -> None:
        self.is_stopping = True

    def wait_for_exit(self, pid: int) -> int:
        """Returns the exit code of the child, negative for a signal."""
        while True:
            sources = [self.wake] if self.is_stopping else [self.wake, 0]
            timeout = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            ready = select.select(sources, [], [], timeout)[0]
            if self.wake in ready:
                os.read(self.wake, 512)
            if 0 in ready:
                self.is_stopping = True
                if os.read(0, 512) == KILL_NOW:
                    self.deadline = 0.0
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            self._signal_child(pid)

    def _signal_child(self, pid: int) -> None:
        if not self.is_stopping:
            return
        if self.deadline is None:
            self.deadline = time.monotonic() + self.grace_s
            # A suspended process handles the signal only after SIGCONT.
            signal_all([pid], self.stop_signal)
            signal_all([pid, *descendants(pid)], signal.SIGCONT)
        elif time.monotonic() >= self.deadline:
            signal_all([pid, *descendants(pid)], signal.SIGKILL)
            kill_group(pid)
            self.deadline = time.monotonic() + 1


def _kill_descendants(pid: int) -> None:
    """Kills and reaps the remaining descendants of the child."""
    kill_group(pid)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        signal_all(descendants(os.getpid()), signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
        except ChildProcessError:
            return


def main(arguments: list[str]) -> int:
    status_fd, lock_fd, stop_signal = (int(argument) for argument in arguments[:3])
    grace_s, uid, gid = float(arguments[3]), int(arguments[4]), int(arguments[5])
    for descriptor in (status_fd, lock_fd):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    _adopt_orphans()
    watcher = _ExitWatcher(stop_signal, grace_s)
    pid = _start(arguments[6:], uid, gid)
    os.write(status_fd, b"%d\n" % pid)
    os.close(status_fd)
    code = watcher.wait_for_exit(pid)
    _kill_descendants(pid)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
