"""The operator's command line over a running deployment: accounts, users, keys, tokens."""

import asyncio
from uuid import uuid4

from tests.support.forked import run_command
from tests.support.running import RunningService, data_of


async def aftertone(
    service: RunningService, *arguments: str, stdin: str = "", status: int = 0
) -> str:
    """Runs the command; returns stdout, or stderr for another exit code."""
    finished = await run_command(service.environment, *arguments, stdin=stdin)
    assert finished.code == status, finished.stderr
    return finished.stderr if status else finished.stdout


async def test_an_account_is_created_used_and_deleted(service: RunningService) -> None:
    name = f"c{uuid4().hex}"
    realm = f"{name}.example"
    made = await aftertone(service, "account", "create", "--name", name, "--realm", realm)
    (_, account_id), (_, key) = (line.split() for line in made.splitlines())
    async with service.client("") as client:
        signed_in = await client.put("api_auth", json={"data": {"api_key": key}})
        assert data_of(signed_in, 201)["account_id"] == account_id
    user, complaint, revoked = await asyncio.gather(
        aftertone(
            service,
            "user",
            "create",
            name,
            "ann",
            "--admin",
            stdin="a long secret\na long secret\n",
        ),
        aftertone(service, "user", "create", realm, "a:b", "--password", "x", status=1),
        aftertone(service, "token", "revoke", "-", stdin=signed_in.json()["auth_token"]),
    )
    assert user.split()[-2] == "user_id"
    assert "username: wrong_format" in complaint
    assert revoked.strip() == "revoked"
    assert account_id in await aftertone(service, "account", "delete", name, "--yes")
