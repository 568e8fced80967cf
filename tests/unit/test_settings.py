import msgspec
import pytest

from service.settings import FOR_CLIENTS, Settings, SettingsError, read_settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert (
        read_settings({"PATH": "/bin", "AWS_REGION": "x", "NOT_AFTERTONE_PORT": "1"}) == Settings()
    )


def test_a_field_comes_from_the_variable_of_its_name() -> None:
    settings = read_settings(
        {
            "AFTERTONE_PORT": "0",
            "AFTERTONE_DATABASE_TIMEOUT_S": "2.5",
            "AFTERTONE_TOKENS_IN_QUERY": "false",
            "AFTERTONE_OLDEST_MONTH": "201001",
            "AFTERTONE_S3_ADDRESSING_STYLE": "virtual",
        }
    )
    assert settings == Settings(
        port=0,
        database_timeout_s=2.5,
        tokens_in_query=False,
        oldest_month=201001,
        s3_addressing_style="virtual",
    )


def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="Unknown settings: AFTERTONE_PROT, AFTERTONE_X"):
        read_settings({"AFTERTONE_X": "1", "AFTERTONE_PROT": "8000", "AFTERTONE_PORT": "1"})


def test_the_client_variables_of_dev_are_not_settings() -> None:
    assert read_settings(dict.fromkeys(FOR_CLIENTS, "x")) == Settings()
    fields = {f"AFTERTONE_{name.upper()}" for name in Settings.__struct_fields__}
    assert not FOR_CLIENTS & fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("PORT", ""),
        ("PORT", "80.5"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "9" * 30),
        ("DATABASE_TIMEOUT_S", "0"),
        ("DATABASE_TIMEOUT_S", "nan"),
        ("DATABASE_TIMEOUT_S", "inf"),
        ("S3_SSE", "aes256"),
        ("S3_ADDRESSING_STYLE", "dns"),
        ("STREAM_REPLICAS", "6"),
        ("TOKENS_IN_QUERY", "perhaps"),
        ("RETENTION_DAYS", "0"),
        ("RETENTION_DAYS", "1000000000"),
        ("OLDEST_MONTH", "196912"),
        ("OLDEST_MONTH", "202613"),
        ("OLDEST_MONTH", "202600"),
        ("LOG_LEVEL", "loud"),
        ("CALLBACK_NUMBER_PATTERN", "[0-9"),
        ("WEBHOOK_ALLOW_PRIVATE", "yes"),
        ("WEBHOOK_ALLOW_PRIVATE", "10.0.0.1/8"),
        ("WEBHOOK_ALLOW_PRIVATE", "10.0.0.0/8;fd00::/8"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^AFTERTONE_{name} is not valid: expected .+\\.$"):
        read_settings({f"AFTERTONE_{name}": value})


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("PORT", "http", "integer, 0 to 65535"),
        ("LOG_LEVEL", "INFO", "`debug`, `error`, `info` or `warning`"),
        ("NOTIFIER_RETRIES_S", "2m,5m", "numbers separated by commas"),
        ("TRACES_ENDPOINT", "collector:4318", "`http://` or `https://` URL"),
        ("OLDEST_MONTH", "2026-01", "integer, 197001 to 999912"),
    ],
)
def test_an_error_lists_the_accepted_values(name: str, value: str, accepted: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({f"AFTERTONE_{name}": value})
    assert str(refused.value) == f"AFTERTONE_{name} is not valid: expected {accepted}."


def test_a_bad_value_is_not_repeated() -> None:
    schema = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    for name, field in schema.items():
        if field.get("type") == "string" and "pattern" not in field:
            continue
        with pytest.raises(SettingsError) as refused:
            read_settings({f"AFTERTONE_{name.upper()}": "hunter2"})
        assert "hunter2" not in str(refused.value)
