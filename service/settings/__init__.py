"""Settings: what an operator can set, read once. The only reader of the environment."""

from service.settings.fields import FOR_CLIENTS, PREFIX, Settings
from service.settings.read import SettingsError, given_in, read_settings
from service.settings.reference import reference

__all__ = [
    "FOR_CLIENTS",
    "PREFIX",
    "Settings",
    "SettingsError",
    "given_in",
    "read_settings",
    "reference",
]
