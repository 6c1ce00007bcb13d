/**
 * Images and files by path and address: what is allowed, how much of it is read and for how long it is waited, and what errors
 * tell. Servers are on this machine, lie, and send what they like; each test ends by a limit of ours, not by theirs.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import promises from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { imageOf } from "../src/cli/invocation.js";
import { download, isThere } from "../src/hub/download.js";
import { openImage } from "../src/image/index.js";
import { type BatchError, type ImageInput, type LoadOptions, load, type Model } from "../src/index.js";
import { parseJson } from "../src/json.js";
import { openFile, readFile } from "../src/platform/files.js";

const CHECKPOINT = "tests/fixtures/checkpoints/hf-vit";
const IMAGE = "tests/fixtures/image/rgb-420.jpg";
const JPEG = new Uint8Array(readFileSync(IMAGE));
/** Less than what any limit allows, and more than the work takes on a busy machine. */
const SOON = 20_000;

const scratch = mkdtempSync(join(tmpdir(), "vitrail-sources-"));
for (const name of Object.keys(process.env)) if (/^(HF|HUGGING|TRANSFORMERS)_?/.test(name)) delete process.env[name];
process.env.HF_HOME = join(scratch, "home");

/** What a server does, by path. */
const pages: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {};
/** Bytes that it wrote, and requests, by path. */
const written = new Map<string, number>();
const asked: string[] = [];
const [server, other] = [0, 1].map(() =>
  createServer((request, response) => {
    const path = request.url!.replace(/\?.*$/, "");
    asked.push(path);
    const page = pages[path];
    if (page) page(request, response);
    else response.writeHead(404, "the secret of the server").end("the secret of the server");
  }),
) as [ReturnType<typeof createServer>, ReturnType<typeof createServer>];
let [base, elsewhere] = ["", ""];

before(async () => {
  for (const it of [server, other]) await new Promise<void>((resolve) => it.listen(0, "127.0.0.1", resolve));
  [base, elsewhere] = [server, other].map((it) => `http://127.0.0.1:${(it.address() as AddressInfo).port}`) as [
    string,
    string,
  ];
});
after(() => {
  for (const it of [server, other]) {
    it.closeAllConnections();
    it.close();
  }
  rmSync(scratch, { recursive: true });
});

/** Writes chunks until the other side has had enough. */
async function writeAll(path: string, response: ServerResponse, chunk: Uint8Array): Promise<void> {
  while (!response.destroyed) {
    await new Promise((resolve) => response.write(chunk, resolve));
    written.set(path, (written.get(path) ?? 0) + chunk.length);
  }
}

pages["/cat.jpg"] = (_, response) => response.end(JPEG);
pages["/text"] = (_, response) => response.end("root:x:0:0:secret");
pages["/endless"] = (_, response) => void writeAll("/endless", response, new Uint8Array(1 << 16));
/** 1,000 times less than what it becomes. */
const BOMB = gzipSync(Buffer.alloc(100_000_000));
pages["/bomb"] = (_, response) => {
  response.setHeader("Content-Encoding", "gzip");
  response.end(BOMB);
};
pages["/silent"] = () => {};
pages["/stalled"] = (_, response) => void response.write(JPEG.subarray(0, 100));
pages["/drip"] = (_, response) => {
  const timer = setInterval(() => response.write("x"), 20);
  response.on("close", () => clearInterval(timer));
};
pages["/long"] = (_, response) => response.writeHead(200, { "Content-Length": "1e9" }).write("x");
pages["/longer"] = (_, response) => response.writeHead(200, { "Content-Length": "5000000000" }).write("x");
pages["/short"] = (_, response) => {
  response.writeHead(200, { "Content-Length": "1000" }).write("x");
  setTimeout(() => response.destroy(), 20);
};
const redirect = (to: () => string) => (_: IncomingMessage, response: ServerResponse) =>
  void response.writeHead(302, { Location: to() }).end();
