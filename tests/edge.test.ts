/**
 * Edge hosts, which compile nothing while they run: the Worker in examples/cloudflare-worker in workerd, with Node's numbers
 * and in an isolate's memory, and what load makes of kernels that it is given.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import encode, { init } from "@jsquash/jpeg/encode.js";
import { randomWeights, safetensors, timmConfig } from "../bench/models.js";
import { binaryOf } from "../src/backends/wasm/kernels.js";
import { type LoadOptions, load, type Prediction } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { COMMIT, etagOf } from "./hub-server.js";
import { bundle, createProject } from "./project.js";
import { absent, FOR_WORKERS, type Served, serve } from "./workerd.js";

const DEFAULT = "models/default";
const IMAGES = "tests/fixtures/image";
const [SIMD, RELAXED] = ["dist/kernels/simd.wasm", "dist/kernels/relaxed.wasm"];
const hasRelaxed = WebAssembly.validate(readFileSync(RELAXED));

const logitsOf = (classes: Prediction[]) => classes.map(({ label, logit }) => [label, logit]);

suite("load({ wasm })", () => {
  const fixture = "tests/fixtures/checkpoints/hf-vit";
  const classify = async (options: LoadOptions) => {
    using model = await load(fixture, options);
    return { classes: await model.classify(`${IMAGES}/rgb-420.jpg`), ...model.backend };
  };

  test("a module, bytes, a path and a URL are the kernels that run, on one thread", async () => {
    const bytes = readFileSync(SIMD);
    const sources = [
      ...[await WebAssembly.compile(bytes), new Uint8Array(bytes), new Uint8Array(bytes).buffer],
      ...[SIMD, pathToFileURL(SIMD), `data:application/wasm;base64,${bytes.toString("base64")}`],
    ];
    const expected = await classify({ threads: 1 });
    for (const wasm of sources) {
      const { classes, reason, threads } = await classify({ wasm });
      assert.equal(threads, 1);
      assert.match(reason, /; SIMD, .*; one thread: these kernels share no memory$/);
      assertClose(
        Float32Array.from(classes, ({ logit }) => logit),
        Float32Array.from(expected.classes, ({ logit }) => logit),
        1e-5,
      );
    }
  });

  test("those with shared memory run on threads", async () => {
    const { classes, threads } = await classify({ wasm: await binaryOf("simd-threads"), threads: 2 });
    assert.equal(threads, 2);
    assert.deepEqual(classes, (await classify({ wasm: SIMD })).classes);
  });

  test("relaxed SIMD gives the bits of the kernels in the code", {
    skip: !hasRelaxed && "no relaxed SIMD",
  }, async () => {
    const { classes, reason } = await classify({ wasm: RELAXED, threads: 1 });
    assert.match(reason, /; relaxed SIMD, [^;]*$/);
    assert.deepEqual(classes, (await classify({ threads: 1 })).classes);
  });

  test("wide says that it needs others", async () => {
    assert.match(
      (await classify({ wasm: SIMD, wide: true, threads: 1 })).reason,
      /; wide needs the kernels in the code/,
    );
  });

  test("what is not these kernels is refused, and no other is tried", async () => {
    const bytes = readFileSync(SIMD);
    const other = Buffer.from(bytes);
    other.write("0badc0de", bytes.lastIndexOf("vitrail") + "vitrail".length);
    const rule = "wasm: the option wasm must be the kernels of this version of vitrail; got";
    const cases: [unknown, RegExp][] = [
      [readFileSync("dist/kernels/image.wasm"), new RegExp(`^${rule} another module$`)],
      [other, new RegExp(`^${rule} those of another version \\(0badc0de, not [0-9a-f]{8}\\)$`)],
      [
        bytes.subarray(0, 5000),
        /^wasm: the option wasm must be WebAssembly that this engine has; the 5000 bytes are not$/,
      ],
      [
        `${IMAGES}/rgb-8.png`,
        /^wasm: the option wasm must be WebAssembly that this engine has; "tests\/.*png" is not$/,
      ],
      ["nowhere.wasm", /^file: "nowhere.wasm" does not exist$/],
      [5, /^load: wasm must be a WebAssembly.Module, bytes or a URL; got 5$/],
    ];
    for (const [wasm, message] of cases) await assert.rejects(classify({ wasm: wasm as string }), { message });
  });
});

/** Calls that the tests make by the header "call"; models are of the simd build unless it says otherwise. */
const WORKER = `
import { load } from "vitrail";
import simd from "vitrail/kernels/simd.wasm?module";
import bytes from "./bytes.bin";
import listing from "./listing.json";
let last;
const open = async ({ ASSETS }, options) => {
  const get = (name) => ASSETS.fetch("https://assets/" + name);
  return load({ config: await (await get("config.json")).json(), weights: (await get("model.safetensors")).body }, options);
};
const calls = {
  node: () => [typeof process, typeof Worker],
  validate: () => WebAssembly.validate(bytes),
  compile: () => new WebAssembly.Module(bytes),
  none: (env) => load(),
  given: async (env, image) => {
    using model = await open(env, { wasm: simd, threads: 4 });
    const signal = new AbortController().signal;
    const [one, two] = await model.classify([image, image], { signal });
    return { one, two, backend: model.backend };
  },
  named: async (env, image) => {
    const answer = async (url) =>
      url.includes("/api/") ? Response.json(listing) : env.ASSETS.fetch("https://assets/" + url.split("/").at(-1));
    using model = await load("a/b", { fetch: answer, threads: 1 });
    return { classes: await model.classify(image), backend: model.backend };
  },
  keep: async (env) => (last = await open(env)).memory,
  photo: async (env, image) => ({ classes: await last.classify(image), memory: last.memory }),
};
export default {
  async fetch(request, env) {
    const call = request.headers.get("call");
    if (!call) return new Response();
    try {
      return Response.json(await calls[call](env, await request.bytes()) ?? null);
    } catch (error) {
      return Response.json(error.message, { status: 500 });
    }
  },
};
`;

