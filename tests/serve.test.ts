/**
 * vitrail/serve: each protocol's shapes, with vectors that are `embed`'s to the bit; what it refuses, its limits and its queue; which
 * addresses it fetches from. Real clients are in tests/serve.clients.test.ts, the command under faults in tests/serve.command.test.ts.
 */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { decode } from "../src/image/index.js";
import { load, type Model } from "../src/index.js";
import { type Network, openNetwork } from "../src/platform/network.js";
import { isPublic } from "../src/serve/addresses.js";
import { createAllowances } from "../src/serve/body.js";
import { createFetcher } from "../src/serve/fetcher.js";
import { createHandler, type Handler, type HandlerOptions, type OpenModel } from "../src/serve/index.js";
import { createPool } from "../src/serve/pool.js";
import { createQueue } from "../src/serve/queue.js";
import { Refusal } from "../src/serve/refusal.js";

const FIXTURES = "tests/fixtures";
const CAT = new Uint8Array(readFileSync("models/samples/cat-1.jpg"));
const SMALL = new Uint8Array(readFileSync(`${FIXTURES}/image/rgb-420.jpg`));
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

const scratch = mkdtempSync(join(tmpdir(), "vitrail-serve-"));
after(() => rmSync(scratch, { recursive: true }));

/** The clip fixture, as one of a checkpoint that says to which lengths its vectors may be cut. */
const MATRYOSHKA = join(scratch, "matryoshka");
cpSync(`${FIXTURES}/checkpoints/hf-clip`, MATRYOSHKA, { recursive: true });
const clipConfig = JSON.parse(readFileSync(join(MATRYOSHKA, "config.json"), "utf8"));
writeFileSync(join(MATRYOSHKA, "config.json"), JSON.stringify({ ...clipConfig, matryoshka_dimensions: [4, 8] }));

const vit: OpenModel = (options) => load(undefined, options);
const MODELS = { vit, clip: `${FIXTURES}/checkpoints/hf-clip`, cut: MATRYOSHKA };

/** A handler that is closed when the test is over. */
function handlerOf(t: { after(end: () => unknown): void }, options: Partial<HandlerOptions> = {}): Handler {
  const handler = createHandler({ models: MODELS, ...options });
  t.after(() => handler.close());
  return handler;
}

const at = (path: string) => `http://localhost${path}`;
const post = (path: string, body: BodyInit, headers: HeadersInit = {}) =>
  new Request(at(path), { method: "POST", body, headers, duplex: "half" } as RequestInit);
const json = (path: string, value: unknown, headers: Record<string, string> = {}) =>
  post(path, JSON.stringify(value), { "content-type": "application/json", ...headers });

async function answered(handler: Handler, request: Request) {
  const response = await handler(request);
  const { status, headers } = response;
  const isJson = /json/.test(headers.get("content-type") ?? "");
  return { status, headers, value: isJson ? await response.json() : await response.text() };
}

