// Sandbox.create() of the published JavaScript SDK against a daemon that answers as the lifecycle server.
// Arguments: host:port[/path], directory, "proxy", "through" or "direct". A key comes by the environment.
import assert from "node:assert/strict";
import { ConnectionConfig, Sandbox, SandboxManager } from "@alibaba-group/opensandbox";

const [domain, work, mode] = process.argv.slice(2);
const connectionConfig = new ConnectionConfig({ domain, protocol: "http", useServerProxy: mode === "proxy" });

const box = await Sandbox.create({ image: "node:20", connectionConfig, timeoutSeconds: 300, env: { COLOUR: "blue" },
  metadata: { from: "js" } });
const run = await box.commands.run("echo $COLOUR; exit 3");
assert.deepEqual(run.logs.stdout.map((m) => m.text.trim()), ["blue"]);
assert.equal(run.exitCode, 3);
await box.files.writeFiles([{ path: `${work}/js.txt`, data: "hi", mode: 644 }]);
assert.equal(await box.files.readFile(`${work}/js.txt`), "hi");
assert.equal((await box.getInfo()).status.state, "Running");
console.log("ok create and use");

await box.pause();
assert.equal((await box.getInfo()).status.state, "Paused");
await assert.rejects(box.commands.run("true"));
const again = await box.resume();
assert.equal((await again.commands.run("echo on")).logs.stdout[0].text.trim(), "on");
console.log("ok pause and resume");

await again.renew(3600);
assert.deepEqual((await again.patchMetadata({ from: null, to: "x" })).metadata, { to: "x" });
assert.ok((await again.getEndpoint(3000)).endpoint.endsWith("/proxy/3000"));
const manager = SandboxManager.create({ connectionConfig });
const listed = await manager.listSandboxInfos({ metadata: { to: "x" } });
assert.deepEqual(listed.items.map((one) => one.id), [box.id]);
console.log("ok renew, metadata, endpoint, list");

await again.kill();
await assert.rejects(box.getInfo());
await Promise.all([manager.close(), box.close(), again.close()]);
console.log("ok kill");
