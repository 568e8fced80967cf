"""What the NATS library raises, as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import nats.errors

from service.domain.errors import BusUnavailable


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turns whatever NATS raises into BusUnavailable."""
    try:
        yield
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise BusUnavailable(str(error) or type(error).__name__) from error