pages["/loop"] = redirect(() => "/loop");
pages["/loop.safetensors"] = redirect(() => "/loop.safetensors");
pages["/to-cat"] = redirect(() => `${elsewhere}/cat.jpg?key=secret`);
pages["/to-text"] = redirect(() => `${elsewhere}/text?key=secret`);
pages["/to-nothing"] = redirect(() => `${elsewhere}/nothing?key=secret`);
pages["/to-file"] = pages["/to-file.safetensors"] = redirect(() => "file:///etc/passwd");

const thrownBy = async (promise: Promise<unknown>): Promise<Error> => {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
};
const messageOf = async (promise: Promise<unknown>) => (await thrownBy(promise)).message;
/** Nothing of it, its cause or its stack tells what must not be told. */
const assertTells = (error: Error, secret: RegExp) => assert.doesNotMatch(inspect(error, { depth: 9 }), secret);

const loaded: Model[] = [];
after(() => {
  for (const model of loaded) model.dispose();
});
async function modelOf(options: LoadOptions): Promise<Model> {
  const model = await load(CHECKPOINT, { backend: "wasm", threads: 1, ...options });
  loaded.push(model);
  return model;
}

/* What an image may be. */

const PIXELS = { data: new Uint8Array(3 * 40 * 30), width: 40, height: 30 };
const DATA = `data:image/jpeg;base64,${Buffer.from(JPEG).toString("base64")}`;
const INPUTS: Record<"bytes" | "files" | "urls", () => ImageInput[]> = {
  bytes: () => [JPEG, JPEG.slice().buffer, new Blob([JPEG]), new File([JPEG], "cat.jpg"), PIXELS],
  files: () => [IMAGE, `./${IMAGE}`, String(pathToFileURL(IMAGE)), pathToFileURL(IMAGE)],
  urls: () => [`${base}/cat.jpg`, new URL(`${base}/cat.jpg`), DATA, DATA.replace("data", "DATA")],
};
const KINDS = { bytes: "in memory", files: "a file", urls: "an address" };
type Kind = keyof typeof INPUTS;

test("sources: what is not among them is refused in one sentence and not touched, alone and in lists", async () => {
  const all = Object.keys(INPUTS) as Kind[];
  for (const sources of [["bytes"], ["files"], ["urls"], ["bytes", "urls"], all] as Kind[][]) {
    const model = await modelOf({ sources });
    const allowed = sources.flatMap((kind) => INPUTS[kind]());
    const rows = await model.embed(allowed);
    assert.equal(rows.length, allowed.length * model.config.width);
    for (const input of allowed) await openImage(input, { sources });

    asked.length = 0;
    for (const kind of all.filter((kind) => !sources.includes(kind))) {
      const rule = `is ${KINDS[kind]}, and sources are ${sources.join(" and ")}; `;
      for (const input of INPUTS[kind]()) {
        for (const call of [() => model.classify(input), () => openImage(input, { sources })]) {
          const { message } = await thrownBy(call());
          assert.ok(message.startsWith("image: ") && message.includes(rule), message);
          assert.ok(message.endsWith(`add "${kind}" to the option sources`), message);
        }
      }
      const list = [...INPUTS[kind](), ...allowed];
      const batch = (await thrownBy(model.classify(list))) as BatchError<unknown>;
      assert.equal(batch.errors.length, INPUTS[kind]().length);
      assert.ok(batch.errors.every(({ message }: Error) => message.includes(rule)));
      assert.equal(batch.results.filter(Boolean).length, allowed.length);
    }
    if (!sources.includes("urls")) assert.deepEqual(asked, []);
  }
  assert.equal(
    await messageOf(openImage("/etc/passwd", { sources: ["bytes"] })),
    'image: "/etc/passwd" is a file, and sources are bytes; give its bytes, or add "files" to the option sources',
  );
});

test("sources: settled at load, and checked", async () => {
  const sources: Kind[] = ["bytes"];
  const model = await modelOf({ sources });
  sources.push("files");
  assert.match(await messageOf(model.classify(IMAGE)), /^image: .* is a file, and sources are bytes; /);
  for (const wrong of ["bytes", [], ["byte"], ["bytes", 1], [["bytes"]], {}, null, 5]) {
    const message = `sources must be a list of bytes, files, urls; got ${JSON.stringify(wrong)}`;
    const options = { sources: wrong as never };
    await assert.rejects(load(CHECKPOINT, options), { name: "RangeError", message: `load: ${message}` });
    await assert.rejects(openImage(JPEG, options), { name: "RangeError", message: `openImage: ${message}` });
  }
});

