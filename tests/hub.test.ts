/**
 * Models by name: from a server that speaks the Hub's protocol, and misbehaves, into a cache in the layout of huggingface_hub.
 * Whatever happens, the next load has the right bytes or one sentence.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { download, isThere, type Patience, statusOf } from "../src/hub/download.js";
import { cached, clear } from "../src/hub/index.js";
import { parseReference } from "../src/hub/reference.js";
import { openRepository } from "../src/hub/repository.js";
import type { HubOptions } from "../src/hub/settings.js";
import { createSha } from "../src/hub/sha.js";
import { load, type Progress } from "../src/index.js";
import { fromBytes } from "../src/io/source.js";
import { readDirectory, readEntry } from "../src/io/zip.js";
import { COMMIT, etagOf, type Fault, type HubServer, type PullRequest, startHub, TOKEN } from "./hub-server.js";
import { type Member, zip } from "./zip.js";

const FIXTURE = "tests/fixtures/checkpoints/hf-vit";
const IMAGE = "tests/fixtures/image/rgb-420.jpg";
const CLI = fileURLToPath(new URL("../src/cli.js", import.meta.url));
const WEIGHTS = "model.safetensors";

const scratch = mkdtempSync(join(tmpdir(), "vitrail-hub-"));
after(() => rmSync(scratch, { recursive: true }));
for (const name of Object.keys(process.env)) if (/^(HF|HUGGING|TRANSFORMERS)_?/.test(name)) delete process.env[name];
process.env.HF_HOME = join(scratch, "home");

let made = 0;
const newCache = (): string => join(scratch, `cache-${made++}`);
const bytesOf = (path: string) => new Uint8Array(readFileSync(path));
const fixture = (folder = FIXTURE): Record<string, Uint8Array> =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, bytesOf(join(folder, name))]));
/** Larger than what goes past at once: 3 MB. */
const large = { [WEIGHTS]: new Uint8Array(randomBytes(3_000_000)), "config.json": new TextEncoder().encode("{}") };

/** A server of a repository, which the environment names until the test is over. */
async function hubOf(t: TestContext, files: Record<string, Uint8Array>, repo?: string): Promise<HubServer> {
  const hub = await startHub({ ...files }, repo);
  process.env.HF_ENDPOINT = hub.endpoint;
  t.after(hub.close);
  return hub;
}

const open = (options: HubOptions & { signal?: AbortSignal } = {}, name = "a/b") =>
  openRepository(parseReference(name)!, options);
const bring = async (options: HubOptions & { signal?: AbortSignal }, onProgress?: (progress: Progress) => void) =>
  (await open(options)).bring!([WEIGHTS], { signal: options.signal, onProgress });

const snapshot = (cacheDir: string, name = WEIGHTS) => join(cacheDir, "models--a--b/snapshots", COMMIT, name);
const blob = (cacheDir: string, files: Record<string, Uint8Array> = large, name = WEIGHTS) =>
  join(cacheDir, "models--a--b/blobs", etagOf(name, files[name]!));
/** The large file is there, all of it, and nothing that was on the way to it. */
function assertWhole(cacheDir: string): void {
  assert.ok(Buffer.from(large[WEIGHTS]!).equals(readFileSync(snapshot(cacheDir))));
  assert.equal(existsSync(`${blob(cacheDir)}.incomplete`), false);
  assert.deepEqual(readdirSync(join(cacheDir, ".locks/models--a--b")), []);
}
const bodies = ({ asked }: HubServer, file = WEIGHTS) =>
  asked.filter((request) => request.what === "body" && request.file === file).map(({ range }) => range);
const messageOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "no error",
    ({ message }) => message,
  );

test("names: what is one, what is a path, what is refused", () => {
  const cases: Record<string, ReturnType<typeof parseReference>> = {
    "google/vit-base-patch16-224": { repo: "google/vit-base-patch16-224", revision: undefined, certain: false },
    "timm/vit_tiny_patch16_224.augreg": {
      repo: "timm/vit_tiny_patch16_224.augreg",
      revision: undefined,
      certain: false,
    },
    "a/b@v1.0": { repo: "a/b", revision: "v1.0", certain: false },
    "a/b@refs/pr/1": { repo: "a/b", revision: "refs/pr/1", certain: false },
    "hf-hub:a/b": { repo: "a/b", revision: undefined, certain: true },
    "hf-hub:a/b@main": { repo: "a/b", revision: "main", certain: true },
    " a/b\n": { repo: "a/b", revision: undefined, certain: false },
    " hf-hub:a/b ": { repo: "a/b", revision: undefined, certain: true },
    "https://huggingface.co/a/b": { repo: "a/b", revision: undefined, certain: true },
    "https://huggingface.co/a/b/tree/main/?x=y#z ": { repo: "a/b", revision: "main", certain: true },
    "http://hf.co/a/b/tree/refs/pr/1": { repo: "a/b", revision: "refs/pr/1", certain: true },
  };
  for (const [name, expected] of Object.entries(cases)) assert.deepEqual(parseReference(name), expected, name);
  const paths = [
    "vit",
    "./a/b",
    "../a",
    "/a/b",
    "~/a",
    "C:\\a",
    "C:/a",
    "a/b/c",
    "a/b/",
    "a/b.safetensors",
    "a/b.npz",
    "a/b.bin",
    "a/b.pth.tar",
    "",
  ];
  for (const path of [...paths, "a/..", "../b", "a--b/c", "-a/b", "a/b-", "https://a/b", "file:a/b"]) {
    assert.equal(parseReference(path), undefined, path);
  }
  for (const name of ["hf-hub:", "hf-hub:a", "hf-hub:../b", "hf-hub:a/b/c"]) {
    assert.throws(() => parseReference(name), {
      name: "RangeError",
      message: /^hub: a repository is named "owner\/name"; got/,
    });
  }
  for (const name of ["a/b@", "a/b@../../x", "a/b@/x", "a/b@x/../y", "a/b@x y"]) {
    assert.throws(() => parseReference(name), {
      name: "RangeError",
      message: /^hub: a revision is a branch, a tag or a commit/,
    });
  }
});