suite("protocols", () => {
  const models: Record<string, Model> = {};
  const handler = createHandler({ models: MODELS });
  after(async () => {
    await handler.close();
    for (const model of Object.values(models)) model.dispose();
  });
  const ask = (request: Request) => answered(handler, request);
  async function modelOf(name: "vit" | "clip"): Promise<Model> {
    models[name] ??= await load(name === "vit" ? undefined : MODELS.clip);
    return models[name];
  }
  const imageRow = async (name: "vit" | "clip", normalize: boolean) =>
    Array.from(await (await modelOf(name)).embed(CAT, { normalize }));
  const textRow = async (text: string, normalize: boolean) =>
    Array.from(await (await modelOf("clip")).text!.embed(text, { normalize }));

  test("OpenAI's embeddings, with images as Infinity, Jina and vLLM have them, are embed's to the bit", async () => {
    const [image, text] = [await imageRow("clip", true), await textRow("a cat", true)];
    const data = `data:image/jpeg;base64,${base64(CAT)}`;
    const cases: [body: object, rows: number[][]][] = [
      [{ input: "a cat" }, [text]],
      [{ input: ["a cat"], encoding_format: "float", user: "me", dimensions: null }, [text]],
      [{ input: ["a cat", "a cat"], modality: "text" }, [text, text]],
      [{ input: data, modality: "image" }, [image]],
      [{ input: [base64(CAT)], modality: "image", dimensions: image.length }, [image]],
      [{ input: [{ text: "a cat" }, { image: base64(CAT) }, { image: data }], normalized: true }, [text, image, image]],
      [{ input: [{ image: data }], normalized: false }, [await imageRow("clip", false)]],
      [{ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: data } }] }] }, [image]],
      [{ messages: [{ role: "user", content: "a cat" }] }, [text]],
      // LangChain and LlamaIndex for Jina; Infinity's client.
      [{ input: [{ bytes: base64(CAT) }, { url: data }], encoding_type: "float" }, [image, image]],
      [{ input: [data], modality: "image", dimensions: 0 }, [image]],
    ];
    for (const [body, rows] of cases) {
      const { status, value } = await ask(json("/v1/embeddings", { model: "clip", ...body }));
      assert.equal(status, 200, JSON.stringify(value));
      const { data, usage, ...rest } = value;
      assert.deepEqual(rest, { object: "list", model: "clip" });
      assert.deepEqual(
        data,
        rows.map((embedding, index) => ({ object: "embedding", index, embedding })),
      );
      const texts = rows.filter((row) => row === text).length;
      const tokens = (await (await modelOf("clip")).text!.tokenize("a cat"))[0]!.length;
      assert.deepEqual(usage, { prompt_tokens: texts * tokens, total_tokens: texts * tokens });
    }
    for (const format of [{ encoding_format: "base64" }, { embedding_type: "base64" }]) {
      const { value } = await ask(json("/embeddings", { model: "clip", input: { text: "a cat" }, ...format }));
      const bytes = Buffer.from(value.data[0].embedding, "base64");
      assert.deepEqual(
        Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i)),
        text,
      );
    }
  });

  test("the first model is that of requests which name none; models are listed", async () => {
    const { value } = await ask(json("/v1/embeddings", { input: base64(CAT), modality: "image" }));
    assert.deepEqual([value.model, value.data[0].embedding], ["vit", await imageRow("vit", true)]);
    const unnamed = { model: "default/not-specified", input: base64(CAT), modality: "image" };
    assert.deepEqual((await ask(json("/embeddings", unnamed))).value, value);
    for (const path of ["/v1/models", "/models"]) {
      const { value } = await ask(new Request(at(path)));
      assert.deepEqual(
        value.data.map(({ id, object }: { id: string; object: string }) => [id, object]),
        [
          ["vit", "model"],
          ["clip", "model"],
          ["cut", "model"],
        ],
      );
    }
    assert.equal((await ask(new Request(at("/v1/models/clip")))).value.id, "clip");
    assert.equal((await ask(new Request(at("/v1/models/none")))).status, 404);
    assert.equal((await ask(new Request(at("/v1/models/%")))).status, 404);
  });

  test("dimensions cut vectors of checkpoints that say so, and no others", async () => {
    const whole = await (await modelOf("clip")).text!.embed("a cat");
    const { value } = await ask(json("/v1/embeddings", { model: "cut", input: "a cat", dimensions: 4 }));
    const length = Math.hypot(...whole.slice(0, 4));
    for (const [i, x] of (value.data[0].embedding as number[]).entries())
      assert.ok(Math.abs(x - whole[i]! / length) < 1e-6);
    assert.equal(value.data[0].embedding.length, 4);
    const refused = await ask(json("/v1/embeddings", { model: "cut", input: "a cat", dimensions: 5 }));
    assert.deepEqual([refused.status, refused.value.error.message], [400, "dimensions must be one of 4, 8; got 5"]);
    const other = await ask(json("/v1/embeddings", { model: "clip", input: "a cat", dimensions: 4 }));
    assert.deepEqual(
      [other.status, other.value.error.message],
      [400, `dimensions must be ${whole.length}, as vectors of this model cannot be cut; got 4`],
    );
  });

  test("Hugging Face: the model's task on a body of bytes, and in JSON", async () => {
    const model = await modelOf("vit");
    const classes = (await model.classify(CAT)).map(({ label, probability }) => ({ label, score: probability }));
    assert.deepEqual((await ask(post("/", CAT))).value, classes);
    assert.deepEqual((await ask(post("/models/vit", CAT, { "content-type": "image/jpeg" }))).value, classes);
    const parameters = { top_k: 2, function_to_apply: "softmax" };
    assert.deepEqual((await ask(json("/models/vit", { inputs: base64(CAT), parameters }))).value, classes.slice(0, 2));
    // As curl sends it, which says neither.
    const form = { "content-type": "application/x-www-form-urlencoded" };
    const sent = [CAT, JSON.stringify({ inputs: base64(CAT) })].map((body) => ask(post("/", body, form)));
    for (const { value } of await Promise.all(sent)) assert.deepEqual(value, classes);
    const row = await imageRow("vit", false);
    assert.deepEqual((await ask(post("/models/vit/pipeline/feature-extraction", CAT))).value, row);
    const owned = createHandler({ models: { "owner/vit": vit } });
    for (const name of ["owner/vit", "owner%2Fvit"]) assert.ok((await owned(post(`/models/${name}`, CAT))).ok, name);
    await owned.close();
    assert.deepEqual((await ask(json("/pipeline/feature-extraction", { inputs: [base64(CAT)] }))).value, [row]);
  });

  test("Hugging Face: two towers name classes by texts, and embed texts and images", async () => {
    const clip = await modelOf("clip");
    const labels = ["cat", "dog"];
    const template = "a {}";
    const expected = async (options: object) =>
      (await clip.zeroShot(CAT, labels, options)).map(({ label, probability }) => ({ label, score: probability }));
    const parameters = { candidate_labels: labels };
    for (const inputs of [base64(CAT), { image: base64(CAT) }]) {
      assert.deepEqual((await ask(json("/models/clip", { inputs, parameters }))).value, await expected({}));
    }
    const named = { ...parameters, hypothesis_template: template };
    assert.deepEqual(
      (await ask(json("/models/clip", { inputs: base64(CAT), parameters: named }))).value,
      await expected({ template }),
    );
    const text = await ask(json("/models/clip", { inputs: "a cat", normalize: true }));
    assert.deepEqual(text.value, await textRow("a cat", true));
    const image = await ask(json("/models/clip", { inputs: { image: base64(CAT) } }));
    assert.deepEqual(image.value, await imageRow("clip", false));
  });

  test("Weaviate: vectors of texts and images of the first model", async (t) => {
    const first = handlerOf(t, { models: { clip: MODELS.clip } });
    const { value } = await answered(first, json("/vectorize", { texts: ["a cat"], images: [base64(CAT)] }));
    assert.deepEqual(value, {
      textVectors: [await textRow("a cat", false)],
      imageVectors: [await imageRow("clip", false)],
    });
    assert.deepEqual(
      (await answered(first, json("/vectorize", { texts: ["a cat"], images: [] }))).value.imageVectors,
      [],
    );
    for (const path of ["/.well-known/ready", "/.well-known/live"])
      assert.equal((await first(new Request(at(path)))).status, 204);
    assert.deepEqual((await answered(first, new Request(at("/meta")))).value, { server: "vitrail", models: ["clip"] });
  });

  test("Immich: vectors of length 1 as a text in JSON, and the photo's size", async () => {
    const form = (entries: unknown, more: Record<string, string | Blob>) => {
      const data = new FormData();
      data.set("entries", typeof entries === "string" ? entries : JSON.stringify(entries));
      for (const [name, value] of Object.entries(more)) data.set(name, value);
      return new Request(at("/predict"), { method: "POST", body: data });
    };
    const visual = { clip: { visual: { modelName: "clip" } } };
    const image = await ask(form(visual, { image: new Blob([CAT]) }));
    const { width, height } = await decode(CAT);
    assert.deepEqual(image.value, {
      ...{ clip: JSON.stringify(await imageRow("clip", true)), imageHeight: height, imageWidth: width },
    });
    const textual = { clip: { textual: { modelName: "clip", options: { language: "de" } } } };
    const text = await ask(form(textual, { text: "a cat" }));
    assert.deepEqual(text.value, { clip: JSON.stringify(await textRow("a cat", true)) });
    const refused: [unknown, number][] = [
      [{ "facial-recognition": { detection: { modelName: "buffalo_l" } } }, 422],
      [{ ...visual, ocr: {} }, 422],
      [{ clip: { visual: { modelName: "ViT-H" } } }, 404],
      ["{", 400],
      [visual, 400],
    ];
    for (const [entries, status] of refused)
      assert.equal((await ask(form(entries, {}))).status, status, JSON.stringify(entries));
    assert.equal((await ask(new Request(at("/ping")))).value, "pong");
    assert.deepEqual((await ask(new Request(at("/")))).value, { message: "Immich ML", server: "vitrail" });
  });

  test("health, and metrics in Prometheus' text", async (t) => {
    const own = handlerOf(t, { models: { vit } });
    assert.deepEqual((await answered(own, new Request(at("/health")))).value, { status: "ok" });
    await own(post("/", CAT));
    const { value, headers } = await answered(own, new Request(at("/metrics")));
    assert.match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
    for (const line of (value as string).trimEnd().split("\n")) {
      assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? [\d.e+-]+)$/);
    }
    assert.match(value, /^vitrail_requests_total\{route="POST \/",status="200"\} 1$/m);
    assert.match(value, /^vitrail_request_seconds_bucket\{route="POST \/",le="\+Inf"\} 1$/m);
    assert.match(value, /^vitrail_images_total 1$/m);
    assert.match(value, /^vitrail_model_bytes\{model="vit"\} \d{6,}$/m);
    await own.close();
    assert.equal((await own(new Request(at("/health")))).status, 503);
    assert.equal((await own(post("/", CAT))).status, 503);
  });
});