test("a fetch of one's own is asked for images too, alone and in lists, and for nothing that is in memory", async () => {
  const urls: string[] = [];
  const own: typeof fetch = async (url, init) => {
    urls.push(String(url));
    if (String(url).includes("inside")) throw new Error("inside is not asked");
    return fetch(url, init);
  };
  const model = await modelOf({ fetch: own });
  const expected = await model.classify(IMAGE);
  assert.deepEqual(await model.classify(`${base}/cat.jpg`), expected);
  const list = Array.from({ length: 12 }, (_, i) => (i % 3 === 0 ? DATA : `${base}/cat.jpg?${i}`));
  assert.deepEqual(await model.classify(list), Array(12).fill(expected));
  await openImage(`${base}/cat.jpg`, { fetch: own });
  assert.equal(urls.length, 10);
  const inside = `file: "${base}/inside" cannot be read: inside is not asked`;
  assert.equal(await messageOf(model.classify(`${base}/inside`)), inside);
  const batch = (await thrownBy(model.classify([`${base}/inside`, IMAGE]))) as BatchError<unknown>;
  assert.deepEqual([batch.errors.length, batch.errors[0].message], [1, inside]);
  assert.deepEqual(batch.results, [undefined, expected]);
});

/* What is no file, or another than it says. */

const windows = process.platform === "win32" && "pipes, sockets and devices are not in Windows' folders";
const linux = !existsSync("/proc/self/environ") && "there is no /proc";

test("devices, pipes, sockets and directories are refused at once, as images and as files of checkpoints", {
  skip: windows,
  timeout: SOON,
}, async (t) => {
  const [fifo, socket] = [join(scratch, "fifo"), join(scratch, "socket")];
  execFileSync("mkfifo", [fifo]);
  const listener = createSocket();
  await new Promise<void>((resolve) => listener.listen(socket, resolve));
  t.after(() => listener.close());
  const links = ["/dev/zero", fifo, socket, scratch].map((target, i) => {
    const link = join(scratch, `link-${i}`);
    symlinkSync(target, link);
    return link;
  });
  const things = ["/dev/zero", "/dev/full", fifo, socket, ...links.slice(0, 3)];

  const model = await modelOf({});
  for (const path of [...things, scratch, links[3]!]) {
    const message = `file: "${path}" is ${things.includes(path) ? "not a regular file" : "a directory, not a file"}`;
    for (const read of [
      () => model.classify(path),
      () => openImage(path),
      () => readFile(path),
      () => openFile(path),
    ]) {
      assert.equal(await messageOf(read()), message);
    }
    const batch = (await thrownBy(model.classify([path, IMAGE, path]))) as BatchError<unknown>;
    assert.deepEqual(
      batch.errors.map((error: Error) => error.message),
      [message, message],
    );
  }

  for (const name of ["config.json", "preprocessor_config.json", "model.safetensors"]) {
    for (const thing of things) {
      const folder = mkdtempSync(join(scratch, "checkpoint-"));
      for (const file of readdirSync(CHECKPOINT)) copyFileSync(join(CHECKPOINT, file), join(folder, file));
      rmSync(join(folder, name));
      symlinkSync(thing, join(folder, name));
      assert.equal(await messageOf(load(folder)), `file: "${folder}/${name}" is not a regular file`);
    }
  }
  // A cache that somebody else can write, and a token that is none, are no reason to wait.
  process.env.HF_TOKEN_PATH = fifo;
  const refs = join(scratch, "cache/models--a--b/refs");
  mkdirSync(refs, { recursive: true });
  symlinkSync("/dev/zero", join(refs, "main"));
  const offline = load("a/b", { cacheDir: join(scratch, "cache"), offline: true });
  assert.match(await messageOf(offline), /^hub: "a\/b" at main is not in the cache /);
  delete process.env.HF_TOKEN_PATH;
});

