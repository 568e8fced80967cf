"""Reads settings from an environment, or says which variable is wrong and why."""

from collections.abc import Mapping

import msgspec

from service.settings.fields import FOR_CLIENTS, PREFIX, Settings
from service.settings.reference import value_of


class SettingsError(Exception):
    """The environment does not make sense; the text says which variable and why."""


def given_in(environment: Mapping[str, str]) -> dict[str, str]:
    """What `environment` says of settings, by the names of fields, known or not."""
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in FOR_CLIENTS
    }


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that `environment` spells; SettingsError names the variable that is wrong."""
    given = given_in(environment)
    unknown = sorted(given.keys() - set(Settings.__struct_fields__))
    if unknown:
        names = ", ".join(PREFIX + name.upper() for name in unknown)
        raise SettingsError(f"Unknown settings: {names}.")
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        if not path:
            raise SettingsError(f"{reason}.") from None
        field = path.rstrip("`")
        name, wanted = PREFIX + field.upper(), value_of(field)
        raise SettingsError(f"{name} is not acceptable: it takes: {wanted}.") from None
