from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from service.audio.signer import Signer

SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class _Library(S3SigV4Auth):
    def payload(self, _request: AWSRequest) -> str:
        return SHA256


def _as_the_library_signs(
    credentials: ReadOnlyCredentials, method: str, url: str, headers: Mapping[str, str]
) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    _Library(credentials, "s3", "eu-central-1").add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("token", [None, "session/token=="])
@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        (
            "PUT",
            "http://127.0.0.1:8333/box/audio/202611/a/b/c.mp3",
            {
                "Content-Type": "audio/mpeg",
                "Content-Length": "3",
                "x-amz-server-side-encryption": "aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:x",
            },
        ),
        ("GET", "https://box.s3.eu-central-1.amazonaws.com/a/b.mp3", {"Range": "bytes=0-9"}),
        ("DELETE", "https://example.com/s3/box/%C3%BC%20b~c.mp3", {}),
    ],
)
def test_the_signature_equals_that_of_botocore(
    method: str, url: str, headers: Mapping[str, str], token: str | None
) -> None:
    credentials = ReadOnlyCredentials("AKID", "secret", token)
    expected = _as_the_library_signs(credentials, method, url, headers)
    moment = datetime.strptime(expected["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signed = Signer("eu-central-1").sign(credentials, method, url, headers, SHA256, moment)
    assert signed["Authorization"] == expected["Authorization"]
    assert {name.lower() for name in signed} == {*map(str.lower, expected), "host"}


def test_each_day_and_secret_has_its_own_key() -> None:
    signer = Signer("us-east-1")
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in (21, 22)]
    signatures = {
        signer.sign(
            ReadOnlyCredentials("AKID", secret, None), "GET", "http://s/b/k", {}, SHA256, day
        )["Authorization"]
        for secret in ("one", "other", "one")
        for day in days
    }
    assert len(signatures) == 4
