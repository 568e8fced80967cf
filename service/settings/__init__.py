"""Settings: what an operator can set, read once. The only reader of the environment."""

from service.settings.fields import FOR_CLIENTS, PREFIX, Settings
from service.settings.read import SettingsError, read_settings
from service.settings.reference import reference

__all__ = ["FOR_CLIENTS", "PREFIX", "Settings", "SettingsError", "read_settings", "reference"]
