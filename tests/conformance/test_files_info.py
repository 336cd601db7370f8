"""GET /files/info: opensandbox.md 1.8, 11."""

import os
import re
from datetime import datetime, timezone

import pytest

from harness.wire import query


def info(daemon, *paths):
    answer = daemon.call("GET", query("/files/info", path=[str(p) for p in paths]))
    assert answer.status == 200, answer
    return answer.json()


def test_golden_bytes(daemon, work):
    path = work / "a.txt"
    path.write_text("hello")
    path.chmod(0o644)
    answer = daemon.call("GET", query("/files/info", path=str(path)))
    assert answer.status == 200
    time = r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"'
    assert re.fullmatch(
        rf'\{{"{path}":\{{"path":"{path}","type":"file","size":5,"modified_at":{time},"created_at":{time},'
        r'"owner":"root","group":"root","mode":644\}\}', answer.text), answer.text


def test_times_are_the_files_own(daemon, work):
    path = work / "t"
    path.write_text("")
    os.utime(path, ns=(0, 1_600_000_000_123_456_789))
    row = info(daemon, path)[str(path)]
    seen = datetime.fromisoformat(row["modified_at"].replace("Z", "+00:00"))
    assert abs(seen - datetime.fromtimestamp(1_600_000_000.123456, timezone.utc)).total_seconds() < 1e-5
    assert row["created_at"] != row["modified_at"]


def test_several_paths_keyed_as_asked(daemon, work):
    (work / "f").write_text("abc")
    (work / "d").mkdir(mode=0o750)
    (work / "l").symlink_to("f")
    os.mkfifo(work / "p", 0o600)
    found = info(daemon, work / "f", f"{work}/d/../d", work / "l", work / "p")
    assert {k: v["type"] for k, v in found.items()} == {
        f"{work}/f": "file", f"{work}/d/../d": "directory", f"{work}/l": "symlink", f"{work}/p": "other"}
    assert found[f"{work}/d/../d"]["path"] == f"{work}/d"
    assert found[f"{work}/d/../d"]["mode"] == 750
    assert found[f"{work}/f"]["size"] == 3


def test_a_dangling_link_is_reported_not_followed(daemon, work):
    (work / "dangling").symlink_to("/no/such/target")
    assert info(daemon, work / "dangling")[f"{work}/dangling"]["type"] == "symlink"


def test_mode_is_decimal_digits_of_the_octal_permission(daemon, work):
    path = work / "m"
    path.write_text("")
    for bits, digits in ((0o000, 0), (0o007, 7), (0o070, 70), (0o755, 755), (0o777, 777), (0o4755, 755)):
        path.chmod(bits)
        assert info(daemon, path)[str(path)]["mode"] == digits


def test_owner_and_group_are_names_or_decimal_ids(daemon, work):
    path = work / "o"
    path.write_text("")
    os.chown(path, 65534, 65534)
    assert {info(daemon, path)[str(path)][k] for k in ("owner",)} == {"nobody"}
    os.chown(path, 54321, 54322)
    row = info(daemon, path)[str(path)]
    assert (row["owner"], row["group"]) == ("54321", "54322")


def test_no_path_is_an_empty_object(daemon):
    answer = daemon.call("GET", "/files/info")
    assert (answer.status, answer.body) == (200, b"{}")


def test_home_and_variables_are_expanded_and_relative_paths_resolve(daemon):
    (daemon.home / "h").write_text("")
    (daemon.work / "w").write_text("")
    found = info(daemon, "~/h", "$HOME/h", "${HOME}/h", "w")
    assert {k: v["path"] for k, v in found.items()} == {
        "~/h": f"{daemon.home}/h", "$HOME/h": f"{daemon.home}/h", "${HOME}/h": f"{daemon.home}/h",
        "w": f"{daemon.work}/w"}


def test_an_undefined_variable_is_an_error(daemon):
    answer = daemon.call("GET", query("/files/info", path="/tmp/$NOT_SET_A/x"))
    assert answer.status == 500
    assert "path references undefined environment variables: NOT_SET_A" in answer.json()["message"]


def test_a_missing_file_is_404_with_the_reason(daemon, work):
    (work / "there").write_text("")
    answer = daemon.call("GET", query("/files/info", path=[f"{work}/there", f"{work}/gone"]))
    assert answer.status == 404
    assert answer.json() == {
        "code": "FILE_NOT_FOUND",
        "message": f"file not found. file not found: {work}/gone: lstat {work}/gone: no such file or directory"}


def test_a_path_through_a_file_is_500(daemon, work):
    (work / "file").write_text("")
    answer = daemon.call("GET", query("/files/info", path=f"{work}/file/below"))
    assert answer.status == 500
    assert answer.json()["message"].startswith("error accessing file: ")


@pytest.mark.parametrize("name", ["with space", "ü 日本", "quote'\"", "percent%41", "plus+sign", "new\nline",
                                  "a&b=c"])
def test_any_name_makes_the_round_trip(daemon, work, name):
    (work / name).write_text("x")
    assert info(daemon, work / name)[f"{work}/{name}"]["path"] == f"{work}/{name}"


def test_plus_in_a_query_is_a_space(daemon, work):
    (work / "a b").write_text("")
    answer = daemon.call("GET", f"/files/info?path={work}/a+b")
    assert list(answer.json()) == [f"{work}/a b"]


def test_nul_in_a_path_is_an_error_not_a_cut(daemon, work):
    (work / "a").write_text("")
    answer = daemon.call("GET", f"/files/info?path={work}/a%00b")
    assert answer.status in (400, 404, 500)
    assert set(answer.json()) == {"code", "message"}


def test_sync_sdk_file_info(sync_sdk, work):
    (work / "s").write_text("12345")
    found = sync_sdk.files.get_file_info([str(work / "s"), str(work)])
    assert (found[f"{work}/s"].size, found[f"{work}/s"].entry_type) == (5, "file")
    assert found[str(work)].entry_type == "directory"