suite("refusals", () => {
  const handler = createHandler({ models: { ...MODELS, absent: join(scratch, "absent") } });
  after(() => handler.close());

  test("a wrong request is one sentence about it, and nothing about the machine", async () => {
    const embeddings = (body: unknown) => json("/v1/embeddings", body);
    const infer = (body: unknown, path = "/models/vit") => json(path, body);
    const cases: [request: Request, status: number, message: string | RegExp][] = [
      [new Request(at("/nowhere")), 404, "there is nothing at this path"],
      [new Request(at("/v1/embeddings")), 405, "this path is asked by POST"],
      [post("/v1/embeddings", "{"), 400, "the body is not valid JSON: a character is out of place, at position 1"],
      [post("/v1/embeddings", new Uint8Array([0xff, 0x22])), 400, "the body is not valid JSON: it is not UTF-8"],
      [embeddings([]), 400, "the body must be an object; got []"],
      [embeddings({}), 400, "the body must have input or messages, not both"],
      [embeddings({ input: [] }), 400, "input must not be empty"],
      [embeddings({ input: [1, 2] }), 400, "input must be of texts and images, not of tokens"],
      [embeddings({ input: "a", temperature: 1 }), 400, /^the body may have model, input, .*; got "temperature"$/],
      [embeddings({ input: "a", encoding_format: "int8" }), 400, 'encoding_format must be float or base64; got "int8"'],
      [embeddings({ input: "a", dimensions: -1 }), 400, "dimensions must be a positive integer; got -1"],
      [embeddings({ input: [{ text: "a", image: "b" }] }), 400, /^an input must have a text or an image; got /],
      [embeddings({ input: "a", model: 5 }), 400, "model must be a text; got 5"],
      [embeddings({ input: "a", model: "gpt" }), 404, 'there is no model "gpt" here; there are vit, clip, cut, absent'],
      [embeddings({ input: "a", model: "__proto__" }), 404, /^there is no model "__proto__" here/],
      [post("/v1/embeddings", '{"input":"a","__proto__":{"model":"clip"}}'), 400, /; got "__proto__"$/],
      [embeddings({ input: "a" }), 400, "this model takes images, not texts"],
      [embeddings({ input: "no-image", modality: "image" }), 400, "the image is neither base64 nor an address"],
      [embeddings({ input: "bm8gaW1hZ2U=", modality: "image" }), 400, /^decode: the image is not a JPEG, PNG/],
      [embeddings({ input: "data:image/png,abc", modality: "image" }), 400, "a data: address must be of base64"],
      [
        embeddings({ input: [base64(SMALL), "bm8="], modality: "image" }),
        400,
        /^input 1: decode: the image is not a JPEG, PNG/,
      ],
      [
        embeddings({ input: "http://example.org/cat.jpg", modality: "image" }),
        400,
        "this server fetches no images: send the image itself, in base64",
      ],
      [
        embeddings({ input: "/etc/passwd", modality: "image" }),
        400,
        /^(the image is neither|decode: the image is not)/,
      ],
      [embeddings({ input: "file:///etc/passwd", modality: "image" }), 400, /^this server fetches no images/],
      [
        embeddings({ messages: [{ role: "user", content: [] }] }),
        400,
        "messages must have one image or one text; got 0",
      ],
      [infer({ inputs: base64(SMALL), parameters: { top_k: -1 } }), 400, "top_k must be a positive integer; got -1"],
      [
        infer({ inputs: base64(SMALL), parameters: { threshold: 1 } }),
        400,
        'parameters of image-classification may have function_to_apply, top_k; got "threshold"',
      ],
      [infer({ inputs: 5 }), 400, "inputs must be an object; got 5"],
      [
        infer({ inputs: base64(SMALL), parameters: { candidate_labels: ["a"] } }),
        400,
        "this model cannot take labels; it can image-classification, feature-extraction",
      ],
      [
        infer(
          { inputs: base64(SMALL), parameters: { candidate_labels: ["a"], hypothesis_template: "b" } },
          "/models/clip",
        ),
        400,
        'zeroShot: a template must have {} for the label; got "b"',
      ],
      [post("/models/vit/pipeline/depth-estimation", SMALL), 400, /^this model cannot do "depth-estimation"; it can/],
      [post("/models/none", SMALL), 404, /^there is no model "none" here/],
      [json("/vectorize", { texts: "a" }), 400, 'texts must be a list of texts, one at least; got "a"'],
      [post("/", new FormData()), 415, "the body must be an image, or JSON; got a form"],
      [post("/predict", "x"), 415, "the body must be multipart/form-data with a boundary"],
      [post("/", SMALL, { "content-encoding": "gzip" }), 415, "the body must not be compressed"],
      [post("/models/absent", SMALL), 500, 'the model "absent" could not be loaded'],
      [post("/models/absent", SMALL), 500, 'the model "absent" could not be loaded'],
    ];
    for (const [request, status, message] of cases) {
      const { status: found, value } = await answered(handler, request);
      const said = typeof value.error === "string" ? value.error : value.error?.message;
      assert.equal(found, status, `${request.url}: ${JSON.stringify(value)}`);
      if (typeof message === "string") assert.equal(said, message);
      else assert.match(said, message);
      assert.doesNotMatch(said, /\/tmp|vitrail-serve|node:|\.ts|\.js/);
    }
    assert.equal(({} as { model?: string }).model, undefined);
  });

  test("a fault of the server's own is told to its owner, not to the client", async (t) => {
    const told: unknown[] = [];
    const broken: OpenModel = async (options) => ({
      ...(await load(undefined, options)),
      embed: () => Promise.reject(new Error("secret of /etc")),
    });
    const own = handlerOf(t, {
      models: { broken, absent: join(scratch, "absent") },
      onError: (error) => told.push(error),
    });
    const { status, value } = await answered(own, json("/v1/embeddings", { input: base64(SMALL), modality: "image" }));
    assert.deepEqual(
      [status, value.error.message, value.error.type],
      [500, "the server failed at this request", "server_error"],
    );
    await own(post("/models/absent", SMALL));
    assert.deepEqual(
      told.map((error) => (error as Error).message.includes("secret")),
      [true, false],
    );
    assert.match((told[1] as Error).message, /absent/);
    await assert.rejects(own.warm("absent"), /absent/);
  });

  test("a token is asked for, of all but those who ask whether the server is there", async (t) => {
    const own = handlerOf(t, { auth: "sesame" });
    const asked = (path: string, authorization?: string) =>
      own(new Request(at(path), { headers: authorization === undefined ? {} : { authorization } }));
    for (const wrong of [
      undefined,
      "Bearer",
      "Bearer ",
      "Bearer sesam",
      "Bearer sesame2",
      "Bearer sesamesesame",
      "Basic sesame",
    ]) {
      const { status, headers } = await asked("/v1/models", wrong);
      assert.deepEqual([status, headers.get("www-authenticate")], [401, "Bearer"], wrong);
    }
    assert.equal((await asked("/metrics")).status, 401);
    assert.equal((await asked("/v1/models", "Bearer sesame")).status, 200);
    for (const path of ["/health", "/ping", "/.well-known/live"]) assert.ok((await asked(path)).ok, path);
    // The body of who has no token is not read.
    let read = 0;
    const body = new ReadableStream(
      {
        pull(controller) {
          read++;
          controller.enqueue(SMALL);
        },
      },
      { highWaterMark: 0 },
    );
    assert.equal((await own(post("/", body))).status, 401);
    assert.equal(read, 0);
  });

  test("pages ask as cors says, and those of the server itself", async (t) => {
    const own = handlerOf(t, { cors: ["https://a.org"] });
    const from = (origin: string, init: RequestInit = {}) =>
      own(new Request(at("/v1/models"), { ...init, headers: { ...init.headers, origin } }));
    const allowed = await from("https://a.org");
    assert.deepEqual([allowed.status, allowed.headers.get("access-control-allow-origin")], [200, "https://a.org"]);
    for (const origin of ["https://b.org", "null", "https://a.org.b.org", "http://a.org"]) {
      const { status, headers } = await from(origin);
      assert.deepEqual([status, headers.get("access-control-allow-origin")], [403, null], origin);
    }
    assert.equal((await from("http://localhost")).status, 200);
    const headers = { "access-control-request-method": "POST", "access-control-request-headers": "authorization,x-a" };
    const preflight = await from("https://a.org", { method: "OPTIONS", headers });
    assert.deepEqual(
      [preflight.status, preflight.headers.get("access-control-allow-headers")],
      [204, "authorization,x-a"],
    );
    const any = handlerOf(t, { cors: "*" });
    const other = await any(new Request(at("/health"), { headers: { origin: "https://b.org" } }));
    assert.equal(other.headers.get("access-control-allow-origin"), "https://b.org");
  });

  test("options that are none are refused", () => {
    const cases: [options: unknown, message: RegExp][] = [
      [{}, /^createHandler: models must be a list or an object; got undefined$/],
      [{ models: [] }, /^createHandler: models must be one at least; got none$/],
      [{ models: { a: 5 } }, /^createHandler: a model must be a source or a function; got 5$/],
      [{ models: ["a"], port: 1 }, /^createHandler: options are .*; got "port"$/],
      [{ models: ["a"], auth: "" }, /^createHandler: auth must be a text that is not empty; got string$/],
      [{ models: ["a"], cors: ["a.org"] }, /^createHandler: cors must be "\*" or a list of origins/],
      [{ models: ["a"], fetchImages: 1 }, /^createHandler: fetchImages must be true, false or a fetch; got 1$/],
      [{ models: ["a"], limits: { bytes: 1 } }, /^createHandler: limits are body, .*; got "bytes"$/],
      [{ models: ["a"], limits: { body: -1 } }, /^createHandler: limits.body must be a positive number; got -1$/],
    ];
    for (const [options, message] of cases) assert.throws(() => createHandler(options as HandlerOptions), { message });
  });
});