test("a path that leads elsewhere when it is opened", { skip: windows, timeout: SOON }, async (t) => {
  const [path, pipe] = [join(scratch, "swapped"), join(scratch, "swapped-pipe")];
  execFileSync("mkfifo", [pipe]);
  const { stat } = promises;
  t.after(() => {
    promises.stat = stat;
  });
  for (const target of [pipe, "/dev/zero", scratch]) {
    rmSync(path, { force: true });
    writeFileSync(path, "a file");
    // Between the look at it and the opening.
    promises.stat = (async (place: string) => {
      const stats = await stat(place);
      rmSync(path);
      symlinkSync(target, path);
      return stats;
    }) as typeof stat;
    const rule = target === scratch ? "a directory, not a file" : "not a regular file";
    assert.equal(await messageOf(readFile(path)), `file: "${path}" is ${rule}`);
  }
});

test("files that say they are empty are read to their end, and counted", { skip: linux }, async () => {
  const bytes = await readFile("/proc/self/environ");
  assert.ok(bytes.length > 5);
  assert.deepEqual(bytes, new Uint8Array(readFileSync("/proc/self/environ")));
  assert.equal(
    await messageOf(readFile("/proc/self/environ", { maxBytes: 5 })),
    'file: "/proc/self/environ" has more than 5 bytes, and at most 5 are read',
  );
  // Longer than the first piece that is read of such a file.
  const long = await readFile("/proc/self/smaps");
  assert.ok(long.length > 65536, `${long.length}`);
  assert.match(Buffer.from(long.subarray(-100)).toString(), /VmFlags: [\w ]+\n$/);

  assert.equal(
    await messageOf(openImage("/proc/self/environ")),
    'decode: "/proc/self/environ" is not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file',
  );
  assert.match(
    await messageOf(load("/proc/self/environ")),
    /^checkpoint: "\/proc\/self\/environ" must be a file of weights; it is empty$/,
  );
});

test("a file is refused by its size before it is read", { timeout: SOON }, async () => {
  const path = join(scratch, "large");
  writeFileSync(path, new Uint8Array(1000));
  assert.equal((await readFile(path, { maxBytes: 1000 })).length, 1000);
  assert.equal(
    await messageOf(readFile(path, { maxBytes: 999 })),
    `file: "${path}" has 1,000 bytes, and at most 999 are read`,
  );
  // A terabyte that takes no room.
  truncateSync(path, 2 ** 40);
  assert.match(await messageOf(openImage(path)), /^file: ".*" has 1,099,511,627,776 bytes, and at most /);
});

/* What a server sends. */

const MB = 1_000_000;
const read = (path: string, more = {}) => readFile(base + path, { maxBytes: MB, stall: 400, ...more });

