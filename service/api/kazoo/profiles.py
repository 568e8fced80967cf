"""Profiles of this dialect: the formats of times, lengths and rows for an account's clients."""

from enum import StrEnum

from service.domain import account as core
from service.domain.account import AccountFacts
from service.domain.schema import Field


class WireProfile(StrEnum):
    """The vendor whose formats apply."""

    KAZOO = "kazoo"
    AUDIAN = "audian"


PROFILES = tuple(profile.value for profile in WireProfile)
ACCOUNT_FIELDS = {**core.FIELDS, "wire_profile": Field(enum=PROFILES)}


def profile_of(account: AccountFacts) -> WireProfile:
    """Returns the profile of an account; the default is `kazoo`."""
    name = account.wire_profile
    return WireProfile(name) if name in PROFILES else WireProfile.KAZOO
