"""Entry of the child process. It reads one job after the other from a socket, its standard input.

The pool starts it with the process ID of the parent and the limit of the address space.
"""

import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import msgspec

from service.audio.conversion.child.dispatch import perform
from service.audio.conversion.child.sandbox import enter_sandbox, limit_job
from service.audio.conversion.operations import (
    MAX_FILES,
    MAX_JOB_BYTES,
    Job,
    OperationFailed,
    OperationResult,
    UnreadableCause,
)


def main() -> None:
    enter_sandbox(parent=int(sys.argv[1]), memory_bytes=int(sys.argv[2]))
    with socket.socket(fileno=0) as channel:
        for job, files in _receive_jobs(channel):
            channel.sendall(msgspec.json.encode(_perform(job, files)) + b"\n")


def _receive_jobs(channel: socket.socket) -> Iterator[tuple[Job, list[IO[bytes]]]]:
    while True:
        line, descriptors, _, _ = socket.recv_fds(channel, MAX_JOB_BYTES, MAX_FILES)
        if not line:
            return
        with ExitStack() as stack:
            files: list[IO[bytes]] = [
                stack.enter_context(os.fdopen(item, "r+b")) for item in descriptors
            ]
            yield msgspec.json.decode(line, type=Job), files


def _perform(job: Job, files: list[IO[bytes]]) -> OperationResult | OperationFailed:
    limit_job(job.cpu_s, job.output_bytes)
    output = files[-1] if job.has_output else None
    try:
        return perform(job.operation, list(zip(files, job.content_types, strict=False)), output)
    except Exception as error:
        # The input is hostile: any error is caused by it.
        return OperationFailed(cause=_cause(job, output, error))


def _cause(job: Job, output: IO[bytes] | None, error: Exception) -> UnreadableCause:
    if isinstance(error, MemoryError):
        return UnreadableCause.MEMORY
    if output is not None and os.fstat(output.fileno()).st_size >= job.output_bytes:
        return UnreadableCause.OUTPUT
    return UnreadableCause.MALFORMED


if __name__ == "__main__":
    # The limit of the output makes writes fail; without this the default would end the process.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
