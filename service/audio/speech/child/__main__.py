"""Entry of the child process. It reads one job after the other from a socket, its standard input.

The pool starts it with the process ID of the parent, the limit of the address space, the number of
threads, and the folder of the model. An error that the audio does not cause ends the process.
"""

import io
import socket
import sys

import msgspec

from service.audio.conversion.child.sandbox import enter_sandbox, limit_job
from service.audio.speech.messages import MAX_JOB_BYTES, NotReady, Ready, SpeechJob


def main() -> None:
    parent, memory_bytes, threads, folder = sys.argv[1:]
    enter_sandbox(parent=int(parent), memory_bytes=int(memory_bytes))
    with socket.socket(fileno=0) as channel, channel.makefile("rb") as stream:
        try:
            # The import starts threads; then the process could not enter the sandbox.
            from service.audio.speech.child.recognizer import Recognizer

            recognizer = Recognizer(folder, int(threads))
        except Exception as error:
            # The parent reports any error, also one of the library or of its import.
            _send(channel, NotReady(error=f"{type(error).__name__}: {error}"))
            return
        _send(channel, Ready())
        while line := stream.readline(MAX_JOB_BYTES):
            job = msgspec.json.decode(line, type=SpeechJob)
            audio = io.BytesIO(stream.read(job.size))
            limit_job(job.cpu_s, output_bytes=0)
            _send(channel, recognizer.recognize(audio, job.content_type, job.language))


def _send(channel: socket.socket, answer: msgspec.Struct) -> None:
    channel.sendall(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
