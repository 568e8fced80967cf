"""Confidential values that no log may contain: recognized by form, or sent by a test."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx

# Recognized by form.
_FORMS = {
    "a token": re.compile(r"eyJ[\w-]{8,}\.[\w-]+"),
    "an API key": re.compile(r"(?<![0-9a-zA-Z])(?<!sha256:)[0-9a-f]{64}(?![0-9a-zA-Z])"),
    "a webhook's secret": re.compile(r"whsec_\w"),
    "an address": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{2,}"),
    "a password in a URL": re.compile(r"://[^/\s:@\"]*:[^/\s@\"*]+@"),
    "a phone number": re.compile(r"(?<![\w.:+-])(?:\+\d{6,15}|\d{9,15})(?![\w.:-])"),
}
# Recognized by the name under which a test sends it.
_NAMES = {
    "pin": "a PIN",
    "password": "a password",
    "x-auth-password": "a password",
    "credentials": "a credential",
    "api_key": "an API key",
    "caller_id_number": "a phone number",
    "caller_id_name": "a caller's name",
    "number": "a phone number",
    "text": "a transcript",
    "notify_email_addresses": "an address",
}
_NUMBER = re.compile(r"(?<![\w+])\d+(?!\w)")
# Ports are as long as PINs.
_PORT = re.compile(r"(?<=127\.0\.0\.1)(?::|', | port )\d+")
# Groups of an id are no words.
_WORD = re.compile(r"(?<![\w-])[^\W_][\w+]*(?![\w-])")
# Numbers this short are ports, sequences and times of day as well.
_LEAST_DIGITS = 4
_LEAST_LETTERS = 3
_LEAST_ELSEWHERE = 8


class Confidential:
    """Collects confidential values that tests send and finds them in text."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._phrases: dict[str, str] = {}

    def remember(self, name: str, value: Any) -> None:
        """Remembers a value sent under a name, unless it is too short or too common."""
        kind = _NAMES.get(name.lower())
        if isinstance(value, dict):
            for inner, item in value.items():
                self.remember(inner, item)
        elif isinstance(value, list):
            for item in value:
                self.remember(name, item)
        elif kind and isinstance(value, str) and _is_telling(value):
            (self._words if _WORD.fullmatch(value) else self._phrases)[value] = kind

    async def learn_request(self, request: httpx.Request) -> None:
        """Client hook: remembers the values of headers and JSON bodies."""
        self.remember("x-auth-password", request.headers.get("x-auth-password"))
        if isinstance(request.stream, httpx.ByteStream):
            self.learn_json(request.content)

    def learn_json(self, body: bytes) -> None:
        try:
            self.remember("", json.loads(body))
        except (ValueError, RecursionError):
            return

    def kinds_in(self, text: str, *, ours: bool = True) -> Iterator[str]:
        """Yields the kinds of confidential values in a text.

        Texts of other programs contain plain numbers, short words and paths that tests send, too:
        only long values count there.
        """
        text, least = _PORT.sub("", text), 0
        if not ours:
            text, least = _NUMBER.sub("", text), _LEAST_ELSEWHERE
        yield from (kind for kind, form in _FORMS.items() if form.search(text))
        words = [word for word in _WORD.findall(text) if len(word) >= least]
        yield from {self._words[word] for word in words if word in self._words}
        phrases = ((phrase, kind) for phrase, kind in self._phrases.items() if len(phrase) >= least)
        yield from (kind for phrase, kind in phrases if phrase in text)


def _is_telling(value: str) -> bool:
    """Common lower-case words also appear in texts of the service."""
    if value.isdigit():
        return len(value) >= _LEAST_DIGITS
    return len(value) >= _LEAST_LETTERS and not (value.islower() and value.isalpha())
