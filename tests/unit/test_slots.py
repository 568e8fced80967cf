"""Slots that owners share."""

import pytest

from service.domain.errors import TooManyUploads
from service.usecases.slots import SharedSlots


def test_one_owner_gets_only_its_share_and_leaves_slots_for_others() -> None:
    slots = SharedSlots(4, 2, TooManyUploads)
    slots.acquire("greedy")
    slots.acquire("greedy")

    with pytest.raises(TooManyUploads):
        slots.acquire("greedy")
    slots.acquire("other")

    assert slots.used == 3


def test_all_owners_together_get_no_more_than_the_size() -> None:
    slots = SharedSlots(2, 2, TooManyUploads)
    slots.acquire("first")
    slots.acquire("second")

    with pytest.raises(TooManyUploads):
        slots.acquire("third")


def test_a_share_of_one_owner_replaces_the_share_of_all() -> None:
    slots = SharedSlots(8, 1, TooManyUploads)
    slots.acquire("owner", share=2)
    slots.acquire("owner", share=2)

    with pytest.raises(TooManyUploads):
        slots.acquire("owner", share=2)


def test_a_slot_is_free_again_after_its_block_also_when_the_block_fails() -> None:
    slots = SharedSlots(1, 1, TooManyUploads)

    with pytest.raises(RuntimeError), slots.hold("owner"):
        raise RuntimeError

    with slots.hold("owner"):
        assert slots.used == 1
    assert slots.used == 0
