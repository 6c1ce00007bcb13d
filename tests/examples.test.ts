/**
 * Every example, as it is, in a project that has the packed package: in the runtime or the browser that it is for. Those of
 * bundlers are in tests/bundlers.test.ts. Electron's binary is not at hand: its main process runs in Node with a stand-in for
 * the package `electron`, its window in Chromium.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { BROWSERS, browse } from "./browser.js";
import { absent, find, installed, toolNode } from "./installed.js";
import { install, temporary } from "./project.js";

const CAT = "models/samples/cat-1.jpg";
const DOG = "models/samples/dog-1.jpg";

/** A copy of an example with what it depends on, and two photos. */
function copyOf(example: string): string {
  const folder = temporary(example);
  cpSync(`examples/${example}`, folder, { recursive: true });
  install(folder);
  cpSync(CAT, join(folder, "cat.jpg"));
  cpSync(DOG, join(folder, "dog.jpg"));
  return folder;
}

const run = (cwd: string, command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 100_000 });

/** Starts a server that prints its address, until the test is over. */
async function serve(t: TestContext, cwd: string, command: string, ...args: string[]): Promise<string> {
  const server = spawn(command, args, { cwd, env: { ...process.env, PORT: "0" } });
  t.after(() => server.kill());
  let output = "";
  return new Promise((resolve, reject) => {
    const read = (text: Buffer) => {
      output += text;
      const address = /http:\/\/localhost:\d+/.exec(output)?.[0];
      if (address) resolve(address);
    };
    server.stdout.on("data", read);
    server.stderr.on("data", read);
    server.on("exit", () => reject(new Error(output)));
  });
}

const post = async (address: string, body: Uint8Array<ArrayBuffer> | string) => {
  const response = await fetch(address, { method: "POST", body });
  return { status: response.status, json: await response.json() };
};
const bytesOf = (path: string) => new Uint8Array(readFileSync(path));

const examples = readdirSync("examples");

test("every example says how it is run, in 15 lines, and depends on the package", () => {
  assert.ok(examples.length >= 8, examples.join());
  for (const example of examples) {
    const {
      name,
      private: unpublished,
      dependencies,
    } = JSON.parse(readFileSync(`examples/${example}/package.json`, "utf8"));
    assert.deepEqual([name, unpublished], [`vitrail-example-${example}`, true]);
    assert.ok("vitrail" in dependencies, example);
    const lines = readFileSync(`examples/${example}/README.md`, "utf8").trimEnd().split("\n");
    assert.ok(lines.length <= 15, `${example}: ${lines.length} lines`);
  }
});

test("node", () => {
  const lines = run(copyOf("node"), process.execPath, "main.js", "cat.jpg", "dog.jpg");
  assert.match(lines, /^cat\.jpg cat 0\.\d{3}\ndog\.jpg dog 0\.\d{3}\n$/);
});

test("deno", { skip: absent("Deno", find("deno")) }, () => {
  const permissions = ["--allow-read", "--allow-env", "--allow-sys"];
  const args = ["run", "--no-prompt", ...permissions, "main.ts", "cat.jpg", "cat.jpg", "dog.jpg"];
  const [same, other] = run(copyOf("deno"), find("deno")!, ...args)
    .trim()
    .split("\n");
  assert.equal(same, "cat.jpg cat.jpg 1.000");
  assert.match(other!, /^cat\.jpg dog\.jpg -?0\.\d{3}$/);
});

/** A server of vitrail/serve with the default model. */
async function checkServer(address: string): Promise<void> {
  const [cat, dog] = [bytesOf(CAT), bytesOf(DOG)];
  const answers = await Promise.all([cat, "no image", dog, cat].map((body) => post(address, body)));
  assert.deepEqual(
    answers.map(({ status, json }) => [status, json[0]?.label]),
    [
      [200, "cat"],
      [400, undefined],
      [200, "dog"],
      [200, "cat"],
    ],
  );
  assert.match(answers[1]!.json.error, /is not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file/);
  assert.deepEqual((await post(address, dog)).json, answers[2]!.json);
  const models = await (await fetch(`${address}/v1/models`)).json();
  assert.deepEqual(
    models.data.map(({ id }: { id: string }) => id),
    ["cifar10"],
  );
}

for (const [name, skip] of [
  ["postgres", absent("PGlite", installed("@electric-sql/pglite-pgvector/package.json"))],
  [
    "sqlite",
    toolNode === process.execPath && Number(process.versions.node.split(".")[0]) < 24 && "node:sqlite is of Node 24",
  ],
] as const) {
  test(`databases: ${name}`, { skip }, () => {
    const lines = run(copyOf("databases"), toolNode, `${name}.js`, "cat.jpg", "dog.jpg", "cat.jpg").trim().split("\n");
    assert.equal(lines[0], "cat.jpg 1.000");
    assert.match(lines[1]!, /^dog\.jpg -?0\.\d{3}$/);
    assert.equal(lines.length, 2);
  });
}

