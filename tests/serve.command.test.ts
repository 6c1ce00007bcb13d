/**
 * `vitrail serve` under what clients and owners do to a server: killed at every stage, bodies cut, hundreds of connections that say
 * nothing, SIGTERM under load. Whatever it is, all other requests are answered. `node dist/bench/serve.js --idle 10000` has more of them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { after, before, suite, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { listen } from "../src/cli/http.js";
import { load } from "../src/index.js";
import { type Served, serveModels } from "./server.js";

const CAT = new Uint8Array(readFileSync("models/samples/cat-1.jpg"));
const CLI = fileURLToPath(new URL("../src/cli.js", import.meta.url));

const classify = (url: string, signal?: AbortSignal) => fetch(url, { method: "POST", body: CAT, signal });

suite("serve", () => {
  let server: Served;
  before(async () => {
    server = await serveModels([]);
  });
  after(() => server.stop());

  /** A request as it is on the line, of which as many bytes are sent as are said. */
  const head = `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${CAT.length}\r\n\r\n`;
  const whole = Buffer.concat([Buffer.from(head), CAT]);
  async function half(bytes: number): Promise<Socket> {
    const socket = connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    await new Promise((resolve) => socket.write(whole.subarray(0, bytes), resolve));
    return socket;
  }

  test("it answers as the library does", async () => {
    using model = await load();
    const expected = (await model.classify(CAT)).map(({ label, probability }) => ({ label, score: probability }));
    assert.deepEqual(await (await classify(server.url)).json(), expected);
  });

  test("clients that go at any stage leave the others answered, and nothing behind", async () => {
    const stages = [0, 10, head.length, head.length + 1, Math.floor(whole.length / 2), whole.length - 1, whole.length];
    const others = Array.from({ length: 6 }, () => classify(server.url));
    for (const how of ["end", "destroy", "resetAndDestroy"] as const) {
      for (const bytes of stages) (await half(bytes))[how]();
    }
    const gone = stages.map(async (_, i) => {
      const end = new AbortController();
      const answer = classify(server.url, end.signal).catch(() => undefined);
      await setTimeout(10 * i);
      end.abort();
      await answer;
    });
    await Promise.all(gone);
    for (const other of others) assert.equal((await other).status, 200);
    for (let tries = 0; ; tries++) {
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      if (/^vitrail_requests 0$/m.test(metrics) && /^vitrail_turns 0$/m.test(metrics)) break;
      assert.ok(tries < 100, metrics);
      await setTimeout(100);
    }
  });

  test("hundreds of connections that say nothing, or half of it, hold nobody up", async () => {
    const idle = await Promise.all(Array.from({ length: 300 }, (_, i) => half(i % 2 === 0 ? 0 : head.length + 5)));
    const answers = await Promise.all(Array.from({ length: 4 }, () => classify(server.url)));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200],
    );
    for (const socket of idle) socket.destroy();
  });

  test("a request that is refused by its head has its answer, though its body is not read", async () => {
    const answer = await new Promise<number>((resolve, reject) => {
      const sent = request(`${server.url}/nowhere`, { method: "POST", headers: { "content-length": 1e9 } });
      sent.on("response", ({ statusCode }) => resolve(statusCode!));
      sent.on("error", reject);
      sent.write(CAT);
    });
    assert.equal(answer, 404);
  });

  test("of a loopback address other names are refused, and requests that are none", async () => {
    const ask = (text: string) =>
      new Promise<string>((resolve) => {
        const socket = connect(server.port, "127.0.0.1", () => socket.write(text));
        socket.on("data", (bytes) => {
          resolve(String(bytes).split("\r\n")[0]!);
          socket.destroy();
        });
      });
    assert.match(await ask("GET /health HTTP/1.1\r\nhost: evil.org\r\n\r\n"), /421/);
    assert.match(await ask("GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"), /200/);
    assert.match(await ask("GET http://evil.org/health HTTP/1.1\r\nhost: localhost\r\n\r\n"), /400/);
    assert.match(await ask("GET //evil.org/health HTTP/1.1\r\nhost: localhost\r\n\r\n"), /404/);
    assert.match(await ask("TRACE / HTTP/1.1\r\nhost: localhost\r\n\r\n"), /400/);
    assert.match(await ask("no HTTP\r\n\r\n"), /400/);
  });

  test("SIGTERM under load: what runs is answered, no more is taken, the process ends with status 0", async () => {
    /** Requests for classes that have arrived, answered or not. */
    const arrived = async () => {
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      const found = metrics.matchAll(/^(?:vitrail_requests_total\{route="POST \/",.*\}|vitrail_requests) (\d+)$/gm);
      return [...found].reduce((sum, [, count]) => sum + Number(count), 0);
    };
    const before = await arrived();
    const running = Array.from({ length: 12 }, () => classify(server.url));
    while ((await arrived()) < before + 12) await setTimeout(10);
    const stopped = server.stop();
    for (const answer of running) {
      const { status } = await answer;
      assert.equal(status, 200);
    }
    assert.equal(await stopped, 0, server.notes);
    assert.match(server.notes, /closing: what runs is finished first/);
    await assert.rejects(classify(server.url));
  });
});

test("connections that are late are ended: without a head, with half a body, with an answer that is not taken", {
  timeout: 20_000,
}, async () => {
  const patience = { head: 100, whole: 200, between: 100, look: 50, taken: 200, pace: 1e12, linger: 100 };
  // More than the buffers of the system take.
  const answer = new Uint8Array(2 ** 26);
  const listening = await listen(
    async (request) => new Response(request.method === "POST" ? await request.arrayBuffer().catch(() => "") : answer),
    { host: "127.0.0.1", port: 0, patience },
  );
  const { port } = new URL(listening.url);
  const begun = (text: string) => {
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
    socket.on("error", () => {});
    return socket;
  };
  const texts = ["", "GET / HT", "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nhalf"];
  const halves = texts.map(begun);
  await Promise.all(halves.map((socket) => new Promise((resolve) => socket.resume().on("close", resolve))));
  // Those that are late when it closes.
  for (const text of texts) begun(text);
  await setTimeout(50);
  const deaf = begun("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").pause();
  await setTimeout(10);
  // Resolved when no connection is left.
  await listening.close();
  deaf.destroy();
});

test("a model that cannot be loaded, and options that are wrong, end it before it listens", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [CLI, "serve", "--port", "0", ...args], { encoding: "utf8" });
  const cases: [args: string[], message: RegExp][] = [
    [["--model", "./nowhere"], /^vitrail: file: ".\/nowhere" does not exist$/],
    [["./a", "b/a", "--model", "/c/a"], /^vitrail: serve: two models are named "a"; give one as NAME=/],
    [["--port", "65536"], /^vitrail: --port must be a whole number from 0 to 65535; got "65536"$/],
    [["--cors", "a.org"], /^vitrail: createHandler: cors must be/],
    [["--host", "192.0.2.1"], /^vitrail: serve: cannot listen: /],
  ];
  for (const [args, message] of cases) {
    const { status, stdout, stderr } = run(...args);
    assert.deepEqual([status, stdout], [2, ""], stderr);
    assert.match(stderr.trimEnd(), message);
  }
});