test("SHA-1 and SHA-256 at every length around a block, in uneven pieces", () => {
  const bytes = randomBytes(200_000);
  for (const kind of ["sha1", "sha256"] as const) {
    for (const length of [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 57_343, 57_344, 57_345, 200_000]) {
      const digest = createSha(kind);
      for (let at = 0, step = 1; at < length; at += step, step = step * 3 + 1) {
        digest.update(bytes.subarray(at, Math.min(length, at + step)));
      }
      const expected = createHash(kind).update(bytes.subarray(0, length)).digest("hex");
      assert.equal(digest.hex(), expected, `${kind} of ${length}`);
    }
  }
});

test("a model by name is the model of its folder; the cache has huggingface_hub's layout; a second load asks for no file", async (t) => {
  const unwanted = {
    "README.md": new Uint8Array(10),
    "pytorch_model.bin": new Uint8Array(1000),
    "onnx/model.onnx": new Uint8Array(9),
  };
  const hub = await hubOf(t, { ...fixture(), ...unwanted });
  const cacheDir = newCache();
  const seen: Progress[] = [];
  using folder = await load(FIXTURE);
  using first = await load("a/b", { cacheDir, onProgress: (progress) => seen.push(progress) });
  assert.deepEqual(await first.classify(IMAGE), await folder.classify(IMAGE));
  assert.deepEqual(first.labels, folder.labels);

  const wanted = ["config.json", "preprocessor_config.json", WEIGHTS];
  assert.deepEqual(
    hub.asked.map(({ what, file }) => `${what} ${file}`),
    ["listing ", ...wanted.flatMap((file) => [`resolve ${file}`, `body ${file}`])],
  );
  const root = join(cacheDir, "models--a--b");
  assert.equal(readFileSync(join(root, "refs/main"), "utf8"), COMMIT);
  assert.deepEqual(readdirSync(join(root, "snapshots", COMMIT)).sort(), [...wanted].sort());
  for (const name of wanted) {
    assert.equal(readlinkSync(snapshot(cacheDir, name)), `../../blobs/${etagOf(name, hub.files[name]!)}`);
    assert.ok(readFileSync(snapshot(cacheDir, name)).equals(hub.files[name]!));
  }
  assert.equal(readdirSync(join(root, "blobs")).length, 3);

  const downloads = seen.filter(({ phase }) => phase === "download");
  const total = wanted.reduce((sum, name) => sum + hub.files[name]!.length, 0);
  assert.ok(downloads.every((progress) => progress.total === total));
  assert.ok(downloads.every(({ loaded }, i) => loaded >= (downloads[i - 1]?.loaded ?? 0)));
  assert.equal(downloads.at(-1)!.loaded, total);
  assert.deepEqual(
    [...new Set(downloads.map(({ file }) => file))],
    wanted.map((name) => `a/b/${name}`),
  );
  assert.deepEqual([...new Set(seen.map(({ phase }) => phase))], ["download", "weights"]);

  hub.asked.length = 0;
  const again: Progress[] = [];
  using second = await load("hf-hub:a/b@main", { cacheDir, onProgress: (progress) => again.push(progress) });
  assert.equal(second.labels.length, 7);
  // The engine is shared: nothing is read, and nothing is asked but what the revision is.
  assert.deepEqual([again, hub.asked.map(({ what }) => what)], [[], ["listing"]]);
});

test("revisions: branches and tags are asked for, commits that are cached are not; a moved branch takes the files that changed", async (t) => {
  const hub = await hubOf(t, large);
  const cacheDir = newCache();
  await (await open({ cacheDir }, "a/b@refs/pr/1")).bring!([WEIGHTS]);
  await (await open({ cacheDir, revision: "v1" })).bring!([WEIGHTS]);
  const refs = join(cacheDir, "models--a--b/refs");
  assert.deepEqual(
    [readFileSync(join(refs, "refs/pr/1"), "utf8"), readFileSync(join(refs, "v1"), "utf8")],
    [COMMIT, COMMIT],
  );
  assert.equal(bodies(hub).length, 1);

  hub.asked.length = 0;
  const pinned = await open({ cacheDir, revision: COMMIT });
  await pinned.open(WEIGHTS).then((source) => source.close());
  assert.deepEqual(hub.asked, []);
  // What is not there has to be asked for.
  assert.deepEqual(await pinned.bytes("config.json"), large["config.json"]);
  assert.deepEqual(
    hub.asked.map(({ what }) => what),
    ["listing", "resolve", "body"],
  );

  hub.commit = COMMIT.replace("0", "f");
  hub.files = { ...large, "config.json": new TextEncoder().encode('{"new": true}') };
  hub.asked.length = 0;
  const moved = await open({ cacheDir });
  await moved.bring!([WEIGHTS, "config.json"]);
  assert.deepEqual(
    hub.asked.filter(({ what }) => what === "body").map(({ file }) => file),
    ["config.json"],
  );
  assert.equal(readFileSync(join(refs, "main"), "utf8"), hub.commit);
  assert.notEqual(await moved.key(), await pinned.key());

  await assert.rejects(open({ cacheDir, revision: "v2" }, "a/b@v1"), {
    message: 'hub: "a/b" can be loaded at one revision; got v1 in its name and v2 as option',
  });
  await assert.rejects(open({ cacheDir, revision: "v2" }), {
    message: `hub: ${hub.endpoint} has no "a/b" at v2, and no folder here has this name`,
  });
  await assert.rejects(load(FIXTURE, { revision: "v1" }), {
    message: `load: revision needs a repository of the Hub; got "${FIXTURE}"`,
  });
});

test("a folder of the same name goes first, unless the name is certain", async (t) => {
  const hub = await hubOf(t, fixture());
  const folder = join(scratch, "here");
  cpSync(FIXTURE, join(folder, "a/b"), { recursive: true });
  const program = `import { load } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
    using model = await load(process.argv[1], { cacheDir: ${JSON.stringify(newCache())} });`;
  // It must be able to ask this process.
  const run = (name: string) =>
    new Promise<number | null>((resolve) => {
      spawn(process.execPath, ["--input-type=module", "-e", program.replace("using", "const"), name], {
        cwd: folder,
        stdio: "ignore",
      }).on("exit", resolve);
    });
  assert.equal(await run("a/b"), 0);
  assert.deepEqual(hub.asked, []);
  assert.equal(await run("hf-hub:a/b"), 0);
  assert.ok(hub.asked.length > 0);
});

