"""Profiles of this dialect: how the clients of an account want times, lengths and rows spelled."""

from enum import StrEnum

from service.domain import account as core
from service.domain.account import AccountFacts
from service.domain.schema import Field


class WireProfile(StrEnum):
    """The vendor whose spelling it is."""

    KAZOO = "kazoo"
    AUDIAN = "audian"


PROFILES = tuple(profile.value for profile in WireProfile)
ACCOUNT_FIELDS = {**core.FIELDS, "wire_profile": Field(enum=PROFILES)}


def profile_of(account: AccountFacts) -> WireProfile:
    """The profile that an account names; the first of them when it names none that there is."""
    named = account.wire_profile
    return WireProfile(named) if named in PROFILES else WireProfile.KAZOO
