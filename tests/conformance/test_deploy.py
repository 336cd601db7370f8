"""deploy/ and the Dockerfile: what they say is what their schemas allow, and what execd does (issue I 2, 5)."""

import re
import tomllib

import kubernetes_validate
import pytest
import yaml
from compose_spec import ComposeSpecification

from harness.daemon import REPO, Daemon, run_once

DEPLOY = REPO / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_kubernetes(path):
    for each in documents(path):
        kubernetes_validate.validate(each, "1.37", strict=True)


def test_the_schema_refuses_what_is_wrong():
    wrong = documents(MANIFESTS[0])[0]
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_the_compose_file():
    text = (DEPLOY / "compose.yaml").read_text()
    ComposeSpecification.model_validate(yaml.safe_load(text))
    wrong = yaml.safe_load(text)
    wrong["services"]["sandbox"]["ports"] = {"a": 1}
    with pytest.raises(ValueError):
        ComposeSpecification.model_validate(wrong)


def container():
    return documents(DEPLOY / "kubernetes/sandbox.yaml")[0]["spec"]["template"]["spec"]["containers"][0]


def test_the_probes_answer(fresh_daemon):
    """Without the token that the manifest sets, as the kubelet asks."""
    one = fresh_daemon(env={"EXECD_ACCESS_TOKEN": "t"}, python=False)
    for probe in ("startupProbe", "livenessProbe"):
        assert one.call("GET", container()[probe]["httpGet"]["path"]).status == 200
    ready = container()["readinessProbe"]["httpGet"]["path"]
    assert ready == "/execd/v1/ready" and one.call("GET", ready).status in (200, 503)
    assert one.call("GET", "/files/info").status == 401


def stages():
    """Stage name -> its instructions, from the Dockerfile."""
    text = (REPO / "Dockerfile").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.startswith("FROM "):
            name = line.split()[-1]
        if line and not line.startswith("#") and " " in line:
            found.setdefault(name, []).append(line)
    return found


def test_every_variable_that_is_set_is_one_of_execds():
    known = set(re.findall(r"\bEXECD_[A-Z_]+\b", run_once("--help").stdout))
    named = {each["name"] for each in container()["env"]}
    named |= set(yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["sandbox"]["environment"])
    for stage in ("code-interpreter", "browser", "all-in-one"):
        named |= set(re.findall(r"\b(EXECD_[A-Z_]+)=", " ".join(line for line in stages()[stage] if line.startswith("ENV "))))
    assert named <= known, named - known


def test_the_stages_of_the_dockerfile():
    """What opensandbox-server 1.1.1 takes from the image is where it looks (opensandbox-1.1.md §9.1, 9.2)."""
    execd, interpreter = stages()["execd"], stages()["code-interpreter"]
    assert 'ENTRYPOINT ["./execd"]' in execd and "WORKDIR /" in execd and "COPY deploy/bootstrap.sh /bootstrap.sh" in execd
    assert "COPY --from=build /execd /execd" in execd
    assert any(line.startswith("HEALTHCHECK ") and "/health" in line for line in interpreter)
    assert "USER $SANDBOX_USER" in interpreter and any("SANDBOX_USER=sandbox" in line for line in interpreter)
    for name in ("browser", "all-in-one"):
        text = "\n".join(stages()[name])
        for package in ("chromium", "xvfb", "openbox", "x11vnc", "ffmpeg", "xdotool", "xclip"):
            assert re.search(rf"install .*\b{package}\b", text), (name, package)
        assert "COPY --from=novnc /out /usr/share/novnc" in text and "EXECD_BROWSER=boot" in text and "/execd/v1/ready" in text
        assert "USER $SANDBOX_USER" in text and "mkdir -m 1777 /tmp/.X11-unix" in text
    for name in ("execd", "code-interpreter", "browser", "all-in-one"):
        assert any("org.opencontainers.image.title" in line for line in stages()[name])
    pinned = (DEPLOY / "code-interpreter.txt").read_text()
    for package in ("ipykernel", "pandas", "numpy", "matplotlib", "pillow", "requests", "playwright", "markdownify"):
        assert re.search(rf"^{package}==\d", pinned, re.M), package
    assert (DEPLOY / "bootstrap.sh").stat().st_mode & 0o111 == 0o111, "its mode travels to the sandboxes"


def test_the_servers_configuration():
    config = tomllib.loads((DEPLOY / "opensandbox/config.toml").read_text())
    assert config["runtime"]["type"] == "docker" and config["runtime"]["execd_image"].startswith("execd:")
    assert config["docker"]["no_new_privileges"] is True


def test_the_image_s_command_line():
    """`./execd tail -f /dev/null`, from another directory than the program's."""
    one = Daemon(args=["tail", "-f", "/dev/null"], python=False).listening()
    assert one.call("GET", "/ping").status == 200
    one.stop()
