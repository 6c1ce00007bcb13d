/**
 * `vitrail serve` and the clients that people have: npm's `openai` and `@huggingface/inference`, and Python's `openai` and
 * `huggingface_hub` where they are at hand. Each result is the library's own on the same image.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import { decode } from "../src/image/index.js";
import { type Detection, load, type Model } from "../src/index.js";
import { absent, installed } from "./installed.js";
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
};
const AUTH = "sesame";

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
    const { OpenAI, NotFoundError, AuthenticationError } = await client(OPENAI);
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
  });

  const python = process.env.VITRAIL_PYTHON ?? "python3";
  const has = (module: string) => spawnSync(python, ["-c", `import ${module}`]).status === 0;

  test("openai of Python", { skip: !has("openai") && "Python has no package openai" }, async () => {
    const found = run(`
from openai import OpenAI
client = OpenAI(base_url=url + "/v1", api_key="${AUTH}")
image = "data:image/jpeg;base64," + base64.b64encode(open("${PHOTO}", "rb").read()).decode()
rows = client.embeddings.create(model="vit", input=[image], extra_body={"modality": "image"})
print(json.dumps({"row": rows.data[0].embedding, "models": [m.id for m in client.models.list()]}))`);
    assert.deepEqual(found, { row: await unit("vit"), models: Object.keys(MODELS) });
  });

  test("huggingface_hub's InferenceClient", {
    skip: !has("huggingface_hub") && "Python has no package huggingface_hub",
  }, async () => {
    const found = run(`
from huggingface_hub import InferenceClient
of = lambda name: InferenceClient(model=url + "/models/" + name, token="${AUTH}")
plain = lambda found: [{"label": x.label, "score": x.score} for x in found]
boxes = lambda found: [{"label": x.label, "score": x.score, "box": {k: getattr(x.box, k) for k in ("xmin", "ymin", "xmax", "ymax")}} for x in found]
print(json.dumps({
  "classes": plain(of("vit").image_classification("${PHOTO}")),
  "two": plain(of("vit").image_classification("${PHOTO}", top_k=2)),
  "named": plain(of("clip").zero_shot_image_classification("${PHOTO}", candidate_labels=["cat", "dog"])),
  "text": of("clip").feature_extraction("a cat", normalize=True).reshape(-1).tolist(),
  "boxes": boxes(of("yolos").object_detection("${PHOTO}", threshold=0.01)),
  "segments": [[x.label, x.score, x.mask.size] for x in of("segments").image_segmentation("${PHOTO}")],
}))`);
    const classes = scored(await (await modelOf("vit")).classify(CAT));
    const { segments, width, height } = await (await modelOf("segments")).segment(CAT);
    assert.deepEqual(found, {
      classes,
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
