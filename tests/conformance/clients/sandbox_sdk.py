"""The calls of the sandbox_sdk client, one method a row of docs/sandbox-sdk.md: same methods, paths, bodies, headers,
the path of a file put into the query as it is, every answer read as JSON. Written from the table of its calls."""

import requests


class SandboxError(Exception):
    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


class Client:
    def __init__(self, server_url, api_key, timeout_ms=60000):
        self.server_url, self.api_key, self.timeout_ms = server_url, api_key, timeout_ms
        self.sandboxes, self.contexts = {}, {}

    def request(self, method, endpoint, payload=None, timeout_ms=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        answer = requests.request(method, self.server_url + endpoint, json=payload, headers=headers,
                                  timeout=(timeout_ms or self.timeout_ms) / 1000)
        if not answer.ok:
            raise SandboxError(answer.json()["message"], answer.status_code)
        return answer.json()

    def known(self, sandbox_id):
        if sandbox_id not in self.sandboxes:
            raise SandboxError(f"not created here: {sandbox_id}", None)
        return self.sandboxes[sandbox_id]

    def template_language(self, sandbox_id):
        return self.known(sandbox_id).get("template_config", {}).get("language")

    # sandboxes and templates

    def create_sandbox(self, options):
        answer = self.request("POST", "/api/sandboxes/create", options)
        self.sandboxes[answer["sandbox"]["id"]] = answer["sandbox"]
        return answer

    def delete_sandbox(self, sandbox_id):
        self.contexts = {k: v for k, v in self.contexts.items() if v.get("sandbox_id") != sandbox_id}
        self.sandboxes.pop(sandbox_id, None)
        self.request("DELETE", f"/api/sandboxes/{sandbox_id}")

    def get_sandbox_status(self, sandbox_id):
        self.known(sandbox_id)["status"] = status = self.request("GET", f"/api/sandboxes/{sandbox_id}/status")["status"]
        return status

    def list_sandboxes(self):
        return list(self.sandboxes.values())

    def get_templates(self, page=1, page_size=10):
        return self.request("GET", f"/api/templates?page={page}&pageSize={page_size}")

    def get_template(self, template_id):
        return self.request("GET", f"/api/templates/{template_id}")

    def create_template(self, template):
        return self.request("POST", "/api/templates", template)

    # code and commands

    def run_code(self, sandbox_id, code, envs=None, timeout_ms=None):
        payload = {"code": code, "language": self.template_language(sandbox_id), "envVars": envs}
        return self.request("POST", f"/api/sandboxes/{sandbox_id}/execute", payload, timeout_ms)

    def execute_batch(self, sandbox_id, jobs):
        return [self.run_code(sandbox_id, job["code"], timeout_ms=job.get("timeout")) for job in jobs]

    def run_terminal(self, sandbox_id, command, timeout_ms=None):
        self.known(sandbox_id)
        return self.request("POST", f"/api/sandboxes/{sandbox_id}/terminal", {"command": command}, timeout_ms)["output"]

    # files: the path is not encoded

    def read_file(self, sandbox_id, path):
        return self.request("GET", f"/api/sandboxes/{sandbox_id}/files?path={path}")["content"]

    def write_file(self, sandbox_id, path, content, create_parents=True):
        payload = {"content": content, "createParents": create_parents}
        return self.request("POST", f"/api/sandboxes/{sandbox_id}/files?path={path}", payload)["path"]

    def delete_file(self, sandbox_id, path):
        self.request("DELETE", f"/api/sandboxes/{sandbox_id}/files?path={path}")

    def list_files(self, sandbox_id, dir_path="."):
        return self.request("GET", f"/api/sandboxes/{sandbox_id}/files/list?path={dir_path}")

    # contexts

    def create_code_context(self, sandbox_id, language=None, cwd=None):
        payload = {"language": language or self.template_language(sandbox_id), "cwd": cwd or "/workspace"}
        context = self.request("POST", f"/api/sandboxes/{sandbox_id}/contexts", payload)
        self.contexts[context["id"]] = context
        return context

    def delete_code_context(self, context_id):
        sandbox_id = self.contexts.pop(context_id)["sandbox_id"]
        return self.request("DELETE", f"/api/sandboxes/{sandbox_id}/contexts/{context_id}")

    def list_code_contexts(self, sandbox_id):
        return [one for one in self.contexts.values() if one.get("sandbox_id") == sandbox_id]