test("servers that send without end, or 1,000 times what they sent, are counted and stopped", {
  timeout: SOON,
}, async () => {
  assert.equal(
    await messageOf(read("/endless")),
    `file: "${base}/endless" has more than 1,000,000 bytes, and at most 1,000,000 are read`,
  );
  await stopped("/endless");
  assert.match(await messageOf(read("/bomb")), /\/bomb" has more than 1,000,000 bytes, and at most/);
  assert.match(await messageOf(read("/long", { maxBytes: 1000 })), /cannot be read: |no byte came/);
  assert.match(
    await messageOf(readFile(`${base}/endless`)),
    /has more than 100,000,000 bytes, and at most 100,000,000 are/,
  );
  assert.equal(
    await messageOf(read("/longer")),
    `file: "${base}/longer" has 5,000,000,000 bytes, and at most 1,000,000 are read`,
  );
  assert.match(await messageOf(read("/short")), /^file: "http:\S*\/short" cannot be read: /);

  // Images have a limit by their pixels.
  written.clear();
  const limit = (8 * 1000 + 2 ** 26).toLocaleString("en-US");
  const message = `file: "${base}/endless" has more than ${limit} bytes, and at most ${limit} are read`;
  assert.equal(await messageOf(openImage(`${base}/endless`, { pixelLimit: 1000 })), message);
  await stopped("/endless");
  assert.ok(written.get("/endless")! < 80 * MB, `${written.get("/endless")} bytes were sent`);
  const model = await modelOf({ pixelLimit: 1000 });
  const batch = (await thrownBy(model.classify([`${base}/endless`, PIXELS as never].reverse()))) as BatchError<unknown>;
  assert.ok(batch.errors.some((error: Error) => error.message === message));
});

/** Waits until a server has noticed that nobody reads any more. */
async function stopped(path: string): Promise<void> {
  for (let last = -1; last !== written.get(path); ) {
    last = written.get(path)!;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("standard input is counted", async () => {
  const chunks = async function* () {
    for (;;) yield new Uint8Array(1000);
  };
  const few = (async function* () {
    yield JPEG;
  })();
  assert.equal((await imageOf(few, JPEG.length)).size, JPEG.length);
  assert.equal(
    await messageOf(imageOf(chunks(), 10_000)),
    'image: "-" has more than 10,000 bytes, and at most 10,000 are read',
  );
});

test("servers that stall, or drip, are given up; a signal ends at once", { timeout: SOON }, async () => {
  for (const path of ["/silent", "/stalled"]) {
    assert.equal(await messageOf(read(path)), `file: "${base}${path}" cannot be read: no byte came for 0.4 seconds`);
  }
  assert.equal(
    await messageOf(read("/drip")),
    `file: "${base}/drip" cannot be read: fewer than 1,000 bytes a second came`,
  );
  // The same from a fetch that does not care for its signal.
  const endless = new ReadableStream({ pull: () => new Promise(() => {}) });
  const own = async () => new Response(endless);
  assert.match(await messageOf(read("/x", { fetch: own })), /no byte came for 0.4 seconds/);
  assert.match(await messageOf(read("/x", { fetch: () => new Promise(() => {}) })), /no byte came for 0.4 seconds/);

  const model = await modelOf({});
  const reason = new Error("changed my mind");
  for (const images of [`${base}/silent`, [`${base}/silent`, `${base}/stalled`, IMAGE]]) {
    const end = new AbortController();
    setTimeout(() => end.abort(reason), 200);
    assert.equal(await thrownBy(model.classify(images as string, { signal: end.signal })), reason);
  }
});

test("checkpoints: a server that drips or cuts after a byte is given up after some tries", {
  timeout: SOON,
}, async () => {
  const patience = { tries: 3, pause: 1, stall: 200 };
  const take = async (path: string) => {
    for await (const _ of download(base + path, { name: "file: x" }, patience));
  };
  const count = (path: string) => asked.filter((name) => name === path).length;
  asked.length = 0;
  assert.equal(await messageOf(take("/drip")), "file: x cannot be read: fewer than 1,000 bytes a second came");
  assert.equal(count("/drip"), 3);
  assert.match(await messageOf(take("/short")), /^file: x cannot be read: /);
  assert.equal(count("/short"), 3);
});

test("redirections: loops end, other schemes are not followed, and errors name both addresses", {
  timeout: SOON,
}, async () => {
  assert.match(await messageOf(read("/loop")), /^file: "http:\S*\/loop" cannot be read: redirect count exceeded$/);
  assert.match(await messageOf(read("/to-file")), /^file: "http:\S*\/to-file" cannot be read: /);
  for (const path of ["/loop.safetensors", "/to-file.safetensors"]) {
    assert.match(await messageOf(load(base + path)), /^file: "http:\S*" cannot be read: /);
  }
  const to = (name: string) => `"${base}/to-${name}" (redirected to "${elsewhere}/${name}")`;
  const model = await modelOf({});
  const expected = await model.classify(IMAGE);
  assert.deepEqual(
    await model.classify([`${base}/to-cat`, `${base}/cat.jpg`, `${base}/to-cat`]),
    Array(3).fill(expected),
  );

  const text = `decode: ${to("text")} is not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file`;
  const nothing = `file: ${to("nothing")} was answered with 404 Not Found`;
  assert.equal(await messageOf(model.classify(`${base}/to-text`)), text);
  assert.equal(await messageOf(openImage(`${base}/to-nothing`)), nothing);
  const batch = (await thrownBy(
    model.classify([`${base}/to-text`, `${base}/to-nothing`, IMAGE]),
  )) as BatchError<unknown>;
  assert.deepEqual(
    batch.errors.map((error: Error) => error.message),
    [text, nothing],
  );
  const request = { name: `file: "${base}/to-nothing"`, isAddress: true };
  const found = await thrownBy(download(`${base}/to-nothing`, request).next());
  assert.equal(found.message, nothing);
  assertTells(found, /secret/);
  assert.equal(await isThere(`${base}/to-nothing`, request), false);
});

test("checkpoints at addresses: JSON, listings and archives that never end are stopped", {
  timeout: 60_000,
}, async () => {
  pages["/model/config.json"] = pages["/endless"]!;
  pages["/model/model.safetensors"] = (_, response) => response.end("x");
  pages["/npz/model.npz"] = pages["/endless"]!;
  const limit = (2 ** 24).toLocaleString("en-US");
  assert.equal(
    await messageOf(load(`${base}/model`)),
    `file: "${base}/model/config.json" has more than ${limit} bytes`,
  );
  assert.equal(
    await messageOf(load(`${base}/npz/model.npz`)),
    `npz: "${base}/npz/model.npz" must be a zip of .npy files; it is something else`,
  );
  const clip = "tests/fixtures/checkpoints/hf-clip";
  for (const name of readdirSync(clip))
    pages[`/clip/${name}`] = (_, response) => response.end(readFileSync(join(clip, name)));
  pages["/clip/tokenizer.json"] = pages["/endless"]!;
  using model = await load(`${base}/clip`);
  assert.equal(
    await messageOf(model.text!.embed("a")),
    `file: "${base}/clip/tokenizer.json" has more than 100,000,000 bytes`,
  );
  process.env.HF_ENDPOINT = base;
  for (const page of ["/endless", "/bomb"]) {
    pages["/api/models/a/b/revision/main"] = pages[page]!;
    assert.equal(await messageOf(load("a/b")), `hub: "a/b" at main has more than ${limit} bytes`);
  }
  delete process.env.HF_ENDPOINT;
});

/* What errors tell. */

test("no error quotes what a file holds, whatever file is taken for whichever", { timeout: 60_000 }, async () => {
  const length = (text: string) => {
    const bytes = Buffer.alloc(8 + text.length);
    bytes.writeBigUInt64LE(BigInt(text.length));
    bytes.write(text, 8);
    return bytes;
  };
  const contents: Record<string, string | Uint8Array> = {
    line: "root:x:0:0:SECRET:/root",
    word: "SECRET",
    text: '"SECRET"',
    list: '["SECRET"]',
    cut: '{"a": "SECRET',
    constant: '{"a": SECRET}',
    deep: '{"SECRET": {"SECRET": ["SECRET"]}}',
    map: '{"weight_map": "SECRET"}',
    shards: '{"weight_map": {"a": "../SECRET"}}',
    "header of text": length("SECRET=x\n"),
    "header of other JSON": length('["SECRET"]'),
    "header that is cut": length('{"a": "SECRET"'),
    // The beginning of an array of NumPy's, and no more.
    array: Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), Buffer.from("SECRET=SECRET\n")]),
    "not UTF-8": Buffer.from("SECRET\xff", "latin1"),
    zip: Buffer.from("PK\x03\x04SECRET"),
  };
  const files = [
    ...["config.json", "preprocessor_config.json", "model.safetensors", "model.safetensors.index.json"],
    ...["tokenizer.json", "tokenizer_config.json", "model.npz"],
  ];
  const source = "tests/fixtures/checkpoints/hf-clip";
  let seen = 0;
  for (const [what, content] of Object.entries(contents)) {
    for (const file of files) {
      const folder = mkdtempSync(join(scratch, "quoted-"));
      const replaced = file.startsWith("model.") ? /^model\./ : new RegExp(`^${file}$`);
      for (const name of readdirSync(source)) {
        if (!replaced.test(name)) copyFileSync(join(source, name), join(folder, name));
      }
      writeFileSync(join(folder, file), content);
      const use = async () => {
        using model = await load(folder);
        await model.zeroShot(IMAGE, ["a", "b"]);
      };
      const error = await use().catch((error: Error) => error);
      if (!error) continue;
      seen++;
      // Names of tensors and files, which a checkpoint of JSON that parses is made of, are told.
      if (!(what === "deep" || (what === "shards" && /missing|names/.test(error.message)))) {
        assert.doesNotMatch(inspect(error, { depth: 9 }), /SECRET|root:x/, `${what} as ${file}`);
      }
    }
    const path = join(scratch, `quoted ${what}`);
    writeFileSync(path, content);
    for (const read of [() => openImage(path), () => load(path), () => load(IMAGE, { wasm: path })]) {
      assert.doesNotMatch(inspect(await thrownBy(read()), { depth: 9 }), /SECRET|root:x/, what);
    }
  }
  assert.ok(seen > 60, `${seen}`);
});