test("a private repository: by option, environment or file; the token goes to no other host", async (t) => {
  const hub = await hubOf(t, large);
  hub.isPrivate = true;
  await assert.rejects(bring({ cacheDir: newCache() }), {
    message: 'hub: "a/b" is private, gated or does not exist, and no token was given; give one as token or HF_TOKEN',
  });
  await assert.rejects(bring({ cacheDir: newCache(), token: "hf_wrong" }), {
    message: `hub: the token does not open "a/b"; ask for access at ${hub.endpoint}/a/b if it is gated`,
  });
  hub.asked.length = 0;
  await bring({ cacheDir: newCache(), token: TOKEN });
  process.env.HF_TOKEN = TOKEN;
  await bring({ cacheDir: newCache() });
  delete process.env.HF_TOKEN;
  mkdirSync(process.env.HF_HOME!, { recursive: true });
  writeFileSync(join(process.env.HF_HOME!, "token"), `${TOKEN}\n`);
  await bring({ cacheDir: newCache() });
  rmSync(process.env.HF_HOME!, { recursive: true });
  assert.equal(bodies(hub).length, 3);
  for (const { what, authorization } of hub.asked) {
    assert.equal(authorization, what === "body" ? undefined : `Bearer ${TOKEN}`, what);
  }
});

test("a token that cannot be sent is refused without being shown", async (t) => {
  const hub = await hubOf(t, large);
  const shown = (error: unknown): string =>
    error instanceof Error ? `${error.stack} ${error.message} ${shown(error.cause)}` : String(error);
  for (const token of [
    "hf_one\nhf_two",
    "hf_one\r\nX-Evil: hf_two",
    "hf_one hf_two",
    "hf_one\0hf_two",
    "hf_one’hf_two",
  ]) {
    const ways: [from: string, options: object][] = [
      ["token", { token }],
      ["HF_TOKEN", {}],
    ];
    for (const [from, options] of ways) {
      // An environment holds no zero.
      if (from === "HF_TOKEN") process.env.HF_TOKEN = token.replace("\0", "\u0001");
      const error = await bring({ cacheDir: newCache(), ...options }).catch((error) => error);
      delete process.env.HF_TOKEN;
      const rule = "must be one line of ASCII letters, digits and marks without spaces";
      assert.equal(error.message, `hub: the token of ${from} ${rule}`);
      assert.doesNotMatch(shown(error), /hf_one|hf_two/);
    }
  }
  assert.deepEqual(hub.asked, []);
});

/** Of a connection that is cut, the last bytes may be lost with it. */
const aboutCut = (range: string | undefined) => {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1]);
  return from > 800_000 && from <= 1_000_000 ? "bytes=1000000-" : range;
};

const faults: [what: string, faults: Fault[], ranges: (string | undefined)[]][] = [
  ["an error that passes", [{ kind: "status", status: 500 }], [undefined, undefined]],
  ["a request to wait", [{ kind: "status", status: 429, retryAfter: "0" }], [undefined, undefined]],
  ["a cut", [{ kind: "cut", bytes: 1_000_000 }], [undefined, "bytes=1000000-"]],
  ["a cut before the first byte", [{ kind: "cut", bytes: 0 }], [undefined, undefined]],
  [
    "a cut, and then all from the beginning",
    [{ kind: "cut", bytes: 1_000_000 }, { kind: "whole" }],
    [undefined, "bytes=1000000-"],
  ],
  [
    "a cut, and then a refusal of the range",
    [
      { kind: "cut", bytes: 1_000_000 },
      { kind: "status", status: 416 },
    ],
    [undefined, "bytes=1000000-", undefined],
  ],
];
for (const [what, list, ranges] of faults) {
  test(`the server: ${what}`, async (t) => {
    const hub = await hubOf(t, large);
    hub.faults[WEIGHTS] = [...list];
    const cacheDir = newCache();
    const seen: number[] = [];
    await bring({ cacheDir }, ({ loaded }) => seen.push(loaded));
    assertWhole(cacheDir);
    assert.deepEqual(bodies(hub).map(aboutCut), ranges);
    assert.ok(seen.every((loaded, i) => loaded >= (seen[i - 1] ?? 0)));
    assert.equal(seen.at(-1), 3_000_000);
  });
}

test("the server: wrong bytes are an error, and are never seen", async (t) => {
  const hub = await hubOf(t, large);
  hub.faults[WEIGHTS] = [{ kind: "wrong" }];
  const cacheDir = newCache();
  const sha = etagOf(WEIGHTS, large[WEIGHTS]!);
  const message = await messageOf(bring({ cacheDir }));
  assert.ok(message.startsWith(`hub: "${WEIGHTS}" of "a/b" must have the SHA-256 ${sha}; what arrived has `), message);
  assert.deepEqual([existsSync(snapshot(cacheDir)), readdirSync(dirname(blob(cacheDir)))], [false, []]);
  await bring({ cacheDir });
  assertWhole(cacheDir);

  hub.faults["config.json"] = [{ kind: "wrong" }];
  assert.match(
    await messageOf((await open({ cacheDir })).bytes("config.json")),
    /must have the git SHA-1 [0-9a-f]{40}; what/,
  );
});

test("the server: lists that lie or lead elsewhere", async (t) => {
  const hub = await hubOf(t, large);
  const cacheDir = newCache();
  const digest = etagOf(WEIGHTS, large[WEIGHTS]!);
  const names = [
    "../../../x.safetensors",
    "..",
    "/etc/x",
    "C:x",
    "a\\b",
    ".hidden",
    "sub/model.safetensors",
    "a\u0000",
  ];
  hub.siblings = [...names.map((rfilename) => ({ rfilename, size: 1, blobId: digest })), null as never, "x" as never];
  assert.deepEqual((await open({ cacheDir })).names, ["config.json", WEIGHTS]);

  hub.siblings = [{ rfilename: WEIGHTS, size: 1000, lfs: { sha256: digest } }];
  assert.equal(
    await messageOf(bring({ cacheDir })),
    `hub: "${WEIGHTS}" of "a/b" goes on after 1000 bytes, where it must end`,
  );
  assert.equal(existsSync(snapshot(cacheDir)), false);

  const wrong: [object, string][] = [
    [{ size: 1, blobId: "../../x" }, `give the digest of "x"; got a text`],
    [{ size: -1, blobId: digest }, `give the size of "x"; got -1`],
  ];
  for (const [facts, message] of wrong) {
    hub.siblings = [{ rfilename: "x", ...facts }];
    assert.equal(await messageOf(open({ cacheDir })), `hub: the answer about "a/b" must ${message}`);
  }
  hub.faults[""] = [{ kind: "page" }];
  assert.equal(
    await messageOf(open({ cacheDir: newCache() })),
    'hub: the answer about "a/b" is an HTML or XML page, not JSON',
  );
  const pinned = open({ cacheDir: newCache(), revision: "f".repeat(40) });
  assert.match(await messageOf(pinned), /has no "a\/b" at f{40}/);
  hub.commit = "main";
  assert.equal(await messageOf(open({ cacheDir })), 'hub: the answer about "a/b" must name a commit; got a text');
});