suite("workerd", { skip: absent }, () => {
  const folder = createProject("edge");
  const servers: Served[] = [];
  after(async () => {
    for (const server of servers) await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const start = async (...args: Parameters<typeof serve>) => {
    const server = await serve(...args);
    servers.push(server);
    return server;
  };
  const write = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content);
  /** What the Hub would say of the default model. */
  const siblings = ["config.json", "model.safetensors"].map((name) => {
    const file = readFileSync(join(DEFAULT, name));
    const digest = etagOf(name, file);
    const kept = digest.length === 64 ? { lfs: { sha256: digest, size: file.length } } : {};
    return { rfilename: name, size: file.length, blobId: digest, ...kept };
  });
  write("listing.json", JSON.stringify({ sha: COMMIT, siblings }));
  const post = async (server: Served, call: string, body?: Uint8Array) =>
    (await server.fetch({ method: "POST", headers: { call }, body: body as BodyInit })).json();

  test("the example, by vitrail/serve, classifies a posted image as Node does", async (t) => {
    write("worker.js", readFileSync("examples/cloudflare-worker/worker.js"));
    bundle(folder, "worker.js", FOR_WORKERS);
    const server = await start(folder, "worker.js", { assets: DEFAULT });
    using model = await load(DEFAULT, { threads: 1 });
    for (const name of [
      "rgb-420.jpg",
      "rgb-422-progressive.jpg",
      "cmyk.jpg",
      "exif-6.jpg",
      "rgb-8.png",
      "lossy.webp",
    ]) {
      const photo = readFileSync(`${IMAGES}/${name}`);
      const response = await server.fetch({ method: "POST", body: photo });
      const classes = (await response.json()) as { label: string; score: number }[];
      const expected = (await model.classify(photo)).map(({ label, probability }) => ({ label, score: probability }));
      // Node 20 has no relaxed SIMD.
      if (hasRelaxed) assert.deepEqual(classes, expected, name);
      else assert.deepEqual(classes[0]!.label, expected[0]!.label, name);
    }
    t.diagnostic(hasRelaxed ? "all logits to the last bit" : "Node has no relaxed SIMD: best classes only");

    assert.equal((await server.fetch({ method: "PUT", body: "" })).status, 405);
    const answers = [1, 2].map(() => server.fetch({ method: "POST", body: "no image" }));
    for (const answer of await Promise.all(answers)) {
      assert.equal(answer.status, 400);
      assert.match(((await answer.json()) as { error: string }).error, /^decode: the image is not a JPEG, PNG/);
    }
  });

  for (const date of ["2026-11-01", "2024-09-01"]) {
    test(`compatibility date ${date}: nothing is compiled there, and kernels that are given run`, async () => {
      write("calls.js", WORKER);
      write("bytes.bin", readFileSync(RELAXED));
      bundle(folder, "calls.js", [...FOR_WORKERS, "--loader:.bin=binary"]);
      const server = await start(folder, "calls.js", { assets: DEFAULT, date });
      assert.deepEqual(await post(server, "node"), [date < "2026" ? "undefined" : "object", "undefined"]);
      assert.equal(await post(server, "validate"), true);
      assert.match(await post(server, "compile"), /Wasm code generation disallowed by embedder/);
      assert.match(
        await post(server, "none"),
        /^load: the files of the default model are not beside this program; give load a model$/,
      );

      const photo = readFileSync(`${IMAGES}/rgb-420.jpg`);
      const { classes, backend: named } = await post(server, "named", photo);
      assert.match(named.reason, /relaxed SIMD/);
      using expectedOfName = await load(DEFAULT, { threads: 1 });
      const names = (all: Prediction[]) => all.map(({ label }) => label);
      assert.deepEqual(names(classes), names(await expectedOfName.classify(photo)));

      const { one, two, backend } = await post(server, "given", photo);
      assert.deepEqual([backend.name, backend.threads], ["wasm", 1]);
      assert.match(backend.reason, /; SIMD, .*; one thread: these kernels share no memory$/);
      using model = await load(DEFAULT, { wasm: SIMD });
      const expected = logitsOf(await model.classify(photo));
      assert.deepEqual([logitsOf(one), logitsOf(two)], [expected, expected]);
    });
  }

  test("a bundle without the condition says what it needs", async () => {
    write("calls.js", WORKER.replace("wasm: simd, ", ""));
    bundle(folder, "calls.js", [
      ...FOR_WORKERS.map((option) => (option.startsWith("--conditions") ? "--conditions=browser" : option)),
      "--loader:.bin=binary",
    ]);
    const server = await start(folder, "calls.js", { assets: DEFAULT });
    assert.match(
      await post(server, "keep"),
      /^wasm: this host must compile the kernels, or load be given them as the option wasm; it refuses: .*disallowed/,
    );
  });

  test("ViT-S in int8 from a stream and photos of 12 megapixels take at most 128 MB", async (t) => {
    write("empty.js", "export default { fetch: () => new Response() };");
    bundle(folder, "empty.js", FOR_WORKERS);
    const empty = await start(folder, "empty.js", { assets: DEFAULT });
    const before = empty.megabytes;
    if (!before) return t.skip("the memory of a process cannot be told here");

    const checkpoint = join(folder, "vit-small");
    mkdirSync(checkpoint);
    write("vit-small/config.json", JSON.stringify(timmConfig("S")));
    write("vit-small/model.safetensors", safetensors(randomWeights("S")));
    execFileSync(process.execPath, [
      "dist/src/cli.js",
      "quantize",
      checkpoint,
      "--out",
      join(folder, "vit-small-int8"),
    ]);
    const photo = await photoOf(4000, 3000);
    write("calls.js", WORKER);
    write("bytes.bin", "");
    bundle(folder, "calls.js", [...FOR_WORKERS, "--loader:.bin=binary"]);
    for (const assets of [DEFAULT, join(folder, "vit-small-int8")]) {
      const server = await start(folder, "calls.js", { assets });
      const marks = [server.megabytes!.most];
      await post(server, "keep");
      marks.push(server.megabytes!.most);
      let found = await post(server, "photo", readFileSync(`${IMAGES}/rgb-420.jpg`));
      marks.push(server.megabytes!.most);
      for (const orientation of [1, 6]) {
        found = await post(server, "photo", turned(photo, orientation));
        marks.push(server.megabytes!.most);
      }
      assert.equal(found.classes.length, 5);
      const [code, loaded, small, large, sideways] = marks.map((most) => Math.round(most - before.most));
      t.diagnostic(
        `${assets === DEFAULT ? "default model" : "ViT-S int8"}, MB beyond an empty Worker's ${Math.round(before.most)}: ` +
          `code ${code}, loaded ${loaded}, a small JPEG ${small}, 12 megapixels ${large}, again and turned ${sideways}; ` +
          `of the kernels' memory ${JSON.stringify(found.memory)}`,
      );
      assert.ok(sideways! <= 128, `${sideways} MB`);
    }

    write("worker.js", readFileSync("examples/cloudflare-worker/worker.js"));
    bundle(folder, "worker.js", FOR_WORKERS);
    const server = await start(folder, "worker.js", { assets: join(folder, "vit-small-int8") });
    for (const orientation of [1, 6]) {
      const answer = await server.fetch({ method: "POST", body: turned(photo, orientation) as BodyInit });
      assert.equal(answer.status, 200, await answer.clone().text());
    }
    const served = Math.round(server.megabytes!.most - before.most);
    t.diagnostic(`the example with ViT-S int8 and 12 megapixels: ${served} MB`);
    assert.ok(served <= 128, `${served} MB`);
  });
});

/** A JPEG of waves and a little noise. */
async function photoOf(width: number, height: number): Promise<Uint8Array> {
  await init(await WebAssembly.compile(readFileSync("node_modules/@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm")));
  const data = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < data.length; i += 4) {
    const [x, y] = [(i / 4) % width, Math.floor(i / 4 / width)];
    const noise = (Math.imul(i, 2654435761) >>> 24) & 15;
    data.set([128 + 90 * Math.sin(x / 97) + noise, 128 + 80 * Math.cos(y / 53), 100 + noise, 255], i);
  }
  return new Uint8Array(await encode({ data, width, height, colorSpace: "srgb" }, { quality: 85, progressive: false }));
}

/** With an EXIF block that says how it is turned. */
function turned(jpeg: Uint8Array, orientation: number): Uint8Array {
  const tiff = `49492a0008000000010012010300010000000${orientation}00000000000000`;
  const exif = Buffer.concat([Buffer.from("Exif\0\0"), Buffer.from(tiff, "hex")]);
  return Buffer.concat([jpeg.subarray(0, 2), Buffer.from([0xff, 0xe1, 0, exif.length + 2]), exif, jpeg.subarray(2)]);
}
