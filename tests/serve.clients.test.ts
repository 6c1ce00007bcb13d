/**
 * `vitrail serve` and the clients that people have: npm's `openai` and `@huggingface/inference`, and Python's `openai` and
 * `huggingface_hub` where they are at hand. Each result is the library's own on the same image.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import { decode } from "../src/image/index.js";
import { type Detection, load, type Model } from "../src/index.js";
import { absent, installed } from "./installed.js";
import { temporary } from "./project.js";
import { type Served, serveModels } from "./server.js";

const PHOTO = "models/samples/cat-1.jpg";
const CAT = new Uint8Array(readFileSync(PHOTO));
const FIXTURES = "tests/fixtures";
const MODELS = {
  vit: `${FIXTURES}/checkpoints/hf-vit`,
  clip: `${FIXTURES}/checkpoints/hf-clip`,
  yolos: `${FIXTURES}/checkpoints/hf-yolos`,
  owl: `${FIXTURES}/checkpoints/hf-owlv2`,
  depth: `${FIXTURES}/dense/hf-depth-anything`,
  segments: `${FIXTURES}/dense/hf-dpt-segmentation`,
  cut: matryoshka(),
};
const AUTH = "sesame";

/** The clip fixture, as one of a checkpoint that says to which lengths its vectors may be cut. */
function matryoshka(): string {
  const folder = temporary("matryoshka");
  cpSync(`${FIXTURES}/checkpoints/hf-clip`, folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, matryoshka_dimensions: [4, 8] }));
  return folder;
}

/** A client from the folder of hosts; nothing of it is known here. */
async function client(path: string) {
  return import(pathToFileURL(installed(path)!).href);
}
const OPENAI = "openai/index.mjs";
const HUGGING_FACE = "@huggingface/inference/dist/esm/index.js";