test("a part that was left is gone on with; one that is wrong, too long or whole is not believed", async (t) => {
  const hub = await hubOf(t, large);
  const all = large[WEIGHTS]!;
  const cases: [part: Uint8Array, ranges: (string | undefined)[]][] = [
    [all.subarray(0, 2_000_000), ["bytes=2000000-"]],
    [new Uint8Array(2_000_000), ["bytes=2000000-", undefined]],
    [new Uint8Array(4_000_000), [undefined]],
    [all, []],
    [new Uint8Array(3_000_000), [undefined]],
    [new Uint8Array(0), [undefined]],
  ];
  for (const [part, ranges] of cases) {
    const cacheDir = newCache();
    mkdirSync(dirname(blob(cacheDir)), { recursive: true });
    writeFileSync(`${blob(cacheDir)}.incomplete`, part);
    hub.asked.length = 0;
    await bring({ cacheDir });
    assertWhole(cacheDir);
    assert.deepEqual(bodies(hub), ranges, `${part.length} bytes`);
  }
});

test("a cache that a crash left wrong: short files, links to nothing, a folder of no commit", async (t) => {
  const hub = await hubOf(t, large);
  const cacheDir = newCache();
  await bring({ cacheDir });
  truncateSync(blob(cacheDir), 1000);
  hub.asked.length = 0;
  await bring({ cacheDir });
  assertWhole(cacheDir);
  assert.equal(bodies(hub).length, 1);

  rmSync(blob(cacheDir));
  await bring({ cacheDir });
  assertWhole(cacheDir);

  rmSync(snapshot(cacheDir));
  symlinkSync("../../blobs/nothing", snapshot(cacheDir));
  hub.asked.length = 0;
  await bring({ cacheDir });
  assertWhole(cacheDir);
  assert.deepEqual(bodies(hub), []);

  writeFileSync(join(cacheDir, "models--a--b/refs/main"), "../../../etc");
  await assert.rejects(open({ cacheDir, offline: true }), { message: /^hub: "a\/b" at main is not in the cache / });
  await bring({ cacheDir });
  assert.equal(readFileSync(join(cacheDir, "models--a--b/refs/main"), "utf8"), COMMIT);
});

test("aborting ends at once, leaves a part, and the next load goes on from there", async (t) => {
  const hub = await hubOf(t, large);
  hub.faults[WEIGHTS] = [{ kind: "stall", bytes: 1_000_000 }];
  const cacheDir = newCache();
  const controller = new AbortController();
  const reason = new Error("changed my mind");
  const loading = bring({ cacheDir, signal: controller.signal }, ({ loaded }) => {
    if (loaded === 1_000_000) controller.abort(reason);
  });
  await assert.rejects(loading, (error) => error === reason);
  assert.ok(readFileSync(`${blob(cacheDir)}.incomplete`).equals(large[WEIGHTS]!.subarray(0, 1_000_000)));
  assert.equal(existsSync(snapshot(cacheDir)), false);
  await bring({ cacheDir });
  assertWhole(cacheDir);
  assert.deepEqual(bodies(hub), [undefined, "bytes=1000000-"]);

  await assert.rejects(bring({ cacheDir: newCache(), signal: AbortSignal.abort(reason) }), (error) => error === reason);
});

test("offline: the cache alone", async (t) => {
  const files = fixture();
  const hub = await hubOf(t, files);
  const cacheDir = newCache();
  await assert.rejects(open({ cacheDir, offline: true }), {
    message: `hub: "a/b" at main is not in the cache "${cacheDir}", and the Hub is not asked offline`,
  });
  (await load("a/b", { cacheDir })).dispose();
  hub.asked.length = 0;
  using model = await load("a/b", { cacheDir, offline: true });
  assert.equal(model.labels.length, 7);
  process.env.HF_HUB_OFFLINE = "1";
  (await load("a/b", { cacheDir })).dispose();
  delete process.env.HF_HUB_OFFLINE;
  assert.deepEqual(hub.asked, []);

  // A Hub that cannot be asked is no reason to fail; one that refuses is.
  hub.faults[""] = [{ kind: "status", status: 503 }];
  (await load("a/b", { cacheDir })).dispose();
  process.env.HF_ENDPOINT = "http://127.0.0.1:1";
  (await load("a/b", { cacheDir })).dispose();
  process.env.HF_ENDPOINT = hub.endpoint;
  hub.faults[""] = [{ kind: "status", status: 404 }];
  await assert.rejects(load("a/b", { cacheDir }), { message: /has no "a\/b" at main/ });
});

test("offline, what nobody asked for is not taken to be absent", async (t) => {
  await hubOf(t, fixture());
  const cacheDir = newCache();
  // As a program leaves it that takes models without their preprocessing.
  await (await open({ cacheDir })).bring!(["config.json", WEIGHTS]);
  using model = await load("a/b", { cacheDir, offline: true });
  // Pixel values can be given; images are not prepared by guessing.
  const { dims, data } = await (await load(FIXTURE)).preprocess(IMAGE);
  assert.ok((await model.forward({ pixelValues: { dims, data } })).logits.data.length > 0);
  await assert.rejects(model.classify(IMAGE), {
    message: `hub: the cache "${cacheDir}" does not say whether "a/b" has preprocessor_config.json; load it once when the Hub can be asked`,
  });
});

test("an absent preprocessor_config.json is remembered as huggingface_hub does it", async (t) => {
  const { "preprocessor_config.json": _, ...files } = fixture();
  const hub = await hubOf(t, files);
  const cacheDir = newCache();
  (await load("a/b", { cacheDir })).dispose();
  assert.ok(existsSync(join(cacheDir, "models--a--b/.no_exist", COMMIT, "preprocessor_config.json")));
  hub.asked.length = 0;
  (await load("a/b", { cacheDir, offline: true })).dispose();
  (await load(`a/b@${COMMIT}`, { cacheDir })).dispose();
  assert.deepEqual(hub.asked, []);
});

