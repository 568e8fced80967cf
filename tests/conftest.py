"""Fixtures that every test may use."""

pytest_plugins = [
    "tests.support.log_scan",
    "tests.support.servers",
    "tests.support.database",
    "tests.support.running",
    "tests.support.relay",
    "tests.support.keeper",
    "tests.support.notifier",
    "tests.support.office",
    "tests.support.lamps",
    "tests.support.dictation",
    "tests.support.hooks",
    "tests.support.stores",
]