test("no error quotes an image either, whatever follows its first bytes", async () => {
  const chunk = (name: string, text: string) => {
    const bytes = Buffer.alloc(12 + text.length);
    bytes.writeUInt32BE(text.length);
    bytes.write(name + text, 4);
    return bytes;
  };
  const png = [
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    readFileSync("tests/fixtures/image/rgb-8.png").subarray(8, 33),
  ];
  const secret = Buffer.from("SECR1T=SECR1T:SECR1T".repeat(20));
  const files = [
    [png[0]!, secret],
    [...png, secret],
    [...png, Buffer.alloc(4), secret],
    [...png, chunk("SE1T", "SECR1T")],
    [...png, chunk("IDAT", "SECR1T")],
    [Buffer.from("\xff\xd8\xff", "latin1"), secret],
    [JPEG.subarray(0, 200), secret],
    [Buffer.from("GIF89a"), secret],
    [Buffer.from("RIFF\x90\x01\x00\x00WEBP", "latin1"), secret],
    [Buffer.from("RIFF\x90\x01\x00\x00WEBPVP8L", "latin1"), secret],
    [secret],
  ];
  for (const [i, parts] of files.entries()) {
    const path = join(scratch, `image-${i}`);
    writeFileSync(path, Buffer.concat(parts));
    assertTells(await thrownBy(openImage(path)), /SE?C?R?1T|SECR/);
  }
});

