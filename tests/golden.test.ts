/**
 * Every intermediate of tiny checkpoints against the library that published their layout (transformers, timm). What is in
 * tests/fixtures/checkpoints runs everywhere; the wider set lies beside a developer's checkout.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { load, type Outputs, type Tensor } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { readTensors } from "./tensors.js";

/** Layouts of this version; the other goldens belong to families that are refused. */
const SUPPORTED =
  /^(hf-vit-(classify|model-pooler|no-qkv-bias|f16|bf16|sharded|rectangular)|hf-deit-.*|timm-(vit|vit-avg-fcnorm|qk-norm|patch8|so400m|deit-distilled)|dino-original)$/;

/** Ours for each golden's name; `hidden_states.3` and the like are elements of a list. */
const NAMES: Record<string, keyof Outputs> = {
  logits: "logits",
  last_hidden_state: "lastHiddenState",
  forward_features: "lastHiddenState",
  pooler_output: "pooled",
  forward_head_pre_logits: "preLogits",
  patch_embedding: "patchEmbedding",
  hidden_states: "hiddenStates",
  intermediates: "hiddenStates",
  attentions: "attentions",
};

/** The largest difference, as a part of the largest magnitude (attentions: absolute). PyTorch in f32 is within 2e-6. */
const TOLERANCE = 2e-5;

interface Case {
  readonly model_args?: { readonly num_heads: number };
  readonly goldens: readonly { readonly file: string }[];
}

for (const root of ["tests/fixtures/checkpoints", "../shared/goldens"]) {
  if (!existsSync(root)) {
    test(`goldens of ${root}`, { skip: `${root} is absent: it is not part of the package` }, () => undefined);
    continue;
  }
  const folders = readdirSync(root).filter((name) => existsSync(join(root, name, "case.json")));
  for (const name of folders.filter((folder) => root.startsWith("tests") || SUPPORTED.test(folder))) {
    const folder = join(root, name);
    const { goldens, model_args: args } = JSON.parse(readFileSync(join(folder, "case.json"), "utf8")) as Case;
    for (const backend of ["wasm", "reference"] as const) {
      test(`${name} on ${backend} is what its library computes`, async () => {
        using model = await load(folder, { backend, config: { heads: args?.num_heads } });
        const golden = readTensors(join(folder, goldens[0]!.file));
        const pixelValues = golden.get("pixel_values")!;
        const wanted = [...golden.keys()].flatMap((key) => NAMES[key.split(".")[0]!] ?? []);
        const got = await model.forward({ pixelValues }, { outputs: [...new Set(wanted)] });
        let compared = 0;
        for (const [key, want] of golden) {
          const [base, index] = key.split(".");
          const ours = NAMES[base!];
          if (!ours) continue;
          const output = got[ours] as Tensor | Tensor[];
          const { dims, data } = Array.isArray(output)
            ? output[Number(index) + Number(base === "intermediates")]!
            : output;
          assert.deepEqual(dims, want.dims, key);
          const magnitude = base === "attentions" ? 1 : want.data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
          assertClose(data, want.data, TOLERANCE * magnitude, key);
          compared++;
        }
        assert.ok(compared >= 5, `only ${compared} tensors compared`);
      });
    }
  }
}
