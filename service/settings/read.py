"""Reads settings from environment variables and checks them."""

from collections.abc import Mapping

import msgspec

from service.settings.fields import FOR_CLIENTS, PREFIX, Settings
from service.settings.reference import accepted_values


class SettingsError(Exception):
    """An environment variable is not valid; the text names it and the reason."""


def select_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the values of all AFTERTONE_* settings by field name, unknown names included."""
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in FOR_CLIENTS
    }


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Returns the settings of an environment. Raises SettingsError."""
    values = select_settings(environment)
    unknown = sorted(values.keys() - set(Settings.__struct_fields__))
    if unknown:
        names = ", ".join(PREFIX + name.upper() for name in unknown)
        raise SettingsError(f"Unknown settings: {names}. See `aftertone settings reference`.")
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        if not path:
            raise SettingsError(f"{reason}.") from None
        field = path.rstrip("`")
        # The value is not repeated: it may be a secret.
        raise SettingsError(
            f"{PREFIX}{field.upper()} is not valid: expected {accepted_values(field)}."
        ) from None
