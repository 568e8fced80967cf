"""Users over HTTP: stored fields, refusals, and fields that are never returned."""

from typing import Any
from uuid import uuid4

from tests.contract.wire import NO_ID, problems, refusal, success
from tests.support.running import AccountClient, RunningService, data_of

PASSWORD = "a very secret word"


async def a_user(account: AccountClient, **more: Any) -> dict[str, Any]:
    document = {"username": f"u{uuid4().hex[:8]}", "password": PASSWORD, **more}
    made = await account.http.put(account.path("users"), json={"data": document})
    user: dict[str, Any] = data_of(made, 201)
    return user


async def test_a_user_is_created_with_defaults_and_returned_without_its_password(
    account: AccountClient,
) -> None:
    document = {
        "username": "Ann",
        "password": PASSWORD,
        "first_name": "Ann",
        "last_name": "Lee",
        "email": "ann@example.com",
        "timezone": "Europe/Rome",
        "ui_help": {"seen": ["a"]},
        "pvt_md5_auth": "x",
    }
    made = await account.http.put(account.path("users"), json={"data": document})
    envelope = success(made, account.token, 201, "revision", "metadata")
    user_id = envelope["data"]["id"]
    expected = {**document, "id": user_id, "priv_level": "user", "vm_to_email_enabled": True}
    del expected["password"], expected["pvt_md5_auth"]
    assert envelope["data"] == expected
    assert made.headers["location"] == f"/v2/{account.path('users', user_id)}"
    response = await account.http.get(account.path("users", user_id))
    assert data_of(response) == expected
    for answer in (made, response):
        assert PASSWORD not in answer.text


async def test_all_problems_of_a_user_are_reported_at_once(account: AccountClient) -> None:
    await a_user(account, username="Taken")
    wrong = {
        "username": "tAKEN",
        "password": "",
        "email": "nobody",
        "timezone": "Nowhere",
        "vm_to_email_enabled": "perhaps",
        "first_name": 5,
    }
    answer = await account.http.put(account.path("users"), json={"data": wrong})
    assert {field: list(rules) for field, rules in problems(answer).items()} == {
        "username": ["unique"],
        "password": ["minLength"],
        "email": ["wrong_format"],
        "timezone": ["wrong_format"],
        "vm_to_email_enabled": ["type"],
        "first_name": ["type"],
    }
    for name in ("a:b", "a\nb", None, ""):
        refused = await account.http.put(account.path("users"), json={"data": {"username": name}})
        assert list(problems(refused)) == ["username"]
    secret = await account.http.put(
        account.path("users"), json={"data": {"username": "x", "password": PASSWORD * 20}}
    )
    assert list(problems(secret)) == ["password"]
    assert PASSWORD not in secret.text
    assert [row["username"] for row in data_of(await account.http.get(account.path("users")))] == [
        "Taken"
    ]


async def test_users_are_replaced_merged_and_deleted(account: AccountClient) -> None:
    user = await a_user(account, first_name="Ann", deep={"a": 1, "b": 2})
    path = account.path("users", user["id"])
    merged = data_of(await account.http.patch(path, json={"data": {"deep": {"a": None}, "x": 1}}))
    assert merged == {**user, "deep": {"b": 2}, "x": 1}
    replaced = data_of(await account.http.post(path, json={"data": {"username": user["username"]}}))
    assert replaced == {
        "id": user["id"],
        "username": user["username"],
        "priv_level": "user",
        "vm_to_email_enabled": True,
    }
    gone = success(await account.http.delete(path), account.token, 200, "revision", "metadata")
    assert gone["data"] == {**replaced, "_read_only": {"deleted": True}}
    assert gone["metadata"]["deleted"] is True
    for method in ("GET", "POST", "PATCH", "DELETE"):
        data = refusal(await account.http.request(method, path), 404, "bad_identifier")
        assert data["cause"] == user["id"]
    await a_user(account, username=user["username"])


async def test_another_name_needs_the_password_with_it(account: AccountClient) -> None:
    user = await a_user(account)
    path = account.path("users", user["id"])
    for name in ("another", user["username"].upper()):
        refused = await account.http.patch(path, json={"data": {"username": name}})
        assert {field: list(rules) for field, rules in problems(refused).items()} == {
            "password": ["required"]
        }
    with_it = {"username": "another", "password": PASSWORD}
    assert data_of(await account.http.patch(path, json={"data": with_it}))["username"] == "another"
    without_any = await a_user(account, password=None)
    renamed = await account.http.patch(
        account.path("users", without_any["id"]), json={"data": {"username": "free"}}
    )
    assert data_of(renamed)["username"] == "free"


async def test_users_are_listed_by_name_in_pages_and_by_filters(account: AccountClient) -> None:
    for name in ("Cid", "ann", "Bob", "dora"):
        await a_user(account, username=name, email=f"{name}@example.com")
    path = account.path("users")
    first = await account.http.get(path, params={"page_size": 3})
    second = await account.http.get(path, params={"start_key": first.json()["next_start_key"]})
    rows = data_of(first) + data_of(second)
    assert [row["username"] for row in rows] == ["ann", "Bob", "Cid", "dora"]
    assert rows[0].keys() == {"id", "username", "email"}
    down = await account.http.get(path, params={"ascending": "false", "page_size": 1})
    assert [row["username"] for row in data_of(down)] == ["dora"]
    response = await account.http.get(path, params={"filter_email": "Bob@example.com"})
    assert [row["username"] for row in data_of(response)] == ["Bob"]
    assert (await account.http.get(path, params={"filter_password": PASSWORD})).json()["data"] == []


async def test_a_user_of_another_account_answers_as_one_that_does_not_exist(
    account: AccountClient, service: RunningService
) -> None:
    other = await service.an_account()
    foreign = (await a_user(other))["id"]
    for method in ("GET", "POST", "PATCH", "DELETE"):
        body: dict[str, Any] = (
            {"json": {"data": {"username": "x"}}} if method in ("POST", "PATCH") else {}
        )
        for user_id in (foreign, NO_ID, "xyz"):
            answer = await account.http.request(method, account.path("users", user_id), **body)
            data = refusal(answer, 404, "bad_identifier")
            assert data == {
                "message": "bad identifier",
                "cause": user_id,
            }
    assert data_of(await other.http.get(other.path("users", foreign)))["id"] == foreign
    await other.http.aclose()