suite("limits", () => {
  test("bytes, inputs, pixels, nesting, objects, fields and time of a request", async (t) => {
    const own = handlerOf(t, { models: { vit }, limits: { body: 30_000, inputs: 2, pixels: 1000 } });
    const b = "-".repeat(30);
    const deep = `{"input":${"[".repeat(200)}${"]".repeat(200)}}`;
    const wide = `{"input":[${"{},".repeat(16_384).slice(0, -1)}]}`;
    const parts = Array.from(
      { length: 20 },
      (_, i) => `--${b}\r\nContent-Disposition: form-data; name="${i}"\r\n\r\nx\r\n`,
    );
    const form = { "content-type": `multipart/form-data; boundary=${b}` };
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1000)) });
    const stalled = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) });
    const cut = new ReadableStream({ start: (controller) => controller.error(new Error("cut")) });
    const cases: [request: Request, status: number, message: RegExp][] = [
      [post("/", new Uint8Array(30_001)), 413, /^the body must have at most 30,000 bytes$/],
      [post("/", endless), 413, /^the body must have at most 30,000 bytes$/],
      [post("/", cut), 400, /^the body ended early$/],
      [
        json("/v1/embeddings", { input: ["a", "b", "c"], modality: "image" }),
        413,
        /at most 2 images and texts; got 3$/,
      ],
      [post("/", SMALL), 400, /^decode: the image says that it is \d+×\d+, [\d,]+ pixels, and the limit is 1,000$/],
      [post("/v1/embeddings", deep), 400, /^the body nests values deeper than 127 levels$/],
      [post("/v1/embeddings", wide.slice(0, 29_999)), 400, /^the body is not valid JSON/],
      [post("/predict", `${parts.join("")}--${b}--`, form), 400, /^the form must have at most 16 fields$/],
      [post("/predict", `--${b}\r\nno form`, form), 400, /^the body is not the form that its content-type says$/],
    ];
    for (const [request, status, message] of cases) {
      const { status: found, value } = await answered(own, request);
      assert.equal(found, status, JSON.stringify(value));
      assert.match(value.error.message ?? value.error, message);
    }
    const large = handlerOf(t, { models: { vit }, limits: { seconds: 0.1 } });
    const { value } = await answered(large, post("/v1/embeddings", wide));
    assert.match(value.error.message, /^the body holds more than 16,384 objects and arrays$/);
    const late = await answered(large, post("/", stalled));
    assert.deepEqual([late.status, late.value.error], [408, "the body did not arrive within 0.1 seconds"]);
  });

  test("an answer that takes too long is given up between layers, and so is one that nobody waits for", async (t) => {
    const slow: OpenModel = async (options) => ({
      ...(await load(undefined, options)),
      classify: (async (_: unknown, { signal }: { signal: AbortSignal }) => {
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      }) as never,
      get tasks() {
        return ["classify"] as const;
      },
    });
    const own = handlerOf(t, { models: { slow }, limits: { seconds: 0.2 } });
    const late = await answered(own, post("/", SMALL));
    assert.deepEqual([late.status, late.headers.get("retry-after")], [503, "10"]);
    const patient = handlerOf(t, { models: { slow } });
    const gone = new AbortController();
    const answer = patient(new Request(post("/", SMALL), { signal: gone.signal }));
    await setTimeout(50);
    gone.abort(new Error("gone"));
    assert.equal((await answer).status, 499);
  });

  test("a client with many requests does not keep another waiting until they are through", async (t) => {
    const models = { tiny: `${FIXTURES}/checkpoints/hf-vit` };
    const own = handlerOf(t, { models, client: ({ headers }) => headers.get("x-client") ?? "" });
    const ask = (client: string) => own(post("/", SMALL, { "x-client": client }));
    await ask("b");
    let done = 0;
    const many = Array.from({ length: 100 }, () => ask("a").then(() => done++));
    assert.equal((await ask("b")).status, 200);
    // Some had their turns when it came.
    assert.ok(done < 75, `${done} were answered before it`);
    await Promise.all(many);
  });

  test("beyond as many requests, and as many bytes, as it takes it says when to come again", async (t) => {
    const own = handlerOf(t, { models: { vit }, limits: { requests: 2 } });
    const answers = await Promise.all([1, 2, 3, 4].map(() => own(post("/", SMALL))));
    const refused = answers.filter(({ status }) => status === 503);
    assert.deepEqual([refused.length, answers.filter(({ ok }) => ok).length], [2, 2]);
    for (const { headers } of refused) assert.ok(Number(headers.get("retry-after")) >= 1);
    assert.equal((await own(post("/", SMALL))).status, 200);
    const small = handlerOf(t, { models: { vit }, limits: { held: SMALL.length + 10 } });
    const two = await Promise.all([1, 2].map(() => small(post("/", SMALL))));
    assert.deepEqual(two.map(({ status }) => status).sort(), [200, 503]);
    assert.equal((await small(post("/", SMALL))).status, 200);
  });
});