test("bun-server", { skip: absent("Bun", find("bun")) }, async (t) => {
  await checkServer(await serve(t, copyOf("bun-server"), find("bun")!, "server.js"));
});

for (const framework of ["hono", "express"]) {
  test(framework, { skip: absent(framework, installed(`${framework}/package.json`)) }, async (t) => {
    const address = await serve(t, copyOf(framework), toolNode, "server.js");
    await checkServer(address);
    assert.equal(await (await fetch(`${address}/hello`)).text(), "hello");
  });
}

const noChromium = absent("Chromium", BROWSERS.chromium.command);

test("service-worker", { skip: noChromium || absent("esbuild", installed(".bin/esbuild")) }, async () => {
  const folder = copyOf("service-worker");
  mkdirSync(join(folder, "public"));
  // As its script `build`, in commands that every system has.
  const { scripts } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const [bundle] = scripts.build.split(" && ");
  const [, ...args] = bundle.split(" ");
  run(folder, installed(".bin/esbuild")!, ...args);
  for (const file of ["index.html", "page.js", "cat.jpg"]) cpSync(join(folder, file), join(folder, "public", file));
  cpSync("models/default", join(folder, "public/model"), { recursive: true });
  const found = (await browse("chromium", {
    page: "/",
    async serve(pathname) {
      if (pathname === "/visitor.js") return WAITS_FOR_JSON;
      const bytes = await readFile(join(folder, "public", pathname === "/" ? "index.html" : pathname));
      return pathname === "/" ? `${bytes}<script type="module" src="/visitor.js"></script>` : bytes;
    },
  })) as { text: string };
  const classes = JSON.parse(found.text);
  assert.deepEqual([classes.length, classes[0].label], [3, "cat"]);
});

/** Posts the page's text once it is JSON. */
const WAITS_FOR_JSON = `const pre = document.querySelector("pre");
const post = (task, body) => fetch("/result?task=" + task, { method: "POST", body: JSON.stringify(body) });
while (!/^[[{]/.test(pre.textContent)) await new Promise((resolve) => setTimeout(resolve, 20));
await post("text", pre.textContent);
await post("end", {});
`;

test("electron: the main process, in Node with a stand-in for Electron", () => {
  const folder = copyOf("electron");
  const modules = join(folder, "node_modules/electron");
  mkdirSync(modules);
  writeFileSync(join(modules, "package.json"), '{ "type": "module", "main": "index.js" }');
  writeFileSync(
    join(modules, "index.js"),
    `import { existsSync } from "node:fs";
const handlers = {};
export const ipcMain = { handle: (name, handler) => { handlers[name] = handler; } };
export const dialog = { showOpenDialog: async () => ({ filePaths: ["cat.jpg"] }) };
export const app = { whenReady: async () => {}, on() {}, quit() {} };
export class BrowserWindow {
  constructor({ webPreferences: { preload } }) { this.preload = preload; }
  async loadFile(page) {
    const path = await handlers.choose();
    const classes = await handlers.classify({}, path);
    const failed = await handlers.classify({}, "absent.jpg").catch(({ message }) => message);
    console.log(JSON.stringify({ files: [this.preload, page].map(existsSync), path, classes, failed }));
  }
}
`,
  );
  const { files, path, classes, failed } = JSON.parse(run(folder, process.execPath, "main.js"));
  assert.deepEqual([files, path, classes.length, classes[0].label], [[true, true], "cat.jpg", 3, "cat"]);
  assert.equal(failed, 'file: "absent.jpg" does not exist');
});

test("electron: the window, in Chromium", { skip: noChromium }, async () => {
  const visitor = `const post = (task, body) => fetch("/result?task=" + task, { method: "POST", body: JSON.stringify(body) });
window.vitrail = {
  choose: async () => "cat.jpg",
  classify: async (path) => [{ label: path, probability: 0.75 }, { label: "dog", probability: 0.25 }],
};
document.querySelector("button").click();
while (!document.querySelector("li")) await new Promise((resolve) => setTimeout(resolve, 20));
await post("lines", [...document.querySelectorAll("li")].map((line) => line.textContent));
await post("end", {});
`;
  const { lines } = (await browse("chromium", {
    page: "/",
    async serve(pathname) {
      if (pathname === "/visitor.js") return visitor;
      const bytes = await readFile(join("examples/electron", pathname === "/" ? "index.html" : pathname));
      return pathname === "/" ? `${bytes}<script type="module" src="/visitor.js"></script>` : bytes;
    },
  })) as { lines: string[] };
  assert.deepEqual(lines, ["cat.jpg 75.0 %", "dog 25.0 %"]);
});
