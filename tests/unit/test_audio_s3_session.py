import pytest

from service.audio.s3_session import BucketSettings, connect, resolve_base_url


@pytest.mark.parametrize(
    ("endpoint", "style", "base_url"),
    [
        (None, "path", "https://s3.eu-central-1.amazonaws.com/box/"),
        (None, "virtual", "https://box.s3.eu-central-1.amazonaws.com/"),
        (None, "auto", "https://box.s3.eu-central-1.amazonaws.com/"),
        ("http://127.0.0.1:8333", "path", "http://127.0.0.1:8333/box/"),
        ("https://s3.example.com", "virtual", "https://box.s3.example.com/"),
        ("https://example.com/s3", "path", "https://example.com/s3/box/"),
    ],
)
async def test_the_url_of_a_bucket_is_that_of_botocore(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, style: str, base_url: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    settings = BucketSettings(
        endpoint=endpoint,
        bucket="box",
        region="eu-central-1",
        addressing_style=style,
        pool_size=1,
        connect_timeout_s=1.0,
        timeout_s=1.0,
    )
    async with connect(settings) as (_, client):
        assert await resolve_base_url(client, "box") == (base_url, "eu-central-1")
