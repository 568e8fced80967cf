"""Exact rules for names and texts of the service."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import service
from service.domain import audio_errors, errors

_ROOT = Path(service.__file__).parent
_NOT_A_SUBJECT = re.compile(r"(What|Who|Whoever|Whether|How|Where|When|Those|Lets)\b")
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _nodes() -> list[tuple[str, ast.AST]]:
    """Returns all modules, classes, functions and calls of the service with their places."""
    return [
        (f"{name}:{getattr(node, 'lineno', 1)}", node)
        for path in sorted(_ROOT.rglob("*.py"))
        for name in [path.relative_to(_ROOT)]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (*_DOCUMENTED, ast.Call))
    ]


def _log_events() -> Iterator[tuple[str, str]]:
    for place, node in _nodes():
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                args=[ast.Constant(value=str(event)), *_],
            ) if level in _LEVELS:
                yield place, event


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for place, node in _nodes():
        if isinstance(node, ast.ClassDef):
            places[node.name].append(place)
    assert {name: result for name, result in places.items() if len(result) > 1} == {}


def test_a_docstring_starts_with_a_noun_or_a_verb() -> None:
    wrong = [
        f"{place}: {text.splitlines()[0]}"
        for place, node in _nodes()
        if isinstance(node, _DOCUMENTED)
        and (text := ast.get_docstring(node))
        and _NOT_A_SUBJECT.match(text)
    ]
    assert wrong == []


def test_the_text_of_an_error_is_one_line_with_a_full_stop() -> None:
    texts = {
        name: (kind.__doc__ or "").strip()
        for name, kind in {**vars(errors), **vars(audio_errors)}.items()
        if isinstance(kind, type) and issubclass(kind, errors.VoicemailError) and name[0] != "_"
    }
    assert texts
    assert [name for name, text in texts.items() if "\n" in text or not text.endswith(".")] == []


def test_a_log_event_is_lower_case_and_has_no_full_stop() -> None:
    events = list(_log_events())
    assert events
    assert [(place, text) for place, text in events if text[0].isupper() or text[-1] == "."] == []
