"""The leash: a tiny process that starts one child and ends it when its own parent is gone.

Run as `python -I -S leash.py STATUS_FD HELD_FD STOP_SIGNAL GRACE_S UID GID COMMAND...` with the
read end of a pipe as standard input. Only the supervisor holds the other end, so the pipe closes
when the supervisor dies, by `kill -9` too: that works on every Unix, which PR_SET_PDEATHSIG does
not. The child's pid goes to STATUS_FD. HELD_FD (-1: none) is a locked file; the lock lasts as long
as the leash. Exit code: the child's, or 128 + the signal that ended it.
It may import the standard library only: it starts once for each child, in about 20 ms.
"""

import contextlib
import os
import select
import signal
import sys
import time

# What the supervisor may write before it closes the pipe: no grace, SIGKILL now.
AT_ONCE = b"k"


def parents() -> dict[int, int]:
    """Every process on this machine with its parent; zombies are left out."""
    if not os.path.isdir("/proc/self"):
        return _parents_by_ps()
    found: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            # A process may end between the listing and the look at it.
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                # The name stands in parentheses and may hold spaces and parentheses itself.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in b"ZX":
                    found[int(entry)] = int(parent)
    return found


def _parents_by_ps() -> dict[int, int]:
    with os.popen("ps -A -o pid=,ppid=,stat=") as listing:  # noqa: S605,S607 - fixed text, BSD and macOS
        rows = [line.split() for line in listing]
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 3 and row[2][0] != "Z"}


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, near ones first."""
    by_process = parents()
    found, frontier = [], {pid}
    while frontier:
        frontier = {child for child, parent in by_process.items() if parent in frontier}
        found += sorted(frontier)
    return found


def command_of(pid: int) -> str:
    """The command line of a living process; empty for a zombie and for nobody."""
    if os.path.isdir("/proc/self"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        return ""
    with os.popen(f"ps -ww -o command= -p {int(pid)}") as listing:  # noqa: S605 - a number only
        return listing.read().strip()


def signal_all(pids: list[int], number: int) -> None:
    """A pid of 0, which would mean our own group, is nobody."""
    for pid in filter(None, pids):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_group(pid: int) -> None:
    """SIGKILL to the process group that `pid` leads or led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _adopt_orphans() -> None:
    """Makes grandchildren ours when their parent dies (Linux), so that none slips away.

    Postgres puts each backend into a session of its own: the process group does not hold them.
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
        # Python ignores these two, and what is ignored stays ignored across exec.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        os.execvp(command[0], command)  # noqa: S606 - the command is the supervisor's own
    except BaseException as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
    os._exit(127)


class _Watch:
    """Waits for whichever comes first: the child's end, or the supervisor's."""

    def __init__(self, stop_signal: int, grace_s: float) -> None:
        self.stop_signal, self.grace_s = stop_signal, grace_s
        self.asked = False
        self.deadline: float | None = None
        self.wake, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def until_end(self, pid: int) -> int:
        """The child's exit code, negative for a signal."""
        while True:
            sources = [self.wake] if self.asked else [self.wake, 0]
            timeout = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            ready = select.select(sources, [], [], timeout)[0]
            if self.wake in ready:
                os.read(self.wake, 512)
            if 0 in ready:
                self.asked = True
                if os.read(0, 512) == AT_ONCE:
                    self.deadline = 0.0
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            self._press(pid)

    def _press(self, pid: int) -> None:
        if not self.asked:
            return
        if self.deadline is None:
            self.deadline = time.monotonic() + self.grace_s
            # A frozen process takes the signal only when it goes on.
            signal_all([pid], self.stop_signal)
            signal_all([pid, *descendants(pid)], signal.SIGCONT)
        elif time.monotonic() >= self.deadline:
            signal_all([pid, *descendants(pid)], signal.SIGKILL)
            kill_group(pid)
            self.deadline = time.monotonic() + 1


def _sweep(pid: int) -> None:
    """Ends and reaps whatever the child left behind."""
    kill_group(pid)
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        signal_all(descendants(os.getpid()), signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
        except ChildProcessError:
            return


def main(arguments: list[str]) -> int:
    status_fd, held_fd, stop_signal = (int(argument) for argument in arguments[:3])
    grace_s, uid, gid = float(arguments[3]), int(arguments[4]), int(arguments[5])
    for descriptor in (status_fd, held_fd):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    _adopt_orphans()
    watch = _Watch(stop_signal, grace_s)
    pid = _start(arguments[6:], uid, gid)
    os.write(status_fd, b"%d\n" % pid)
    os.close(status_fd)
    code = watch.until_end(pid)
    _sweep(pid)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
