// The published JavaScript SDK against a daemon (contracts: opensandbox.md 0.2, 5.2). Arguments: base URL, directory.
// Every check prints its name; the first failure ends the run with its stack.
import assert from "node:assert/strict";
import { ConnectionConfig, DefaultAdapterFactory } from "@alibaba-group/opensandbox";

const [url, work] = process.argv.slice(2);
const connectionConfig = new ConnectionConfig({ protocol: "http", domain: "unused" }).withTransportIfMissing();
const { commands, files, health } = new DefaultAdapterFactory().createExecdStack({
  connectionConfig, execdBaseUrl: url, endpointHeaders: {} });

const checks = {
  async "ping"() {
    assert.equal(await health.ping(), true);
  },
  async "a command's output, error output and exit code"() {
    const run = await commands.run("echo hi; echo err >&2; exit 3");
    assert.equal(run.exitCode, 3);
    assert.deepEqual(run.logs.stdout.map((m) => m.text), ["hi"]); // before 1.1: terminators stripped
    assert.deepEqual(run.logs.stderr.map((m) => m.text), ["err"]);
    assert.equal(run.error.value, "3");
  },
  async "line separators and emoji"() {
    const run = await commands.run("printf 'a\\342\\200\\250b \\360\\237\\216\\210\\n'");
    assert.equal(run.logs.stdout[0].text, "a\u2028b \u{1F388}");
  },
  async "many lines"() {
    const run = await commands.run("seq 1 20000");
    assert.equal(run.logs.stdout.length, 20000);
    assert.equal(run.exitCode, 0);
  },
  async "interrupt answers with an empty body"() {
    let id;
    for await (const event of commands.runStream("echo on; sleep 300")) {
      if (event.type === "init") id = event.text;
      if (event.type === "stdout") await commands.interrupt(id);
    }
  },
  async "refusals carry the daemon's words"() {
    await assert.rejects(commands.run("true", { workingDirectory: "/no/such/dir" }), /.*/);
  },
  async "files there and back"() {
    await files.writeFiles([
      { path: `${work}/a.txt`, data: "grüße", mode: 644 },
      { path: `${work}/b.bin`, data: new Uint8Array([0, 255, 10]), mode: 600 }]);
    assert.equal(await files.readFile(`${work}/a.txt`), "grüße");
    assert.deepEqual([...await files.readBytes(`${work}/b.bin`)], [0, 255, 10]);
    assert.equal(await files.readFile(`${work}/a.txt`, { range: "bytes=0-1" }), "gr");
    const info = await files.getFileInfo([`${work}/a.txt`]);
    assert.equal(info[`${work}/a.txt`].mode, 644);
    assert.ok(info[`${work}/a.txt`].modifiedAt instanceof Date);
  },
  async "calls whose success has an empty body"() {
    await files.createDirectories([{ path: `${work}/dir/deep`, mode: 755 }]);
    await files.moveFiles([{ src: `${work}/a.txt`, dest: `${work}/dir/a.txt` }]);
    await files.replaceContents([{ path: `${work}/dir/a.txt`, oldContent: "grüße", newContent: "gruesse" }]);
    await files.setPermissions([{ path: `${work}/dir/a.txt`, mode: 600 }]);
    assert.equal((await files.listDirectory({ path: `${work}/dir` })).length, 2);
    await files.deleteFiles([`${work}/dir/a.txt`]);
    await files.deleteDirectories([`${work}/dir`]);
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`ok ${name}`);
}
