"""Metrics and traces of the operations on the audio store."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from service.domain.errors import StorageUnavailable
from service.metrics import S3_DURATION, S3_ERRORS
from service.traces import begin_span, end_span

Operation = Literal["put", "get", "copy", "delete", "list", "head", "create"]

for _name in get_args(Operation):
    # Starts at 0: if the counter first appears with an error, a rate does not include that error.
    S3_ERRORS.labels(_name)


@contextmanager
def timed(operation: Operation) -> Iterator[None]:
    """Measures an operation including its retries. A cancellation is not counted as an error."""
    span = begin_span(f"S3 {operation}", {"rpc.system": "aws-api", "rpc.method": operation})
    failure: BaseException | None = None
    started = time.perf_counter()
    try:
        yield
    except BaseException as error:
        failure = error
        if isinstance(error, StorageUnavailable):
            S3_ERRORS.labels(operation).inc()
        raise
    finally:
        S3_DURATION.labels(operation).observe(time.perf_counter() - started)
        end_span(span, failure)
