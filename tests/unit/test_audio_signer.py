from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
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


@pytest.mark.parametrize("token", [None, "session/token=="])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "url",
    ["https://box.s3.example.com/a/b.mp3", "http://127.0.0.1:8333/s3/box/%C3%BC%20b~c.mp3"],
)
def test_the_signature_in_a_url_equals_that_of_botocore(
    url: str, method: str, token: str | None
) -> None:
    credentials = ReadOnlyCredentials("AKID/1", "secret", token)
    query = {
        "response-content-type": "audio/mpeg",
        "response-content-disposition": "attachment; filename=\"a ~b+c.mp3\"; filename*=UTF-8''%C3",
    }
    request = AWSRequest(method=method, url=url, params=query)
    S3SigV4QueryAuth(credentials, "s3", "eu-central-1", expires=60).add_auth(request)
    expected = dict(parse_qsl(urlsplit(str(request.url)).query))
    moment = datetime.strptime(expected["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signed = Signer("eu-central-1").presign(credentials, method, url, query, 60, moment)
    assert signed.partition("?")[0] == url
    assert dict(parse_qsl(urlsplit(signed).query)) == expected


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