test("what JSON is wrong with is told by place and kind", () => {
  const parse = (text: string | Uint8Array) => () => parseJson(Buffer.from(text as string), "file: x");
  assert.throws(parse(""), { message: "file: x is not valid JSON: it ends early" });
  assert.throws(parse('{"a": 1,}'), {
    message: /^file: x is not valid JSON: a character is out of place, at position 8$/,
  });
  assert.throws(parse("root"), { message: /^file: x is not valid JSON: a character is out of place/ });
  assert.throws(parse(Uint8Array.of(0x22, 0xff, 0x22)), { message: "file: x is not valid JSON: it is not UTF-8" });
});

test("a server's words are not told: bodies, names of statuses, what is no HTTP", async (t) => {
  for (const error of [
    await thrownBy(read("/nothing")),
    await thrownBy(load(`${base}/nothing.safetensors`)),
    await thrownBy(openImage(`${base}/text`)),
  ]) {
    assertTells(error, /secret|root:x/);
  }
  const banner = createSocket((socket) => socket.end("SSH-2.0-secret\r\n"));
  await new Promise<void>((resolve) => banner.listen(0, "127.0.0.1", resolve));
  t.after(() => banner.close());
  const address = `http://127.0.0.1:${(banner.address() as AddressInfo).port}/x.safetensors`;
  for (const error of [await thrownBy(openImage(address)), await thrownBy(load(address))]) {
    assert.match(error.message, /^file: "http:.*" cannot be read: /);
    assertTells(error, /secret/);
  }
  pages["/api/models/a/b/revision/main"] = (_, response) => response.end('{"sha": "secret"}');
  process.env.HF_ENDPOINT = base;
  const error = await thrownBy(load("a/b"));
  assert.equal(error.message, 'hub: the answer about "a/b" must name a commit; got a text');
  delete process.env.HF_ENDPOINT;
});

