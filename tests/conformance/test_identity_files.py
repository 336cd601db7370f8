"""/v1/filesystem/{uid}/{gid}: opensandbox-1.1.md 5."""

import pytest

from harness import sdk
from harness.wire import query

NOBODY = "/v1/filesystem/65534/65534"


@pytest.fixture
def shared(daemon):
    folder = daemon.work / "shared"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    return folder


def test_files_are_made_and_read_as_that_user(daemon, shared):
    body = {f"{shared}/made": {"mode": 750, "owner": None, "group": None}}
    assert daemon.call("POST", f"{NOBODY}/directories", json=body).status == 200
    assert ((shared / "made").stat().st_uid, (shared / "made").stat().st_gid) == (65534, 65534)
    (shared / "secret").write_text("root only")
    (shared / "secret").chmod(0o600)
    answer = daemon.call("GET", query(f"{NOBODY}/files/download", path=f"{shared}/secret"))
    assert answer.status >= 400
    assert "permission" in answer.json()["message"]
    assert daemon.call("GET", query("/files/download", path=f"{shared}/secret")).status == 200


@pytest.mark.parametrize("prefix", ["/v1/filesystem/-1/0", "/v1/filesystem/x/0", "/v1/filesystem/0/4294967295",
                                    "/v1/filesystem/1.5/0"])
def test_bad_identities_are_400(daemon, prefix):
    assert daemon.call("GET", f"{prefix}/files/info").status == 400


@sdk.asynchronous
async def test_the_sdk_with_identity(daemon, shared):
    async with sdk.connect(daemon) as services:
        files = services.files.with_identity(65534, 65534)
        await files.write_file(f"{shared}/sdk", "text")
        assert await files.read_file(f"{shared}/sdk") == "text"
    assert (shared / "sdk").stat().st_uid == 65534