test("an image-text model comes with its tokenizer", async (t) => {
  const hub = await hubOf(t, fixture("tests/fixtures/checkpoints/hf-clip"));
  const cacheDir = newCache();
  using clip = await load("a/b", { cacheDir });
  await hub.close();
  const [best] = await clip.zeroShot(IMAGE, ["cat", "dog"]);
  assert.ok(best);
});

/** The command line, in a process of its own. */
function classify(cacheDir: string, ...more: string[]) {
  const args = [CLI, "classify", "--model", "a/b", "--cache-dir", cacheDir, "--json", ...more, IMAGE];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text) => (stdout += text));
  child.stderr.on("data", (text) => (stderr += text));
  const ended = new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
  return { child, ended };
}

test("two processes at once download once", async (t) => {
  const hub = await hubOf(t, fixture());
  hub.pace = 300;
  const cacheDir = newCache();
  const results = await Promise.all([classify(cacheDir), classify(cacheDir)].map(({ ended }) => ended));
  for (const { status, stdout, stderr } of results) {
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(JSON.parse(stdout).top[0].label, "goldfish");
  }
  for (const file of ["config.json", "preprocessor_config.json", WEIGHTS])
    assert.equal(bodies(hub, file).length, 1, file);
});

test("a process that is killed leaves a part and a lock; the next takes both over", async (t) => {
  const hub = await hubOf(t, fixture());
  hub.faults[WEIGHTS] = [{ kind: "stall", bytes: 65536 }];
  const cacheDir = newCache();
  const { child, ended } = classify(cacheDir);
  while (!hub.sent.get(WEIGHTS)) await new Promise((resolve) => setTimeout(resolve, 20));
  const part = `${blob(cacheDir, hub.files)}.incomplete`;
  while (!existsSync(part) || bytesOf(part).length < 65536) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill("SIGKILL");
  await ended;
  assert.equal(readdirSync(join(cacheDir, ".locks/models--a--b")).length, 1);
  const { status, stderr } = await classify(cacheDir).ended;
  assert.deepEqual([status, stderr], [0, ""]);
  assert.deepEqual(bodies(hub), [undefined, "bytes=65536-"]);
  assert.deepEqual(readdirSync(join(cacheDir, ".locks/models--a--b")), []);
});

test("a lock of a process that lives is waited for, as long as the signal allows", async (t) => {
  const hub = await hubOf(t, large);
  const cacheDir = newCache();
  const lock = join(cacheDir, ".locks/models--a--b", `${etagOf(WEIGHTS, large[WEIGHTS]!)}.vitrail.lock`);
  mkdirSync(dirname(lock), { recursive: true });
  writeFileSync(lock, JSON.stringify({ host: hostname(), pid: process.pid, id: "other" }));
  const signal = AbortSignal.timeout(300);
  await assert.rejects(bring({ cacheDir, signal }), (error) => error === signal.reason);
  assert.deepEqual(bodies(hub), []);
  assert.ok(existsSync(lock), "it is the other's");
  setTimeout(() => rmSync(lock), 200);
  await bring({ cacheDir });
  assertWhole(cacheDir);
});

test("command line: a model that is not there, and offline", async (t) => {
  const hub = await hubOf(t, fixture());
  const cacheDir = newCache();
  const missing = await classify(cacheDir, "--revision", "v9").ended;
  const found = `vitrail: hub: ${hub.endpoint} has no "a/b" at v9, and no folder here has this name\n`;
  assert.deepEqual(missing, { status: 2, stdout: "", stderr: found });
  hub.isPrivate = true;
  assert.equal((await classify(cacheDir, "--token", TOKEN).ended).status, 0);
  assert.equal((await classify(cacheDir, "--offline").ended).status, 0);
});

test("a folder of a repository: by the option subfolder, and where modules.json says so", async (t) => {
  const inner = Object.fromEntries(Object.entries(fixture()).map(([name, bytes]) => [`0_CLIPModel/${name}`, bytes]));
  const list = [{ idx: 0, path: "0_CLIPModel", type: "sentence_transformers.models.CLIPModel" }];
  const hub = await hubOf(t, { ...inner, "README.md": new Uint8Array(3) });
  const cacheDir = newCache();
  await assert.rejects(load("a/b", { cacheDir }), /must hold model\.safetensors, .* it holds README\.md$/);
  await assert.rejects(load("a/b", { cacheDir, subfolder: "1_Dense" }), /folder "a\/b\/1_Dense" must hold/);
  await assert.rejects(
    load("a/b", { cacheDir, subfolder: "../b" }),
    /subfolder must be a path of folders, as "a\/b"; got "\.\.\/b"$/,
  );
  (await load("a/b", { cacheDir, subfolder: "0_CLIPModel" })).dispose();
  hub.files["modules.json"] = new TextEncoder().encode(JSON.stringify(list));
  hub.commit = COMMIT.replace("0", "1");
  (await load("a/b", { cacheDir })).dispose();
  hub.asked.length = 0;
  (await load("a/b", { cacheDir, offline: true })).dispose();
  (await load("a/b", { cacheDir, offline: true, subfolder: "0_CLIPModel" })).dispose();
  assert.deepEqual(hub.asked, []);
});

