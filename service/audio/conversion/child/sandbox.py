"""Limits of the child process: memory, CPU time, size of files, network, priority."""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_MAX_DESCRIPTORS = 64
_NICENESS = 10


def enter_sandbox(parent: int, memory_bytes: int) -> None:
    """Applies the limits that last. The process ends with its parent."""
    os.nice(_NICENESS)
    if sys.platform == "linux":
        _isolate(parent)
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_NOFILE, _MAX_DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        _lower_limit(limit, value)


def limit_job(cpu_s: int, output_bytes: int) -> None:
    """Limits the CPU time from now on, and the size of the files that the process writes.

    The CPU limit ends the process. A write beyond the size fails.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _set_soft_limit(resource.RLIMIT_CPU, used + cpu_s)
    _set_soft_limit(resource.RLIMIT_FSIZE, output_bytes)


def _isolate(parent: int) -> None:
    # If memory is short, the kernel ends this process and not its parent.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # A container may forbid namespaces. PyAV gets no protocol that could use the network anyway.
    libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _lower_limit(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(limit, (value, value))
    except (OSError, ValueError):
        # macOS has no limit of the address space.
        if sys.platform == "linux":
            raise


def _set_soft_limit(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, hard))
