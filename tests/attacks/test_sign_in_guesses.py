"""A client that guesses passwords is locked; a good user signs in meanwhile."""

import hashlib
from typing import Any
from uuid import uuid4

import aiohttp

from tests.attacks.harness import Attack, AttackedApi, Report, content, repeating, sizes
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

_PASSWORD = "correct-horse-battery"
_CLIENTS = 90
_TIMEOUT_S = 600


async def attack(api: AttackedApi, size: int) -> Report:
    """Sends `size` sign-ins with random passwords: half in the account of the good user.

    The others name random realms. The good user signs in from another address at the same time.
    """
    username = f"ann{uuid4().hex[:8]}"
    user = {"first_name": "Ann", "last_name": "Lee", "username": username, "password": _PASSWORD}
    data_of(await api.tenant.http.put(api.tenant.path("users"), json={"data": user}), 201)

    def credentials(password: str, realm: str) -> bytes:
        digest = hashlib.md5(f"{username}:{password}".encode(), usedforsecurity=False)
        return content({"credentials": digest.hexdigest(), "realm": realm})

    good = credentials(_PASSWORD, api.tenant.realm)
    sign_in = api.request("sign in", "PUT", "user_auth", status=201, body=good)
    del sign_in.headers["X-Auth-Token"]
    headers = {"Content-Type": "application/json"}
    async with api.watched(sign_in) as watch, api.session() as session:

        async def guess(client: int) -> None:
            realm = api.tenant.realm if client % 2 else f"{uuid4().hex}.example"
            body = credentials(uuid4().hex, realm)
            try:
                async with session.put("user_auth", data=body, headers=headers) as response:
                    watch.outcomes[str(response.status)] += 1
            except aiohttp.ClientError:
                watch.outcomes["broken"] += 1

        async with repeating(guess, _CLIENTS):
            await watch.hold()
            await wait_until(lambda: watch.outcomes.total() >= size, _TIMEOUT_S)
        locks = await _locks(api.tenant)
        watch.outcomes["locks in the audit of the account"] = len(locks)
    return watch.report


async def _locks(account: AccountClient) -> list[dict[str, Any]]:
    """The locks that the audit of an account contains; it is written at most 1 s late."""
    locks: list[dict[str, Any]] = []

    async def are_written() -> bool:
        query = {"action": "sign_in.locked"}
        locks[:] = data_of(await account.http.get(account.path("audit"), params=query))
        return bool(locks)

    await wait_until(are_written)
    return locks


ATTACK = Attack(
    name="sign-in guesses",
    sent="{size} sign-ins with random passwords, 90 at a time",
    quick=200,
    long=5_000,
    run=attack,
    # The limit that the tests switch off for their own sign-ins.
    settings={"AFTERTONE_SIGN_IN_MAX_FAILURES_PER_PEER": "100"},
)


@sizes(ATTACK)
async def test_guesses_are_locked_and_a_good_user_signs_in(
    service: RunningService, size: int
) -> None:
    report = await ATTACK.measure(service, size)
    report.check()
    assert report.outcomes["429"] > 0
    assert report.outcomes.keys() <= {"401", "429", "503", "locks in the audit of the account"}
