"""Translation of NATS exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager

import nats.errors

from service.domain.errors import BusUnavailable


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raises BusUnavailable instead of any exception of the NATS client."""
    try:
        yield
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise BusUnavailable(str(error) or type(error).__name__) from error
