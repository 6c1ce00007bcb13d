/**
 * No checkpoint takes more time or memory than its bytes: each row of bounds.cases.ts is refused in its one sentence, by a child
 * that is ended where it hangs, and whose memory is measured at its highest.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { withTags } from "../src/checkpoint/tags.js";
import { load } from "../src/index.js";
import { faultOfPlaces } from "../src/vit/places.js";
import { CASES } from "./bounds.cases.js";
import type { Answer } from "./bounds.child.js";
import { readTensors } from "./tensors.js";

/** Far beyond what a refusal takes: what goes past it never ends. VITRAIL_BOUNDS=1 prints what each took. */
const MOST_MS = 5000;

/**
 * Bytes that a refusal may take beside 16 times its files': a million "7":"x" are 12 MB of text and 80 of an object. A heap that
 * has garbage to collect grows by some ten megabytes.
 */
const MOST_BYTES = 64e6;

let child: ChildProcess | undefined;
after(() => child?.disconnect());

async function started(): Promise<ChildProcess> {
  if (child) return child;
  child = fork(fileURLToPath(new URL("./bounds.child.js", import.meta.url)));
  await once(child, "message");
  return child;
}

async function answerTo(name: string): Promise<Answer> {
  const asked = await started();
  let timer: NodeJS.Timeout | undefined;
  const stop = new AbortController();
  const died = once(asked, "exit", stop).then(([code, signal]) => {
    throw new Error(`"${name}" ended the process: ${signal ?? code}`);
  });
  died.catch(() => {});
  try {
    asked.send(name);
    await Promise.race([once(asked, "message"), died]);
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`"${name}" has not ended after ${MOST_MS} ms`)), MOST_MS);
    });
    const answered = once(asked, "message").then(([answer]) => answer as Answer);
    const answer = await Promise.race([answered, late, died]);
    // Where a large file has raised the highest memory, the next cases would hide below it.
    if (answer.bytes > 2 ** 20 || answer.grown > 2 ** 24) {
      child = undefined;
      asked.disconnect();
    }
    return answer;
  } catch (error) {
    child = undefined;
    asked.kill("SIGKILL");
    throw error;
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

for (const [name, { message, does }] of Object.entries(CASES)) {
  test(`${name}: ${does.join(", ")}`, async (t) => {
    const { messages, ms, grown, bytes } = await answerTo(name);
    if (process.env.VITRAIL_BOUNDS) t.diagnostic(`${ms.map(Math.round).join(", ")} ms, ${(grown / 1e6).toFixed(0)} MB`);
    for (const [i, found] of messages.entries()) assert.match(found, message, does[i]);
    for (const found of messages) assert.ok(found.length < 1500 && !found.includes("\n"), "one sentence, not a page");
    assert.ok(grown < MOST_BYTES + 16 * bytes, `${grown} bytes more`);
  });
}

test("what models are loaded at is within the bounds, and relative positions are where their memory is not", async () => {
  const folder = "tests/fixtures/checkpoints/hf-beit";
  const tensors = readTensors(`${folder}/model.safetensors`);
  const shapes = new Map([...tensors].map(([name, { dims }]) => [name, { shape: dims, dtype: "F32" }]));
  const json = JSON.parse(readFileSync(`${folder}/config.json`, "utf8"));
  const { config } = await parseConfig("BEiT", json, shapes);
  // BEiT-B and -L at the sizes of its papers, and as they are used for segmentation and beyond.
  for (const [width, heads] of [
    [768, 12],
    [1024, 16],
  ] as const) {
    const beit = { ...config, width, heads, mlpWidth: 4 * width };
    for (const side of [224, 384, 512, 640, 896, 1024, 1280, 1520]) {
      assert.equal(faultOfPlaces("BEiT", beit, [side / 16, side / 16]), undefined, `${side}`);
    }
    assert.match(
      faultOfPlaces("BEiT", beit, [128, 128])!,
      /^BEiT must be smaller: relative positions of 128×128 patches/,
    );
  }
  const mixed = { ...config, relativePositions: false, rotary: { kind: "mixed" } as const, width: 768, mlpWidth: 3072 };
  assert.equal(faultOfPlaces("x", { ...mixed, depth: 40 }, [256, 256]), undefined);
  assert.match(
    faultOfPlaces("x", { ...mixed, depth: 400 }, [256, 256])!,
    /^x must be smaller: rotary positions of 256×256/,
  );
  // Resampled, as transformers does.
  using model = await load(folder, { imageSize: 60, backend: "wasm", threads: 1 });
  const image = { data: new Uint8Array(3 * 60 * 60).fill(99), width: 60, height: 60 };
  assert.equal((await model.classify(image)).length, 3);
  const pixelValues = { dims: [1, 3, 1000, 1000], data: new Float32Array(3e6) };
  await assert.rejects(model.forward({ pixelValues }), {
    name: "RangeError",
    message: /^forward: images must be smaller: relative positions of 250×250 patches take \d+ bytes/,
  });
});

test("a list of tags that is not the head's is refused", async () => {
  const header = "tag_id,name,category,count\n";
  const tagged = (text: string) =>
    withTags(
      { config: { layout: "timm", classes: 2 } as never, labels: ["LABEL_0", "LABEL_1"] },
      {
        name: "x",
        file: async () => new TextEncoder().encode(text),
        bring: async () => {},
      },
    );
  const { labels } = await tagged(`${header}1,"a, ""b""",0,5\n2,c,9,5\n`);
  assert.deepEqual(labels, ['a, "b"', "c"]);
  const cases: readonly (readonly [text: string, message: RegExp])[] = [
    ["", /must have the columns tag_id, name, category, count; got ""$/],
    ["name\na\n", /must have the columns tag_id, name, category, count; got "name"$/],
    [`${header}${"1,a,0,5\n".repeat(100_000)}`, /must have a row for each of 2 classes; got 100000$/],
    [`${header}1,a,0\n2,b,0,5\n`, /must have 4 values; got 3 in row 1$/],
    [`${header}1,a,toString,5\n2,b,0,5\n`, /must be among 0, 1, 3, 4, 5, 9; got "toString" in row 1$/],
    [`${header}1,a"b,0,5\n`, /must have the columns/],
  ];
  for (const [text, message] of cases) await assert.rejects(tagged(text), { message });
});
