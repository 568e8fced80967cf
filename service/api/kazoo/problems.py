"""Refusals of fields: each broken rule with its text, limit and value."""

from datetime import datetime
from typing import Any

from service.api.kazoo.envelope import Refusal
from service.api.kazoo.times import gregorian
from service.domain.errors import Invalid, Problem, Rule

# Texts of the API contract stay as KAZOO writes them: clients compare them. The reference says what
# to do about each code.
_RULE_MESSAGES: dict[Rule, str] = {
    Rule.REQUIRED: "Field is required but missing",
    Rule.TYPE: "Value did not match type(s): {target}",
    Rule.MIN_LENGTH: "String must be at least {target} characters",
    Rule.MAX_LENGTH: "String must not be more than {target} characters",
    Rule.MINIMUM: "Value must be at least {target}",
    Rule.MAXIMUM: "Value must be at most {target}",
    Rule.MAX_ITEMS: "The list must not have more than {target} items",
    Rule.ENUM: "Value not found in enumerated list of values",
    Rule.WRONG_FORMAT: "Field is not in the correct format",
    Rule.UNIQUE: "{field} already exists; send another value",
    Rule.DATE_RANGE: "The time is out of range; send an earlier or a later time",
    Rule.NOT_FOUND: "No resource has this id; send the id of an existing one",
    Rule.NOT_ALLOWED: "The field cannot be used here; remove it",
    Rule.FORBIDDEN_TARGET: "The address is not globally routable; send a public address",
}
_FIELD_MESSAGES = {
    ("mailbox", Rule.UNIQUE): "Invalid mailbox number or already exists",
    ("messages", Rule.REQUIRED): "No array of message ids are specified",
    ("source_id", Rule.REQUIRED): "empty source_id is specified. "
    "please set a single or a list of source_ids.",
}
# Key of the number of problems in a response that does not contain all of them. No field of a
# document has this name, because keys that begin with `_` are dropped.
ALL_PROBLEMS = "_problems"
_RULES_WITH_CAUSE = frozenset({Rule.MIN_LENGTH, Rule.MAX_LENGTH, Rule.DATE_RANGE})


def validation(details: dict[str, dict[str, Any]], status: int = 400) -> Refusal:
    """Returns a refusal that maps dotted fields to the rules that they break."""
    return Refusal(status=status, code="validation error", data=details)


def refuse_invalid(error: Invalid) -> Refusal:
    details: dict[str, dict[str, Any]] = {}
    for problem in error.problems:
        details.setdefault(problem.field, {})[problem.rule] = _rule_details(problem)
    reported_count = len(error.problems)
    if error.count > reported_count:
        text = f"The request has {error.count} problems; these are the first {reported_count}"
        details[ALL_PROBLEMS] = {
            "maxItems": {"message": text, "target": reported_count, "value": error.count}
        }
    return validation(details)


def _rule_details(problem: Problem) -> dict[str, Any]:
    value = problem.value
    if isinstance(value, datetime):
        value = gregorian(value)
    text = problem.message or _FIELD_MESSAGES.get((problem.field, problem.rule))
    details: dict[str, Any] = {
        "message": text or _rule_message(problem),
    }
    if problem.target is not None:
        # KAZOO's refusals have a separate key for a format.
        details["format" if problem.rule is Rule.WRONG_FORMAT else "target"] = problem.target
    if problem.rule in _RULES_WITH_CAUSE:
        details["cause"] = value
    if problem.rule is Rule.REQUIRED:
        details["value"] = {}
    elif problem.rule not in (Rule.UNIQUE, Rule.DATE_RANGE):
        details["value"] = value
    return details


def _rule_message(problem: Problem) -> str:
    target = problem.target
    if isinstance(target, list | tuple):
        target = ", ".join(map(str, target))
    return _RULE_MESSAGES[problem.rule].format(target=target, field=problem.field)
