"""The scan of the logs finds secrets, and does not print them."""

from pathlib import Path

import msgspec
import pytest

from tests.support.confidential import Confidential
from tests.support.log_scan import LogScan

SENT = {
    "data": {
        "pin": "918273",
        "password": "pässwörd ☎",
        "caller_id_name": "Jane Smith",
        "notify": {"callback": {"number": "5551"}},
        "transcription": {"text": "Please call me back about the boat."},
    }
}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("a token", "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
        ("an API key", "0123456789abcdef" * 4),
        ("a webhook's secret", "whsec_bm90aGluZw=="),
        ("an address", "jane.smith+box@example.com"),
        ("a password in a URL", "smtp://us:hush@127.0.0.1:25"),
        ("a phone number", "+491701234567"),
        ("a phone number", "004917012345"),
        ("a PIN", "918273"),
        ("a password", "pässwörd ☎"),
        ("a caller's name", "Jane Smith"),
        ("a phone number", "5551"),
        ("a transcript", "Please call me back about the boat."),
    ],
)
@pytest.mark.parametrize("form", ["field", "inside", "bare"])
def test_planted_secrets_in_a_log_are_found_and_not_repeated(
    tmp_path: Path, kind: str, value: str, form: str
) -> None:
    lines = {
        "field": msgspec.json.encode({"event": "Planted.", "reason": value}).decode(),
        "inside": msgspec.json.encode({"event": "Planted.", "of": [f"({value}) here"]}).decode(),
        "bare": f"2026-11-22 ERROR planted {value}, and more",
    }
    log = tmp_path / "deeper" / "planted.log"
    log.parent.mkdir()
    log.write_text(f"harmless\n{lines[form]}\n")
    scan = _a_scan()
    scan.read_folder(tmp_path)
    log.unlink()  # before the run's own scan comes by
    [finding] = scan.findings
    assert finding.endswith(f"deeper/planted.log, line 2: {kind}")
    assert value not in finding


def test_ids_times_and_sizes_are_not_findings() -> None:
    scan = _a_scan()
    fields = {
        "event": "request completed",
        "timestamp": "2026-11-22T00:42:21.060704Z",
        "request_id": "0123456789abcdef0123456789012345",
        "event_id": "01234567-5551-7000-8000-123456789012",
        "route": "/v2/accounts/{account_id}",
        "reason": "Connect call failed ('127.0.0.1', 5551)",
        "response_bytes": 123456789,
        "duration_ms": 5551,
    }
    scan.read("harmless", [msgspec.json.encode(fields).decode()])
    assert (scan.lines, scan.findings) == (1, [])


def _a_scan() -> LogScan:
    confidential = Confidential()
    confidential.learn_json(msgspec.json.encode(SENT))
    return LogScan(confidential)