suite("clients", () => {
  let server: Served;
  const models = new Map<string, Model>();
  const modelOf = async (name: keyof typeof MODELS) => {
    const model = models.get(name) ?? (await load(MODELS[name]));
    models.set(name, model);
    return model;
  };
  before(async () => {
    server = await serveModels([
      ...Object.entries(MODELS).map(([name, folder]) => `${name}=${folder}`),
      "--auth",
      AUTH,
    ]);
  });
  after(async () => {
    for (const model of models.values()) model.dispose();
    await server.stop();
  });

  const url = `data:image/jpeg;base64,${Buffer.from(CAT).toString("base64")}`;
  const unit = async (name: "vit" | "clip") => Array.from(await (await modelOf(name)).embed(CAT, { normalize: true }));
  const scored = (found: readonly { label: string; probability: number }[]) =>
    found.map(({ label, probability }) => ({ label, score: probability }));
  const boxed = (found: readonly Detection[]) =>
    found.map(({ label, probability, box }) => ({
      ...{ label, score: probability },
      box: Object.fromEntries(Object.entries(box).map(([side, x]) => [side, Math.trunc(x)])),
    }));

  test("openai of npm", { skip: absent("openai", installed(OPENAI)) }, async () => {
    const { OpenAI, NotFoundError, BadRequestError, AuthenticationError } = await client(OPENAI);
    const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: AUTH, maxRetries: 0 });
    // It asks for base64 unless it is told otherwise, and unpacks it.
    for (const format of [{}, { encoding_format: "float" }]) {
      const { data, usage } = await openai.embeddings.create({ model: "clip", input: ["a cat", "a dog"], ...format });
      const text = await (await modelOf("clip")).text!.embed(["a cat", "a dog"], { normalize: true });
      assert.deepEqual(
        data.flatMap(({ embedding }: { embedding: number[] }) => embedding),
        Array.from(text),
      );
      assert.ok(usage.total_tokens > 4);
    }
    const image = await openai.embeddings.create({ model: "vit", input: url, modality: "image" });
    assert.deepEqual(image.data[0].embedding, await unit("vit"));
    const listed = [];
    for await (const { id } of openai.models.list()) listed.push(id);
    assert.deepEqual(listed, Object.keys(MODELS));
    assert.equal((await openai.models.retrieve("vit")).id, "vit");
    await assert.rejects(openai.embeddings.create({ model: "none", input: "a" }), (error: Error) => {
      assert.ok(error instanceof NotFoundError);
      return /there is no model/.test(error.message);
    });
    const cut = (dimensions: number) => openai.embeddings.create({ model: "cut", input: "a cat", dimensions });
    assert.equal((await cut(4)).data[0].embedding.length, 4);
    await assert.rejects(cut(5), (error: Error) => {
      assert.ok(error instanceof BadRequestError);
      return error.message === "400 dimensions must be one of 4, 8; got 5";
    });
    const stranger = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), (error) => error instanceof AuthenticationError);
  });

  test("@huggingface/inference: every task", {
    skip: absent("@huggingface/inference", installed(HUGGING_FACE)),
  }, async () => {
    const { InferenceClient } = await client(HUGGING_FACE);
    const of = (name: keyof typeof MODELS, more = "") =>
      new InferenceClient(AUTH, { endpointUrl: `${server.url}/models/${name}${more}`, retry_on_error: false });
    const data = () => new Blob([CAT]);
    const parameters = { candidate_labels: ["cat", "dog"] };
    assert.deepEqual(
      await of("vit").imageClassification({ data: data() }),
      scored(await (await modelOf("vit")).classify(CAT)),
    );
    assert.deepEqual(
      await of("clip").zeroShotImageClassification({ inputs: { image: data() }, parameters }),
      scored(await (await modelOf("clip")).zeroShot(CAT, ["cat", "dog"])),
    );
    const text = Array.from(await (await modelOf("clip")).text!.embed("a cat"));
    assert.deepEqual(await of("clip").featureExtraction({ inputs: "a cat" }), text);
    assert.deepEqual(await of("clip").featureExtraction({ inputs: ["a cat"] }), [text]);
    assert.deepEqual(
      await of("yolos").objectDetection({ data: data() }),
      boxed(await (await modelOf("yolos")).detect(CAT)),
    );
    const detections = await of("owl").request({ inputs: Buffer.from(CAT).toString("base64"), parameters });
    assert.deepEqual(detections, boxed(await (await modelOf("owl")).detect(CAT, { labels: ["cat", "dog"] })));

    const { segments } = await (await modelOf("segments")).segment(CAT);
    const found = await of("segments").imageSegmentation({ inputs: data() });
    assert.deepEqual(
      found.map(({ label, score }: { label: string; score: number }) => ({ label, score })),
      scored(segments),
    );
    for (const [i, { mask }] of found.entries()) {
      const { data } = await decode(Buffer.from(mask, "base64"));
      const wanted = segments[i]!.mask.data;
      assert.ok(wanted.every((inside, j) => data[3 * j] === 255 * inside));
    }

    const depth = await of("depth").request({ data: data() });
    const { width, height } = await decode(CAT);
    const picture = await decode(Buffer.from(depth.depth, "base64"));
    assert.deepEqual([picture.width, picture.height], [width, height]);
    const map = await (await modelOf("depth")).depth(CAT, { size: "model" });
    assert.deepEqual(depth.predicted_depth.flat(), Array.from(map.data));

    await assert.rejects(of("vit", "/pipeline/object-detection").request({ data: data() }), /this model cannot do/);
    const noImage = new Blob(["no image"]);
    await assert.rejects(of("vit").imageClassification({ data: noImage }), /the image is not a JPEG, PNG, WebP/);
  });

  test("a body that is streamed, of which no length is said", async () => {
    const body = new Blob([CAT]).stream();
    const headers = { authorization: `Bearer ${AUTH}` };
    const init = { method: "POST", body, headers, duplex: "half" } as RequestInit;
    const classes = await (await fetch(`${server.url}/models/vit`, init)).json();
    assert.deepEqual(classes, scored(await (await modelOf("vit")).classify(CAT)));
  });

  const python = process.env.VITRAIL_PYTHON ?? "python3";
  const has = (module: string) => spawnSync(python, ["-c", `import ${module}`]).status === 0;

  test("openai of Python", { skip: !has("openai") && "Python has no package openai" }, async () => {
    const found = run(`
import openai
from openai import OpenAI
client = OpenAI(base_url=url + "/v1", api_key="${AUTH}")
image = "data:image/jpeg;base64," + base64.b64encode(open("${PHOTO}", "rb").read()).decode()
rows = client.embeddings.create(model="vit", input=[image], extra_body={"modality": "image"})
def error(**options):
    try:
        client.embeddings.create(input="a cat", **options)
    except openai.APIStatusError as failure:
        return [type(failure).__name__, failure.body["message"]]
print(json.dumps({
  "row": rows.data[0].embedding,
  "models": [m.id for m in client.models.list()],
  "cut": len(client.embeddings.create(model="cut", input="a cat", dimensions=4).data[0].embedding),
  "errors": [error(model="cut", dimensions=5), error(model="none")],
}))`) as { errors: string[][] };
    const { errors, ...rest } = found;
    assert.deepEqual(rest, { row: await unit("vit"), models: Object.keys(MODELS), cut: 4 });
    assert.deepEqual(errors[0], ["BadRequestError", "dimensions must be one of 4, 8; got 5"]);
    assert.deepEqual(errors[1]![0], "NotFoundError");
  });

  test("Infinity's client of Python", {
    skip: !has("infinity_client") && "Python has no package infinity_client",
  }, async () => {
    // It names no model, and asks for 0 dimensions.
    const found = run(`
from infinity_client import AuthenticatedClient
from infinity_client.api.default import embeddings
from infinity_client.models import OpenAIEmbeddingInputImage as Image
client = AuthenticatedClient(base_url=url, token="${AUTH}")
data = "data:image/jpeg;base64," + base64.b64encode(open("${PHOTO}", "rb").read()).decode()
print(json.dumps([row.embedding for row in embeddings.sync(client=client, body=Image(input_=[data])).data]))`);
    assert.deepEqual(found, [await unit("vit")]);
  });

  test("huggingface_hub's InferenceClient", {
    skip: !has("huggingface_hub") && "Python has no package huggingface_hub",
  }, async () => {
    const found = run(`
from huggingface_hub import InferenceClient
of = lambda name: InferenceClient(model=url + "/models/" + name, token="${AUTH}")
plain = lambda found: [{"label": x.label, "score": x.score} for x in found]
def error():
    try:
        of("vit").object_detection("${PHOTO}", threshold=2)
    except Exception as failure:
        return str(failure).splitlines()[-1]
boxes = lambda found: [{"label": x.label, "score": x.score, "box": {k: getattr(x.box, k) for k in ("xmin", "ymin", "xmax", "ymax")}} for x in found]
print(json.dumps({
  "classes": plain(of("vit").image_classification("${PHOTO}")),
  "two": plain(of("vit").image_classification("${PHOTO}", top_k=2)),
  "named": plain(of("clip").zero_shot_image_classification("${PHOTO}", candidate_labels=["cat", "dog"])),
  "text": of("clip").feature_extraction("a cat", normalize=True).reshape(-1).tolist(),
  "boxes": boxes(of("yolos").object_detection("${PHOTO}", threshold=0.01)),
  "bytes": plain(of("vit").image_classification(open("${PHOTO}", "rb").read())),
  "error": error(),
  "segments": [[x.label, x.score, x.mask.size] for x in of("segments").image_segmentation("${PHOTO}")],
}))`);
    const classes = scored(await (await modelOf("vit")).classify(CAT));
    const { segments, width, height } = await (await modelOf("segments")).segment(CAT);
    assert.deepEqual(found, {
      classes,
      bytes: classes,
      error: 'parameters of image-classification may have function_to_apply, top_k; got "threshold"',
      two: classes.slice(0, 2),
      named: scored(await (await modelOf("clip")).zeroShot(CAT, ["cat", "dog"])),
      text: Array.from(await (await modelOf("clip")).text!.embed("a cat", { normalize: true })),
      boxes: boxed(await (await modelOf("yolos")).detect(CAT, { threshold: 0.01 })),
      segments: segments.map(({ label, probability }) => [label, probability, [width, height]]),
    });
  });

  function run(program: string): unknown {
    const env = { ...process.env, HF_HUB_OFFLINE: "0", HF_HUB_DISABLE_TELEMETRY: "1" };
    const code = `import base64, json\nurl = "${server.url}"${program}`;
    const { status, stdout, stderr } = spawnSync(python, ["-c", code], { encoding: "utf8", env, timeout: 60_000 });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }
});