test("a token that no header can carry is refused and never told, wherever it comes from", async () => {
  process.env.HF_ENDPOINT = base;
  asked.length = 0;
  for (const token of [
    "hf_secret\nX-Evil: 1",
    "hf_secret\r\n",
    "hf_secret é",
    "hf_secret\u0000x",
    "hf_sec ret",
    "hf_secret\u2028",
  ]) {
    const bad = token.trim() !== "hf_secret";
    const check = async () => {
      const error = await thrownBy(load("a/b", { cacheDir: join(scratch, "none") }));
      assertTells(error, /hf_|secret|Evil/);
      assert.equal(/^hub: the token of /.test(error.message), bad, error.message);
    };
    const option = await thrownBy(load("a/b", { token, cacheDir: join(scratch, "none") }));
    assertTells(option, /hf_|secret|Evil/);
    if (!token.includes("\u0000")) {
      process.env.HF_TOKEN = token;
      await check();
      delete process.env.HF_TOKEN;
    }
    process.env.HF_TOKEN_PATH = join(scratch, "token");
    writeFileSync(process.env.HF_TOKEN_PATH, token);
    await check();
    delete process.env.HF_TOKEN_PATH;
  }
  for (const token of [["hf_secret"], { hf_secret: 1 }, Buffer.from("hf_secret")]) {
    assertTells(await thrownBy(load("a/b", { token: token as never })), /hf_|secret/);
  }
  delete process.env.HF_ENDPOINT;
});

test("a URL that is a path only, as Next's bundler makes them, is of the page", async (t) => {
  class PathOnly extends URL {
    override toString = () => this.pathname;
  }
  const path = new PathOnly("/cat.jpg", base);
  assert.equal(await messageOf(readFile(path)), 'file: "/cat.jpg" is not a valid address');
  Object.assign(globalThis, { location: new URL("/page/", base) });
  t.after(() => Reflect.deleteProperty(globalThis, "location"));
  assert.deepEqual(await readFile(path), JPEG);
});

test("user names and passwords of addresses are in no error", async () => {
  const host = base.replace("http://", "");
  const addresses = [
    `http://alice:w0nder@${host}/x`,
    `HTTP://alice:w0nder@${host}/x`,
    `http:alice:w0nder@${host}/x`,
    `http://alice:w0/nder@${host}/x`,
    `http://alice:w0#nder@${host}/x`,
    `http://alice:w0nder@`,
    `http://alice@${host}/x?key=w0nder#w0nder`,
    `https://alice:w0nder@[::1/x`,
    `ftp://alice:w0nder@${host}/x`,
  ];
  asked.length = 0;
  const model = await modelOf({});
  for (const address of addresses) {
    const urls = URL.canParse(address) ? [address, new URL(address)] : [address];
    for (const url of urls) {
      for (const use of [
        () => openImage(url),
        () => model.classify(url),
        () => model.classify([url, IMAGE]),
        () => load(url),
        () => load(url, { revision: "v1" }),
        () => load(CHECKPOINT, { backend: "wasm", wasm: url }),
      ]) {
        assertTells(await thrownBy(use()), /alice|w0|nder/);
      }
    }
    process.env.HF_ENDPOINT = address;
    assertTells(await thrownBy(load("a/b")), /alice|w0|nder/);
    delete process.env.HF_ENDPOINT;
  }
  assert.equal(
    await messageOf(openImage(addresses[0]!)),
    `file: "${base}/x" must be given without its user name and password, which the option fetch can send`,
  );
  assert.deepEqual(asked, []);
});

test("SECURITY.md's section names tests that there are", () => {
  const [, section] = /\n## Addresses and files\n(.*?)(?=\n## |$)/s.exec(readFileSync("SECURITY.md", "utf8"))!;
  const rows = [...section!.matchAll(/^\|(?! *-|.* test *\|$)[^|]+\|[^|]+\|([^|]+)\|$/gm)].map(([, tests]) =>
    tests!.trim(),
  );
  assert.ok(rows.length > 15);
  for (const row of rows) {
    let file = "tests/sources.test.ts";
    for (const part of row.split("; ")) {
      const [, named, title] = /^(?:`(.*?)`: )?(.*)$/.exec(part)!;
      file = named ?? file;
      assert.ok(readFileSync(file, "utf8").includes(title!), `${file}: ${title}`);
    }
  }
});
