"""Settings of the service; the only reader of environment variables."""

from service.settings.fields import FOR_CLIENTS, PREFIX, Settings
from service.settings.read import SettingsError, read_settings, select_settings
from service.settings.reference import reference
from service.settings.types import parse_networks

__all__ = [
    "FOR_CLIENTS",
    "PREFIX",
    "Settings",
    "SettingsError",
    "parse_networks",
    "read_settings",
    "reference",
    "select_settings",
]
