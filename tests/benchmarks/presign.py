"""Presigned S3 URLs, thousands at once: AWS Signature Version 4 in the query, body unsigned."""

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit


class Presigner:
    """For one bucket, path style. The key of the day is derived once: that is the costly part."""

    def __init__(
        self, *, endpoint: str, bucket: str, region: str, access_key: str, secret_key: str
    ) -> None:
        self.host = urlsplit(endpoint).netloc
        self._bucket = bucket
        now = datetime.now(UTC)
        self._moment = f"{now:%Y%m%dT%H%M%SZ}"
        steps = (f"{now:%Y%m%d}", region, "s3", "aws4_request")
        self._scope = "/".join(steps)
        self._key = f"AWS4{secret_key}".encode()
        for step in steps:
            self._key = _hmac(self._key, step)
        credential = quote(f"{access_key}/{self._scope}", safe="")
        self._query = (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}"
            f"&X-Amz-Date={self._moment}&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        )

    def target(self, method: str, key: str) -> str:
        """Returns the request target of a presigned request; the key needs no escaping."""
        path = f"/{self._bucket}/{key}"
        requested = f"{method}\n{path}\n{self._query}\nhost:{self.host}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(requested.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self._moment}\n{self._scope}\n{digest}"
        return f"{path}?{self._query}&X-Amz-Signature={_hmac(self._key, text).hex()}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
