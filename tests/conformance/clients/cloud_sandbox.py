"""The calls of the cloud_sandbox client, one method a row of docs/cloud-sandbox.md: same methods, paths, bodies and
headers, the socket limit of execute equal to its `timeout`, the same exceptions by status, times read with
datetime.fromisoformat. Written from the table of its calls."""

from datetime import datetime

import requests


class SandboxError(Exception):
    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


class AuthError(SandboxError):
    pass


class NotFoundError(SandboxError):
    pass


class RateLimitError(SandboxError):
    pass


class ServiceUnavailableError(SandboxError):
    pass


class ClientTimeout(Exception):
    pass


BY_STATUS = {401: AuthError, 404: NotFoundError, 429: RateLimitError, 502: ServiceUnavailableError}


def when(text):
    """What a Python before 3.11 parses too: no, 3 or 6 digits of a second."""
    assert text.endswith("Z"), text
    fraction = text[:-1].partition(".")[2]
    assert len(fraction) in (0, 3, 6), text
    return datetime.fromisoformat(text[:-1] + "+00:00")


class Client:
    def __init__(self, base_url, token=None, timeout=300):
        self.base_url, self.token, self.timeout = base_url, token, timeout
        self.http = requests.Session()

    def request(self, method, path, data=None, params=None, timeout=None):
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            answer = self.http.request(method=method, url=self.base_url + path, json=data, params=params,
                                       headers=headers, timeout=timeout or self.timeout)
        except requests.exceptions.Timeout:
            raise ClientTimeout(f"no answer within {timeout or self.timeout} s") from None
        body = answer.json()
        if answer.status_code >= 400:
            assert isinstance(body["error"], str) and body["error"]
            raise BY_STATUS.get(answer.status_code, SandboxError)(body["error"], answer.status_code)
        return body

    def session_of(self, body):
        for name in ("created_at", "updated_at", "last_active_at", "expires_at"):
            body[name] = when(body[name])
        return body

    def get_token(self, user_id, role="user"):
        return self.request("POST", "/api/v1/auth/token", data={"user_id": user_id, "role": role})

    # sessions

    def create_session(self, image=None, cpu_count=None, memory_mb=None, ttl_hours=None):
        data = {name: value for name, value in (("image", image), ("cpu_count", cpu_count), ("memory_mb", memory_mb))
                if value}
        if ttl_hours:
            data["ttl"] = ttl_hours * 3600 * 1000000000
        return self.session_of(self.request("POST", "/api/v1/sessions", data=data))

    def get_session(self, session_id):
        return self.session_of(self.request("GET", f"/api/v1/sessions/{session_id}"))

    def list_sessions(self):
        return [self.session_of(one) for one in self.request("GET", "/api/v1/sessions")["sessions"]]

    def delete_session(self, session_id):
        return self.request("DELETE", f"/api/v1/sessions/{session_id}")["success"]

    def pause_session(self, session_id):
        return self.session_of(self.request("POST", f"/api/v1/sessions/{session_id}/pause"))

    def resume_session(self, session_id):
        return self.session_of(self.request("POST", f"/api/v1/sessions/{session_id}/resume"))

    # sandboxes

    def acquire_sandbox(self):
        return self.request("POST", "/api/v1/sandbox/acquire")

    def release_sandbox(self, sandbox_id):
        return self.request("POST", "/api/v1/sandbox/release", data={"sandbox_id": sandbox_id})["success"]

    def get_sandbox_stats(self):
        return self.request("GET", "/api/v1/sandbox/stats")

    def execute(self, sandbox_id, code=None, language="python", command=None, work_dir=None, env=None, timeout=None):
        data = {"sandbox_id": sandbox_id}
        if code:
            data.update(code=code, language=language)
        more = (("command", command), ("work_dir", work_dir), ("env", env), ("timeout", timeout))
        data.update({name: value for name, value in more if value})
        return self.request("POST", "/api/v1/execute", data=data, timeout=timeout or 300)

    # files

    def list_files(self, sandbox_id, path="/workspace"):
        files = self.request("GET", "/api/v1/files", params={"sandbox_id": sandbox_id, "path": path})["files"]
        return [{**one, "mod_time": when(one["mod_time"])} for one in files]

    def write_file(self, sandbox_id, path, content):
        data = {"sandbox_id": sandbox_id, "path": path, "content": content}
        return self.request("PUT", "/api/v1/files", data=data)["success"]

    def delete_file(self, sandbox_id, path):
        return self.request("DELETE", "/api/v1/files", params={"sandbox_id": sandbox_id, "path": path})["success"]


class Sandbox:
    """What users of that client hold: a session and the sandbox acquired after it."""

    def __init__(self, base_url, user_id=None, token=None):
        self.client = Client(base_url, token)
        self.session = self.sandbox = None
        if not token and user_id:
            self.client.token = self.client.get_token(user_id)["access_token"]

    @classmethod
    def create(cls, base_url, user_id="default-user", image=None, cpu_count=None, memory_mb=None, token=None):
        one = cls(base_url, user_id, token)
        one.session = one.client.create_session(image, cpu_count, memory_mb)
        one.sandbox = one.client.acquire_sandbox()
        return one

    @classmethod
    def resume(cls, session_id, base_url, user_id=None, token=None):
        one = cls(base_url, user_id, token)
        one.session = one.client.resume_session(session_id)
        one.sandbox = one.client.acquire_sandbox()
        return one

    @property
    def id(self):
        return self.sandbox["sandbox_id"]

    def run_code(self, code, language="python", timeout=300):
        return self.client.execute(self.id, code=code, language=language, timeout=timeout)

    def run_command(self, command, timeout=300):
        argv = ["bash", "-c", command] if isinstance(command, str) else command
        return self.client.execute(self.id, command=argv, timeout=timeout)

    def pause(self):
        self.session = self.client.pause_session(self.session["id"])
        if self.sandbox:
            self.client.release_sandbox(self.id)
            self.sandbox = None
        return self.session["id"]

    def destroy(self):
        if self.sandbox:
            self.client.release_sandbox(self.id)
            self.sandbox = None
        if self.session:
            self.client.delete_session(self.session["id"])
            self.session = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.sandbox:
            self.client.release_sandbox(self.id)
            self.sandbox = None
