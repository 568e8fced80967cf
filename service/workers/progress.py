"""Progress reports of operations that take long, such as keeper steps."""

from collections.abc import Mapping

StepCounts = Mapping[str, int]
"""Result of a step: counts by name. The words of a name are joined by `_`."""


class StepProgress:
    """Discards all reports. Subclasses display them."""

    def set_total(self, total: int) -> None:
        """Sets the expected number of items."""

    def advance(self, count: int) -> None:
        """Adds to the number of processed items."""
