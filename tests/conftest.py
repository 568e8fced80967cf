"""Fixtures that every test may use, and the settings of property-based tests."""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine generates examples slowly; that is not a fault of a test.
settings.register_profile(
    "long", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("long"), max_examples=30)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("quick" if config.option.markexpr == "not long" else "long")


pytest_plugins = [
    "tests.support.log_scan",
    "tests.support.servers",
    "tests.support.database",
    "tests.support.running",
    "tests.support.relay",
    "tests.support.keeper",
    "tests.support.notifier",
    "tests.support.email_harness",
    "tests.support.lamp_harness",
    "tests.support.media_harness",
    "tests.support.transcription_harness",
    "tests.support.webhook_harness",
    "tests.support.audio_stores",
]
