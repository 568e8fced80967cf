"""The operator's command line over a running deployment: accounts, users, keys, tokens."""

import asyncio
import sys
from uuid import uuid4

from tests.support.log_scan import scanned_stderr
from tests.support.running import RunningService, data_of


async def aftertone(
    service: RunningService, *arguments: str, stdin: str = "", status: int = 0
) -> str:
    """Runs the command; returns stdout, or stderr for another exit code."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        env=service.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaint = await process.communicate(stdin.encode())
    said = scanned_stderr(arguments[0], complaint)
    assert process.returncode == status, said
    return said if status else printed.decode()


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