suite("queue", () => {
  const never = new AbortController().signal;
  const ignore = () => {};

  test("turns go round by clients, and of a client by its requests", async () => {
    const queue = createQueue(1, 100);
    const order: string[] = [];
    const places = { a1: queue.enter("a", ignore), a2: queue.enter("a", ignore), b1: queue.enter("b", ignore) };
    const turns = Object.entries(places).flatMap(([name, place]) =>
      Array.from({ length: 3 }, (_, i) => place.turn(async () => void order.push(`${name}.${i}`), never)),
    );
    await Promise.all(turns);
    assert.deepEqual(order, ["a1.0", "b1.0", "a2.0", "b1.1", "a1.1", "b1.2", "a2.1", "a1.2", "a2.2"]);
    assert.deepEqual([queue.size, queue.running], [3, 0]);
    for (const place of Object.values(places)) place.leave();
    assert.equal(queue.size, 0);
  });

  test("a client with fewer requests takes the place of one that waits of the client with the most", () => {
    const queue = createQueue(1, 3);
    const out: string[] = [];
    const enter = (client: string, name: string) => queue.enter(client, () => out.push(name));
    const first = enter("a", "a1");
    void first.turn(() => new Promise(() => {}), never);
    enter("a", "a2");
    enter("a", "a3");
    assert.throws(
      () => enter("a", "a4"),
      (error: Refusal) => error.status === 503 && Number(error.headers["retry-after"]) >= 1,
    );
    enter("b", "b1");
    assert.deepEqual([out, queue.size], [["a3"], 3]);
    assert.throws(() => queue.check("b"), Refusal);
    queue.check("c");
  });

  test("a turn that is given up while it waits is not run, and one that fails makes way", async () => {
    const queue = createQueue(1, 10);
    const place = queue.enter("", ignore);
    const end = new AbortController();
    const failing = place.turn(() => Promise.reject(new Error("bad")), never);
    const waiting = place.turn(async () => assert.fail("run"), end.signal);
    const last = place.turn(async () => "last", never);
    end.abort(new Error("given up"));
    await assert.rejects(failing, /bad/);
    await assert.rejects(waiting, /given up/);
    assert.equal(await last, "last");
  });
});

