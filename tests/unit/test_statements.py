"""Named statements: their parameters, and the functions that bind them."""

import ast
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from service.postgres.sql import Statement, load
from service.postgres.timing import name_of

_FOLDER = Path(str(files("service.postgres")))
_NOUNS = sorted(file.stem for file in (_FOLDER / "sql").glob("*.sql") if file.stem != "fragments")


def test_parameters_are_numbered_in_order_of_appearance() -> None:
    statement = Statement("SELECT :b, :a::text, :b WHERE x = ANY(:ids::uuid[])")
    assert statement.text == "SELECT $1, $2::text, $1 WHERE x = ANY($3::uuid[])"
    assert statement.bind(a=1, b=2, ids=3) == (statement.text, 2, 1, 3)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT now()::date",
        "SELECT ':a', 'it''s :a', '{fragment}'",
        'SELECT ":a" FROM x',
        "SELECT 1 -- :a\n",
        "SELECT 1 /* :a\n:b */",
        "SELECT f(x := 1)",
        "SELECT '{}'::jsonb, '^[0-9a-f]{32}$'",
    ],
)
def test_casts_literals_and_comments_have_no_parameters(text: str) -> None:
    statement = Statement(text)
    assert (statement.text, statement.parameters) == (text, ())


def test_a_missing_or_unknown_parameter_is_an_error() -> None:
    statement = Statement("SELECT :a, :b")
    with pytest.raises(TypeError, match="missing parameter: 'b'"):
        statement.bind(a=1)
    with pytest.raises(TypeError, match=r"unknown parameters: \{'c'\}"):
        statement.bind(a=1, b=2, c=3)


def test_a_fragment_is_expanded_and_its_parameters_are_bound() -> None:
    statement = load("messages")["change_folder"]
    assert "{" not in statement.text.replace("'{}'", "")
    assert statement.text.count("INSERT INTO outbox") == 1
    assert "traceparent" in statement.parameters


def test_a_statement_of_months_names_their_partitions_and_keeps_its_own_name() -> None:
    statement = load("message_lists")["list_messages"]
    assert "FROM messages AS m" in statement.text
    named = statement.of_months((202602, 202601))
    assert "(TABLE messages_202602 UNION ALL TABLE messages_202601) AS m" in named.text
    assert statement.of_months((202602, 202601)) is named
    assert named.parameters == statement.parameters
    assert name_of(named.text) == "list_messages"


@pytest.mark.parametrize("month", ["202602", "202602; SELECT 1", None, 2026.02])
def test_a_partition_is_named_by_an_integer_only(month: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        load("messages")["get_message"].of_months((month,))


def test_events_are_appended_in_one_place() -> None:
    inserts = {
        file.stem: file.read_text().count("INSERT INTO outbox")
        for file in (_FOLDER / "sql").glob("*.sql")
    }
    # The events account.deleted and account.moved have no box.
    assert {noun: number for noun, number in inserts.items() if number} == {
        "account_moves": 1,
        "accounts": 1,
        "fragments": 1,
    }


def bindings(noun: str) -> Iterator[tuple[str, ast.Call]]:
    """Yields each statement name with the call that binds it.

    A call without a literal name belongs to all names that its function mentions.
    """
    names = load(noun).keys()
    tree = ast.parse((_FOLDER / f"{noun}.py").read_text())
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in filter(_is_bind, ast.walk(function)):
            assert isinstance(call, ast.Call)
            called = {name for part in (call.func, *call.args) for name in _constants(part)}
            mentioned = called & names or _constants(function) & names
            for name in mentioned:
                yield name, call


def _is_bind(node: ast.AST) -> bool:
    """Returns True for a method call of a statement, and for a call that passes a statement."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return _is_statement(node.func.value)
    return any(map(_is_statement, node.args))


def _is_statement(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        node = node.value
    return isinstance(node, ast.Name) and node.id in {"_SQL", "statement"}


def _constants(node: ast.AST) -> set[str]:
    return {
        inner.value
        for inner in ast.walk(node)
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
    }


@pytest.mark.parametrize("noun", _NOUNS)
def test_every_function_passes_the_parameters_of_its_statement(noun: str) -> None:
    statements = load(noun)
    bound = set()
    for name, call in bindings(noun):
        bound.add(name)
        parameters = set(statements[name].parameters)
        passed = {keyword.arg for keyword in call.keywords if keyword.arg}
        passed -= {"timeout_s"} - parameters  # the option of `execute`
        assert passed <= parameters, name
        if not any(keyword.arg is None for keyword in call.keywords):
            assert passed == parameters, name
    descending = {name for name in statements if name.removesuffix("_descending") in bound}
    assert bound | descending == statements.keys()
    for name in descending:
        ascending = statements[name.removesuffix("_descending")]
        assert set(statements[name].parameters) == set(ascending.parameters), name