test("command line: inspect reads the beginning of the weights and keeps nothing", async (t) => {
  const files = fixture();
  const weights = Buffer.from(files[WEIGHTS]!);
  const begin = 8 + Number(weights.readBigUInt64LE());
  const size = weights.length - begin;
  const more = 30_000_000;
  const header = JSON.stringify({
    ...JSON.parse(weights.toString("utf8", 8, begin)),
    more: { dtype: "U8", shape: [more], data_offsets: [size, size + more] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  files[WEIGHTS] = Buffer.concat([length, Buffer.from(header), weights.subarray(begin), Buffer.alloc(more)]);
  const hub = await hubOf(t, files);
  hub.pace = 10;
  const cacheDir = newCache();
  const args = [CLI, "inspect", "--model", "a/b", "--cache-dir", cacheDir, "--json"];
  const child = spawn(process.execPath, args, { env: process.env, stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (part) => {
    text += part;
  });
  assert.equal(await new Promise((resolve) => child.on("exit", resolve)), 0);
  assert.equal(JSON.parse(text).family, "vit");
  assert.ok(hub.sent.get(WEIGHTS)! < more / 2, `${hub.sent.get(WEIGHTS)} bytes were sent`);
  assert.deepEqual(await cached({ cacheDir }), []);
});

test("PyTorch files by name, sharded, where main has no safetensors", async (t) => {
  const { "golden.safetensors": _, ...files } = fixture("tests/fixtures/torch/sharded");
  const hub = await hubOf(t, files);
  const cacheDir = newCache();
  using model = await load("a/b", { cacheDir });
  assert.equal(model.config.family, "vit");
  const shards = Object.keys(hub.files).filter((name) => name.endsWith(".bin"));
  assert.equal(shards.length, 2);
  for (const name of shards) assert.ok(existsSync(snapshot(cacheDir, name)));
  // Offline, from what that left.
  using again = await load("a/b", { cacheDir, offline: true });
  assert.deepEqual(again.config, model.config);
});

test("shards of safetensors by name are in the files that their index names", async (t) => {
  const { [WEIGHTS]: _, "golden.safetensors": __, ...files } = fixture();
  const name = "model-00001-of-00001.safetensors";
  const weights = bytesOf(join(FIXTURE, WEIGHTS));
  const header = JSON.parse(
    Buffer.from(weights).toString("utf8", 8, 8 + Number(Buffer.from(weights).readBigUInt64LE())),
  );
  const map = Object.fromEntries(Object.keys(header).flatMap((tensor) => (tensor[0] === "_" ? [] : [[tensor, name]])));
  const index = new TextEncoder().encode(JSON.stringify({ weight_map: map }));
  await hubOf(t, { ...files, [name]: weights, "model.safetensors.index.json": index });
  using model = await load("a/b", { cacheDir: newCache() });
  using own = await load(FIXTURE);
  assert.deepEqual(await model.classify(IMAGE), await own.classify(IMAGE));
});

test("command line: of a PyTorch file, inspect reads the pickle alone and keeps nothing", async (t) => {
  const { "golden.safetensors": _, ...files } = fixture("tests/fixtures/torch/sharded");
  const name = "pytorch_model-00001-of-00002.bin";
  const source = fromBytes(files[name]!, name);
  const members: Member[] = [{ name: "archive/more", data: new Uint8Array(30_000_000) }];
  for (const entry of await readDirectory(source, assert.fail)) {
    members.push({ name: entry.name, data: await readEntry(source, entry, assert.fail) });
  }
  const file = zip(members);
  files[name] = file;
  const hub = await hubOf(t, files);
  hub.pace = 10;
  const cacheDir = newCache();
  const args = [CLI, "inspect", "--model", "a/b", "--cache-dir", cacheDir, "--json"];
  const child = spawn(process.execPath, args, { env: process.env, stdio: ["ignore", "pipe", "inherit"] });
  const text = await child.stdout.setEncoding("utf8").toArray();
  const { format, family } = JSON.parse(text.join(""));
  assert.deepEqual([format, family], ["PyTorch", "vit"]);
  assert.ok(hub.sent.get(name)! < file.length / 2, `${hub.sent.get(name)} bytes of ${file.length} were sent`);
  assert.deepEqual(await cached({ cacheDir }), []);
});

test("command line: of a file before PyTorch 1.6, inspect asks for its beginning, however many storages it has", async (t) => {
  const legacy = "tests/fixtures/torch/legacy-model";
  const hub = await hubOf(t, fixture(legacy));
  const cacheDir = newCache();
  const args = [CLI, "inspect", "--model", "a/b", "--cache-dir", cacheDir, "--json"];
  const child = spawn(process.execPath, args, { env: process.env, stdio: ["ignore", "pipe", "inherit"] });
  const text = await child.stdout.setEncoding("utf8").toArray();
  const { format, family } = JSON.parse(text.join(""));
  assert.deepEqual([format, family], ["PyTorch", "vit"]);
  const asked = bodies(hub, "pytorch_model.bin").length;
  assert.ok(asked <= 4, `${asked} requests`);
  // It is whole all the same: what a storage says of itself counts when it is read.
  using model = await load("a/b", { cacheDir });
  assert.equal(model.config.family, "vit");
});

const CONVERSION = "89abcdef0123456789abcdef0123456789abcdef";
/** The bot's pull request on the repository as it is. */
const PULL: PullRequest = {
  num: 32,
  title: "Adding `safetensors` variant of this model",
  status: "open",
  author: "SFconvertbot",
  parent: COMMIT,
  commit: CONVERSION,
  files: { [WEIGHTS]: bytesOf(join(FIXTURE, WEIGHTS)) },
};

/** A repository as openai/clip-vit-base-patch32 is: a PyTorch file on main, which is broken here so that reading it shows. */
function unconverted(): Record<string, Uint8Array> {
  const files = Object.entries(fixture()).filter(([name]) => !name.endsWith(".safetensors"));
  return { ...Object.fromEntries(files), "pytorch_model.bin": new Uint8Array(1000) };
}

test("the bot's pull request stands in for safetensors that main lacks", async (t) => {
  const hub = await hubOf(t, unconverted());
  hub.pullRequests = [{ ...PULL, num: 7, author: "somebody", commit: "f".repeat(40) }, PULL];
  const cacheDir = newCache();
  using model = await load("a/b", { cacheDir });
  using own = await load(FIXTURE);
  assert.deepEqual(await model.classify(IMAGE), await own.classify(IMAGE));
  assert.ok(existsSync(join(cacheDir, "models--a--b/snapshots", CONVERSION, WEIGHTS)));
  assert.ok(existsSync(snapshot(cacheDir, "config.json")));
  assert.deepEqual(bodies(hub, "pytorch_model.bin"), []);
  using offline = await load("a/b", { cacheDir, offline: true });
  assert.deepEqual(await offline.classify(IMAGE), await own.classify(IMAGE));
  // Of one without main's commit below it nothing is left.
  hub.asked.length = 0;
  using again = await load("hf-hub:a/b@main", { cacheDir });
  assert.deepEqual(again.config, own.config);
  assert.deepEqual(bodies(hub), []);
});

for (const [what, pull] of Object.entries({
  "by somebody else": { ...PULL, author: "somebody" },
  "of another title": { ...PULL, title: "Adding safetensors" },
  "that is closed": { ...PULL, status: "closed" },
  "that is a discussion": { ...PULL, isPullRequest: false },
  "on what main was before": { ...PULL, parent: "e".repeat(40) },
})) {
  test(`a pull request ${what} is not taken`, async (t) => {
    const hub = await hubOf(t, unconverted());
    hub.pullRequests = [pull];
    assert.match(
      await messageOf(load("a/b", { cacheDir: newCache() })),
      /^checkpoint: "[^"]*pytorch_model\.bin" must be of torch\.save or safetensors; it begins as neither does$/,
    );
    assert.deepEqual(bodies(hub), []);
  });
}

test("openai/clip-vit-base-patch32: by the bot's pull request, and without it by the PyTorch file on main", async (t) => {
  const name = "openai/clip-vit-base-patch32";
  const folder = "tests/fixtures/checkpoints/hf-clip";
  const bin = bytesOf("tests/fixtures/torch/clip/pytorch_model.bin");
  const { [WEIGHTS]: converted, "golden.safetensors": _, ...others } = fixture(folder);
  const hub = await hubOf(t, { ...others, "pytorch_model.bin": bin }, name);
  using here = await load(folder);
  const want = [await here.embed(IMAGE), await here.text!.embed("a cat")];
  for (const pulls of [[{ ...PULL, files: { [WEIGHTS]: converted! } }], []]) {
    hub.pullRequests = pulls;
    hub.asked.length = 0;
    using model = await load(name, { cacheDir: newCache() });
    assert.deepEqual([await model.embed(IMAGE), await model.text!.embed("a cat")], want);
    const [ofBin, ofSafetensors] = [bodies(hub, "pytorch_model.bin").length, bodies(hub).length];
    assert.deepEqual([ofBin > 0, ofSafetensors > 0], pulls.length > 0 ? [false, true] : [true, false]);
  }
});

test("an adapter's base by its name on the Hub, at the revision that the adapter names, and an adapter on the Hub", async (t) => {
  const adapters = "tests/fixtures/adapters";
  const folder = join(scratch, "adapter");
  cpSync(join(adapters, "vit-lora"), folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"));
  const write = (base: object) =>
    writeFileSync(join(folder, "adapter_config.json"), JSON.stringify({ ...config, ...base }));
  write({ base_model_name_or_path: "owner/model", revision: "v1" });
  const hub = await hubOf(t, fixture(join(adapters, "base/vit")), "owner/model");
  const cacheDir = newCache();
  using here = await load(join(adapters, "vit-lora"));
  const pixelValues = { dims: [1, 3, 16, 16], data: Float32Array.from({ length: 768 }, (_, i) => (i % 7) / 7) };
  const want = (await here.forward({ pixelValues })).logits.data;
  using model = await load(folder, { cacheDir });
  assert.deepEqual((await model.forward({ pixelValues })).logits.data, want);
  assert.ok(existsSync(join(cacheDir, "models--owner--model/refs/v1")));
  assert.equal(bodies(hub).length, 1);

  // An adapter's repository; the base is a folder here.
  const { "README.md": _, "expected.json": __, ...files } = fixture(join(adapters, "vit-lora"));
  await hubOf(t, files, "owner/adapter");
  using other = await load("owner/adapter", { cacheDir: newCache(), base: join(adapters, "base/vit") });
  assert.deepEqual((await other.forward({ pixelValues })).logits.data, want);
  // It names a path, which is nobody's business on this disk.
  const message = await messageOf(load("owner/adapter", { cacheDir: newCache() }));
  assert.match(message, /^load: "owner\/adapter" is a LORA adapter of "\.\.\/base\/vit": there is no such folder here/);
});

test("a revision that is named, and safetensors on main, ask for no pull request", async (t) => {
  const hub = await hubOf(t, unconverted());
  hub.pullRequests = [PULL];
  await assert.rejects(load("a/b@v1", { cacheDir: newCache() }), /begins as neither does/);
  hub.files = fixture();
  (await load("a/b", { cacheDir: newCache() })).dispose();
  assert.deepEqual(
    hub.asked.filter(({ what }) => what === "discussions" || what === "commits"),
    [],
  );
});

test("a disk that is full", async (t) => {
  const folder = newCache();
  mkdirSync(folder);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return t.skip("this user may not mount a small disk");
  }
  t.after(() => execFileSync("umount", [folder]));
  const hub = await hubOf(t, large);
  const message = await messageOf(bring({ cacheDir: folder }));
  const start = `hub: the cache "${folder}" is full, so "${WEIGHTS}" of "a/b" is not downloaded: ENOSPC`;
  assert.ok(message.startsWith(start), message);
  // What fits is kept, and gone on with when there is room.
  const { length } = bytesOf(`${blob(folder)}.incomplete`);
  execFileSync("mount", ["-o", "remount,size=8m", folder]);
  await bring({ cacheDir: folder });
  assertWhole(folder);
  assert.deepEqual(bodies(hub), [undefined, `bytes=${length}-`]);

  // A cache that cannot be written serves what it has.
  execFileSync("mount", ["-o", "remount,ro", folder]);
  await bring({ cacheDir: folder });
  await bring({ cacheDir: folder, revision: "v1" });
  assert.match(
    await messageOf((await open({ cacheDir: folder })).bytes("config.json")),
    /is read-only, so "config.json" of "a\/b" is not downloaded: EROFS/,
  );
});

test("a cache that cannot be made", async (t) => {
  await hubOf(t, large);
  const cacheDir = join(IMAGE, "cache");
  const message = await messageOf(bring({ cacheDir }));
  const start = `hub: the cache "${realpathSync(IMAGE)}/cache" cannot be written, so "${WEIGHTS}" of "a/b" is not downloaded: ENOTDIR`;
  assert.ok(message.startsWith(start), message);
});

test("what is cached is listed and removed, and nothing else", async (t) => {
  await hubOf(t, large);
  const cacheDir = newCache();
  assert.deepEqual(await cached({ cacheDir }), []);
  await bring({ cacheDir });
  await bring({ cacheDir, revision: "refs/pr/1" });
  const other = join(cacheDir, "models--c--d/blobs");
  mkdirSync(other, { recursive: true });
  writeFileSync(join(other, "x.incomplete"), "12345");
  const expected = { repo: "a/b", revisions: ["main", "refs/pr/1"], commits: [COMMIT], bytes: 3_000_000 };
  const others = { repo: "c/d", revisions: [], commits: [], bytes: 5 };
  assert.deepEqual(await cached({ cacheDir }), [expected, others]);
  await clear("a/b", { cacheDir });
  await clear("e/f", { cacheDir });
  assert.deepEqual(await cached({ cacheDir }), [others]);
  await assert.rejects(clear("../c", { cacheDir }), { name: "RangeError" });
  await assert.rejects(clear(undefined, { cacheDir }), {
    name: "RangeError",
    message: `hub: the cache "${cacheDir}" may hold other programs' models, so that one must be named to be removed`,
  });
});

test("options that are none", async () => {
  const wrong: [object, RegExp][] = [
    [{ revision: 1 }, /^load: revision must be a string; got 1$/],
    [{ offline: "yes" }, /^load: offline must be a boolean; got "yes"$/],
    [{ fetch: true }, /^load: fetch must be a function; got true$/],
  ];
  for (const [options, message] of wrong)
    await assert.rejects(load("a/b", options as never), { name: "TypeError", message });
});

test("a fetch of one's own is asked for everything", async (t) => {
  await hubOf(t, large);
  const urls: string[] = [];
  const own: typeof fetch = (url, init) => {
    urls.push(String(url));
    return fetch(url, init);
  };
  await bring({ cacheDir: newCache(), fetch: own });
  assert.equal(urls.length, 2);
});

/** For a server that is given up soon. */
const SHORT: Patience = { tries: 3, pause: 1, stall: 1000 };
async function take(hub: HubServer, request: { from?: number; size?: number } = {}): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const url = `${hub.endpoint}/a/b/resolve/${COMMIT}/${WEIGHTS}`;
  for await (const chunk of download(url, { name: "file: x", ...request }, SHORT)) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

test("download: a server that stalls, refuses or ends early is given up after some tries", async (t) => {
  const hub = await hubOf(t, large);
  const size = 3_000_000;
  hub.faults[WEIGHTS] = [
    { kind: "stall", bytes: 0 },
    { kind: "stall", bytes: 1000 },
    { kind: "stall", bytes: 0 },
  ];
  assert.ok(Buffer.from(await take(hub, { size })).equals(large[WEIGHTS]!));
  assert.deepEqual(bodies(hub), [undefined, undefined, "bytes=1000-", "bytes=1000-"]);

  hub.faults[WEIGHTS] = Array(3).fill({ kind: "stall", bytes: 0 });
  assert.equal(await messageOf(take(hub, { size })), "file: x cannot be read: no byte came for 1 seconds");
  hub.faults[WEIGHTS] = Array(3).fill({ kind: "status", status: 503 });
  assert.equal(await messageOf(take(hub, { size })), "file: x was answered with 503 Service Unavailable");
  hub.faults[WEIGHTS] = [{ kind: "status", status: 429, retryAfter: "3600" }];
  const message = "file: x was answered with 429 Too Many Requests and asks to wait for 3600 seconds";
  assert.equal(await messageOf(take(hub, { size })), message);
  assert.equal(
    await messageOf(take(hub, { size: size + 1 })),
    "file: x cannot be read: it ended after 3000000 bytes; 3000001 were expected",
  );
  assert.equal((await take(hub, { from: 2_999_990, size })).length, 10);
});

test("download: without a size, a file that changes between two tries is an error", async (t) => {
  const hub = await hubOf(t, large);
  hub.faults[WEIGHTS] = [{ kind: "cut", bytes: 1_000_000 }];
  const loading = take(hub);
  while (hub.sent.get(WEIGHTS) === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  hub.files = { [WEIGHTS]: new Uint8Array(3_000_000) };
  assert.equal(await messageOf(loading), "file: x changed while it was read");
});

test("a server that is not there is asked twice", async () => {
  let asked = 0;
  const fetch = async () => {
    asked++;
    throw new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") });
  };
  const found = await isThere("http://127.0.0.1:1/x", { name: "file: x", fetch }, SHORT).catch((error) => error);
  assert.deepEqual(
    [found.message, statusOf(found), asked],
    ["file: x cannot be read: connect ECONNREFUSED", undefined, 2],
  );
});

test("a checkpoint at a web address: below it, or a file with the others beside it", async (t) => {
  const hub = await hubOf(t, fixture());
  const base = `${hub.endpoint}/a/b/resolve/${COMMIT}`;
  using folder = await load(FIXTURE);
  const expected = await folder.classify(IMAGE);
  for (const address of [base, `${base}/`, new URL(`${base}/`), `${base}/${WEIGHTS}?download=true`]) {
    using model = await load(address);
    assert.deepEqual(await model.classify(IMAGE), expected, String(address));
  }
  hub.faults[WEIGHTS] = [{ kind: "whole" }, { kind: "cut", bytes: 70_000 }];
  using cut = await load(base);
  assert.deepEqual(await cut.classify(IMAGE), expected);

  await assert.rejects(load(`${hub.endpoint}/nothing?key=secret`), {
    message:
      `checkpoint: folder "${hub.endpoint}/nothing" must hold model.safetensors, pytorch_model.bin, the index of either ` +
      "or one other file of weights; it holds none of the usual names",
  });
  await assert.rejects(load(`${base}/other.safetensors`), {
    message: `file: "${base}/other.safetensors" was answered with 404 Not Found`,
  });
});

test("an archive of NumPy's at a web address", async (t) => {
  const hub = await hubOf(t, fixture("tests/fixtures/checkpoints/npz-vit"));
  using folder = await load("tests/fixtures/checkpoints/npz-vit");
  using model = await load(`${hub.endpoint}/a/b/resolve/${COMMIT}`);
  assert.deepEqual(await model.classify(IMAGE), await folder.classify(IMAGE));
});

test("PyTorch files at a web address, and pages in their place", async (t) => {
  const files = fixture("tests/fixtures/torch/training");
  const hub = await hubOf(t, { ...files, "page.bin": new TextEncoder().encode("<!DOCTYPE html><html>") });
  const at = `${hub.endpoint}/a/b/resolve/${COMMIT}`;
  using model = await load(`${at}/checkpoint.pth.tar`, { config: { heads: 2 } });
  assert.equal(model.config.width, 8);
  assert.match(
    await messageOf(load(`${at}/page.bin`)),
    /^checkpoint: "[^"]*\/page\.bin" must be a file of weights; it is an HTML page, as a server sends in place of a file$/,
  );
});