suite("pool", () => {
  const never = new AbortController().signal;
  /** Models that take a number of bytes, what was done with them, and the most bytes that were taken at once. */
  function poolOf(sizes: Readonly<Record<string, number>>, most: number) {
    const log: string[] = [];
    const taken = { now: 0, most: 0 };
    const models = Object.entries(sizes).map(([name, bytes]): [string, OpenModel] => [
      name,
      async ({ onProgress, signal }) => {
        onProgress?.({ phase: "weights", file: "", loaded: 0, total: 1, memory: bytes });
        await setTimeout(5, undefined, { signal });
        taken.now += bytes;
        taken.most = Math.max(taken.most, taken.now);
        log.push(`+${name}`);
        const memory = { weights: bytes, activations: 0 };
        const dispose = () => {
          taken.now -= memory.weights + memory.activations;
          log.push(`-${name}`);
        };
        return { memory, dispose } as unknown as Model;
      },
    ]);
    return { pool: createPool(new Map(models), {}, most), log, taken };
  }

  test("loads a model once for all who ask, and drops the least recently used when memory runs short", async () => {
    const { pool, log, taken } = poolOf({ a: 40, b: 40, c: 40 }, 100);
    const use = async (name: string) => (await pool.use(name, never)).release();
    await Promise.all([use("a"), use("a"), use("b")]);
    await use("a");
    await use("c");
    assert.deepEqual(log, ["+a", "+b", "-b", "+c"]);
    assert.deepEqual(pool.bytes, { a: 40, c: 40 });
    await use("b");
    assert.deepEqual(log.slice(4), ["-a", "+b"]);
    assert.equal(taken.most, 80);
    await pool.close();
    assert.deepEqual(log.slice(6).sort(), ["-b", "-c"]);
  });

  test("a model in use is dropped when it is released; none is read before, whether its size is known or not", async () => {
    const { pool, log, taken } = poolOf({ a: 60, b: 60 }, 100);
    for (const [used, wanted] of ["ab", "ba", "ab"] as Iterable<string>) {
      const first = await pool.use(used!, never);
      const second = pool.use(wanted!, never);
      await setTimeout(30);
      assert.deepEqual([log.at(-1), pool.bytes], [`+${used}`, { [used!]: 60 }]);
      first.release();
      (await second).release();
      assert.deepEqual(log.slice(-2), [`-${used}`, `+${wanted}`]);
    }
    assert.equal(taken.most, 60);
  });

  test("memory that a model takes while it runs is of the others, which go when it is released", async () => {
    const { pool, log, taken } = poolOf({ a: 40, b: 40 }, 100);
    (await pool.use("a", never)).release();
    const { model, release } = await pool.use("b", never);
    Object.assign(model.memory, { activations: 30 });
    taken.now += 30;
    assert.deepEqual(log, ["+a", "+b"]);
    release();
    assert.deepEqual(log.slice(2), ["-a"]);
    assert.deepEqual(pool.bytes, { b: 70 });
    (await pool.use("b", never)).release();
    assert.equal(log.length, 3);
  });

  test("a model that is too large is refused, once and for all, and the others stay", async () => {
    const { pool, log } = poolOf({ a: 10, large: 200 }, 100);
    await (await pool.use("a", never)).release();
    const tooLarge = (error: Refusal) => error.status === 507;
    await assert.rejects(pool.use("large", never), tooLarge);
    await assert.rejects(pool.use("large", never), tooLarge);
    assert.deepEqual(log, ["+a"]);
    assert.ok((await pool.use("a", never)).model);
  });

  test("files that are replaced while their model runs are read when it is loaded again", async (t) => {
    const folder = join(scratch, "replaced");
    cpSync("tests/fixtures/checkpoints/hf-vit", folder, { recursive: true });
    const own = handlerOf(t, { models: { folder, clip: MODELS.clip }, limits: { memory: 400_000 } });
    const row = async () => (await answered(own, post("/models/folder/pipeline/feature-extraction", SMALL))).value;
    const before = await row();
    const weights = readFileSync(join(folder, "model.safetensors"));
    writeFileSync(
      join(folder, "model.safetensors"),
      weights.map((byte, i) => (i > weights.length - 4000 ? 0 : byte)),
    );
    assert.deepEqual(await row(), before);
    assert.equal((await own(json("/models/clip", { inputs: "a" }))).status, 200);
    assert.ok(Array.isArray(await row()));
  });
});

