"""Forwarding of messages: comments, the action on the original, and the steps of a message."""

from enum import StrEnum
from uuid import UUID

import msgspec

from service.domain.errors import Invalid, Rule
from service.domain.message import ForwardStep
from service.domain.schema import Document

MAX_STEPS = 20
"""Maximum number of steps that a forwarded message keeps. The oldest ones are dropped."""


class AfterForward(StrEnum):
    """Action on the original after it was forwarded."""

    KEEP = "keep"
    SAVE = "save"
    DELETE = "delete"


class ForwardTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Mailbox that gets a forwarded message, and the format that it records."""

    vmbox_id: UUID
    media_extension: str


def action_of(settings: Document) -> AfterForward:
    """Returns the action of a mailbox. With `prompt` it is KEEP: the client asks its user."""
    is_prompt = settings.get("after_forward_action") == "prompt"
    return AfterForward.KEEP if is_prompt else AfterForward.SAVE


def check_comment_allowed(settings: Document) -> None:
    """Raises Invalid if the mailbox forwards messages without a comment only."""
    if settings.get("vm_message_forward_type") != "prepend_forward":
        raise Invalid.of(
            "prepend",
            Rule.NOT_ALLOWED,
            message="The mailbox forwards without a comment; set its vm_message_forward_type to "
            "prepend_forward, or omit the comment",
        )


def add_step(steps: tuple[ForwardStep, ...], step: ForwardStep) -> tuple[ForwardStep, ...]:
    """Returns the steps of a message that is forwarded once more."""
    return (*steps, step)[-MAX_STEPS:]
