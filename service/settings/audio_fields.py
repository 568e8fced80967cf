"""Settings of the processes that read and convert audio, in reference order."""

from typing import Annotated

from msgspec import Meta

from service.settings.serving_fields import ServingSettings
from service.settings.types import Positive, Seconds, conversion


class AudioSettings(ServingSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of `Settings`."""

    conversion_processes: Annotated[
        int,
        Meta(ge=1, le=64),
        conversion(
            "Maximum child processes that read audio, for each process. Each child uses one core "
            "while it works. With 2 or more, one account never occupies all of them."
        ),
    ] = 2
    conversion_queue: Annotated[
        Positive,
        conversion(
            "Maximum operations that wait for such a process; one account has at most a quarter of "
            "them. Above it, the answer is 503."
        ),
    ] = 32
    conversion_memory_mb: Annotated[
        int,
        Meta(ge=64, le=65_536),
        conversion("Maximum address space of such a process, in MB. The program needs 130 MB."),
    ] = 512
    conversion_cpu_s: Annotated[
        int,
        Meta(ge=1, le=86_400),
        conversion("Maximum CPU time of an operation, in seconds."),
    ] = 60
    conversion_timeout_s: Annotated[
        Seconds, conversion("Maximum duration of an operation, without the wait in the queue.")
    ] = 120.0
    conversion_output_mb: Annotated[
        int,
        Meta(ge=1, le=2_000),
        conversion(
            "Maximum size of converted audio, in MB. Temporary disk space of this size is needed "
            "for each process."
        ),
    ] = 128
    conversion_jobs_per_process: Annotated[
        Positive, conversion("Operations after which such a process is replaced.")
    ] = 100