suite("images at addresses", () => {
  /** Refused, each as it is written. */
  const FORBIDDEN = [
    ...["http://127.0.0.1/", "http://localhost/", "http://127.1/", "http://2130706433/", "http://0x7f000001/"],
    ...["http://0177.0.0.1/", "http://0/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"],
    ...["http://127.0.0.1.:80/", "http://①②⑦.0.0.1/", "http://0x7f.1/", "http://[0:0:0:0:0:0:0:1]/", "http://[::]/"],
    ...[
      "http://017700000001/",
      "http://0x7f.0.0x1/",
      "http://127.0.1/",
      "http://%31%32%37.0.0.1/",
      "http://localhost./",
    ],
    ...["http://0.0.0.0/", "http://[::127.0.0.1]/", "http://[::ffff:0:7f00:1]/", "http://[64:ff9b:1::7f00:1]/"],
    ...["http://240.0.0.1/", "http://192.0.0.1/", "http://192.0.2.1/", "http://[2001:db8::1]/", "http://[fec0::1]/"],
    ...["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/"],
    ...["http://100.64.0.1/", "http://[fe80::1]/", "http://[fd00::1]/", "http://[fc00::1]/", "http://224.0.0.1/"],
    ...["http://255.255.255.255/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[2001:0:7f00:1::]/"],
    ...["http://198.18.0.1/", "http://[ff02::1]/", "ftp://example.org/", "file:///etc/passwd", "gopher://127.0.0.1/"],
    ...["http://user:secret@example.org/", "blob:http://127.0.0.1/a", "javascript:1"],
  ];

  const withPort = (address: string, port: number) =>
    address.replace(/^(http:\/\/[^/:]*|http:\/\/\[[^\]]*\])(:80)?\//, `$1:${port}/`);

  test("addresses of this machine and its networks are not asked, however they are written", async (t) => {
    let asked = 0;
    const server = createServer((_, response) => {
      asked++;
      response.end(SMALL);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const own = handlerOf(t, { models: { vit }, fetchImages: true });
    for (const address of FORBIDDEN) {
      const input = withPort(address, port);
      const { status, value } = await answered(own, json("/v1/embeddings", { input, modality: "image" }));
      assert.equal(status, 400, address);
      assert.match(value.error.message, /^the image at ".*" (must be at|must be named|cannot be fetched)/, address);
      assert.doesNotMatch(value.error.message, /secret/);
    }
    assert.equal(asked, 0);
  });

  test("nor are they behind a redirection", async (t) => {
    const asked: string[] = [];
    const server = createServer(({ url = "" }, response) => {
      asked.push(url);
      const { port } = server.address() as AddressInfo;
      const location = FORBIDDEN[Number(/^\/to\/(\d+)$/.exec(url)?.[1])];
      if (location === undefined) response.end(SMALL);
      else response.writeHead(302, { location: Buffer.from(withPort(location, port)).toString("latin1") }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    // The one name that is public leads to the server; all else is as it is.
    const network = openNetwork()!;
    const redirecting: Network = {
      resolve: async (host, signal) => (host === "a.org" ? ["1.1.1.1"] : network.resolve(host, signal)),
      get: (url, address, signal) => network.get(url, address === "1.1.1.1" ? "127.0.0.1" : address, signal),
    };
    const options = { most: 1e5, allowance: createAllowances(1e6)(), signal: new AbortController().signal };
    const fetchIt = (path: string) => createFetcher(redirecting)(`http://a.org:${port}${path}`, options);
    for (const [i, address] of FORBIDDEN.entries()) {
      await assert.rejects(fetchIt(`/to/${i}`), / (must be at|must be named|cannot be fetched|leads to)/, address);
      assert.deepEqual(asked, [`/to/${i}`], address);
      asked.length = 0;
    }
    assert.deepEqual(new Uint8Array(await fetchIt("/image")), SMALL);
  });

  test("public addresses are those of the Internet", () => {
    for (const address of [
      "1.1.1.1",
      "172.15.0.1",
      "172.32.0.1",
      "100.128.0.1",
      "2606:4700::1111",
      "2a00:1450:4001::1",
    ]) {
      assert.ok(isPublic(address), address);
    }
    for (const address of [
      "192.0.2.1",
      "203.0.113.9",
      "2001:db8::1",
      "3fff::1",
      "::",
      "1.1.1",
      "01.1.1.1",
      "a",
      "fe80::1%eth0",
    ]) {
      assert.ok(!isPublic(address), address);
    }
  });

  /** A network in which names have addresses and addresses have answers; it says what was asked. */
  function networkOf(
    names: Readonly<Record<string, readonly string[] | (() => readonly string[])>>,
    answer: (url: URL) => { status?: number; headers?: Record<string, string>; body?: AsyncIterable<Uint8Array> },
  ) {
    const log: string[] = [];
    const network: Network = {
      async resolve(host) {
        log.push(`resolve ${host}`);
        const { [host]: found = [] } = names;
        return typeof found === "function" ? found() : found;
      },
      async get(url, address) {
        log.push(`get ${url.href} at ${address}`);
        const { status = 200, headers = {}, body = once(SMALL) } = answer(url);
        return { status, header: (name) => headers[name], body, close: () => {} };
      },
    };
    const allowance = createAllowances(1e6)();
    const fetchIt = (address: string, signal = new AbortController().signal) =>
      createFetcher(network)(address, { most: 20_000, allowance, signal });
    return { log, fetchIt };
  }
  async function* once(bytes: Uint8Array) {
    yield bytes;
  }

  test("a name is resolved once, and the connection is made to the address that was checked", async () => {
    let times = 0;
    const rebinding = () => (times++ === 0 ? ["1.1.1.1"] : ["127.0.0.1"]);
    const { log, fetchIt } = networkOf({ "a.org": rebinding }, () => ({}));
    assert.deepEqual(await fetchIt("http://a.org/cat.jpg"), SMALL);
    assert.deepEqual(log, ["resolve a.org", "get http://a.org/cat.jpg at 1.1.1.1"]);
    // The next request has the new address, which is refused.
    await assert.rejects(fetchIt("http://a.org/cat.jpg"), /must be at a public address/);
    assert.equal(log.length, 3);
  });

  test("names with any address that is not public are refused, also behind redirections, of which there are few", async () => {
    const names = { "a.org": ["1.1.1.1"], "inside.org": ["10.0.0.1"], "both.org": ["1.1.1.1", "::1"], "none.org": [] };
    const to = (location: string) =>
      networkOf(names, ({ host }) => (host === "a.org" ? { status: 302, headers: { location } } : {}));
    for (const host of ["inside.org", "both.org", "none.org"]) {
      await assert.rejects(to("").fetchIt(`http://${host}/`), /must be at a public address/);
    }
    for (const place of [
      "http://inside.org/",
      "http://127.0.0.1/",
      "//localhost/",
      "http://[::1]/",
      "http://2130706433/",
    ]) {
      const { log, fetchIt } = to(place);
      await assert.rejects(fetchIt("http://a.org/"), /must be at a public address/, place);
      assert.equal(log.filter((line) => line.startsWith("get")).length, 1);
    }
    await assert.rejects(to("file:///etc/passwd").fetchIt("http://a.org/"), /must be at an http: or https: address/);
    const { log, fetchIt } = to("/again");
    await assert.rejects(fetchIt("http://a.org/"), /more than 5 redirections/);
    assert.equal(log.filter((line) => line.startsWith("get")).length, 6);
    const onwards = networkOf({ ...names, "b.org": ["1.0.0.1"] }, ({ host }) =>
      host === "a.org" ? { status: 301, headers: { location: "https://b.org/x" } } : {},
    );
    assert.deepEqual(await onwards.fetchIt("http://a.org/"), SMALL);
  });

  test("answers that are too long, compressed, no images of a status, or without end are given up", async () => {
    const names = { "a.org": ["1.1.1.1"] };
    async function* endless() {
      for (;;) yield new Uint8Array(1000);
    }
    const cases: [Parameters<typeof networkOf>[1], RegExp][] = [
      [() => ({ body: endless() }), /must have at most 20,000 bytes$/],
      [() => ({ headers: { "content-length": "20001" } }), /must have at most 20,000 bytes$/],
      [() => ({ headers: { "content-encoding": "gzip" } }), /comes compressed$/],
      [() => ({ status: 404 }), /is not there: its server answered 404$/],
      [() => assert.fail("ECONNREFUSED 1.1.1.1"), /^Error: the image at "http:\/\/a.org\/x" cannot be fetched$/],
    ];
    for (const [answer, message] of cases)
      await assert.rejects(networkOf(names, answer).fetchIt("http://a.org/x?key"), message);
  });

  test("an image is fetched by the host's sockets from the address that is given, by its name", async (t) => {
    let host: string | undefined;
    const server = createServer((request, response) => {
      host = request.headers.host;
      response.end(SMALL);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const network = openNetwork()!;
    const loop: Network = {
      resolve: async () => ["1.1.1.1"],
      get: (url, _, signal) => network.get(url, "127.0.0.1", signal),
    };
    const allowance = createAllowances(1e6)();
    const signal = new AbortController().signal;
    assert.deepEqual(
      new Uint8Array(await createFetcher(loop)(`http://cats.example:${port}/a`, { most: 1e5, allowance, signal })),
      SMALL,
    );
    assert.equal(host, `cats.example:${port}`);
  });

  test("where a fetch is given, it is asked, for public addresses as far as they are written out", async (t) => {
    const asked: string[] = [];
    const fetchImages = (async (url: URL, init: RequestInit) => {
      asked.push(`${url.href} ${init.redirect}`);
      return new Response(CAT);
    }) as unknown as typeof fetch;
    const own = handlerOf(t, { models: { vit }, fetchImages });
    const ask = (input: string) => answered(own, json("/v1/embeddings", { input, modality: "image" }));
    assert.equal((await ask("https://a.org/cat.jpg")).status, 200);
    assert.equal((await ask("http://127.0.0.1/cat.jpg")).status, 400);
    assert.deepEqual(asked, ["https://a.org/cat.jpg manual"]);
  });
});
