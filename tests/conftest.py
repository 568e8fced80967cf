"""Fixtures that every test may use."""

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
    "tests.support.transcription_harness",
    "tests.support.webhook_harness",
    "tests.support.audio_stores",
]
