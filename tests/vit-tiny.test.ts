/**
 * The real ViT-Ti/16 (Steiner et al. 2022, fine-tuned on ImageNet-1k) against timm: 200 photos from their JPEG bytes to
 * logits, in both layouts, and every block of one photo. Tolerances are 3 to 5 times PyTorch's own distance from f64.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { load, type Tensor } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { readTensors } from "./tensors.js";

const root = "../shared/models/vit-tiny-patch16-224";
const photos = "../shared/images/imagenet";
const absent = existsSync(root) ? undefined : `${root} is absent: the checkpoint is not part of the package`;

suite("ViT-Ti/16", { skip: absent }, () => {
  for (const layout of ["timm", "hf"]) {
    test(`${layout}: top-1 and logits of 200 photos from their JPEG bytes`, async () => {
      const { files } = JSON.parse(readFileSync(`${root}/golden/logits.json`, "utf8")) as { files: string[] };
      const want = readTensors(`${root}/golden/logits.safetensors`).get("logits")!;
      // timm's evaluation transform for both: the goldens of the two layouts are the same.
      using timm = await load(`${root}/timm`);
      using model = layout === "timm" ? timm : await load(`${root}/${layout}`);
      let agree = 0;
      let worst = 0;
      for (const [i, file] of files.entries()) {
        const { logits } = await model.forward({ pixelValues: await timm.preprocess(`${photos}/${file}`) });
        const expected = want.data.subarray(i * 1000, (i + 1) * 1000);
        const best = (x: Float32Array) => x.indexOf(Math.max(...x));
        agree += Number(best(logits.data) === best(expected));
        for (let j = 0; j < 1000; j++) worst = Math.max(worst, Math.abs(logits.data[j]! - expected[j]!));
      }
      console.log(
        `${layout}: top-1 agrees on ${agree}/${files.length}, largest logit difference ${worst.toExponential(2)}`,
      );
      assert.equal(agree, files.length);
      assert.ok(worst <= 5e-4, `largest logit difference ${worst}`);
    });

    test(`${layout}: every block of one photo`, async () => {
      using model = await load(`${root}/${layout}`);
      const golden = readTensors(`${root}/golden/blocks.safetensors`);
      const attentions = readTensors(`${root}/golden/attentions.safetensors`);
      const got = await model.forward(
        { pixelValues: golden.get("pixels")! },
        { outputs: ["patchEmbedding", "hiddenStates", "lastHiddenState", "attentions", "logits"] },
      );
      const within = (x: Tensor, name: string, absolute: number, relative = 0) => {
        const want = golden.get(name)?.data ?? attentions.get(name)!.data;
        assert.equal(x.data.length, want.length, name);
        x.data.forEach((value, i) => {
          const bound = absolute + relative * Math.abs(want[i]!);
          assert.ok(Math.abs(value - want[i]!) <= bound, `${name}[${i}]: want ${want[i]}, got ${value}`);
        });
      };
      within(got.patchEmbedding, "patch_embed", 2e-5, 1e-5);
      within(got.hiddenStates[0]!, "block_input", 2e-5, 1e-5);
      for (let i = 0; i < 12; i++) within(got.hiddenStates[i + 1]!, `block.${i}`, 2e-5, 1e-5);
      within(got.lastHiddenState, "norm", 3e-4);
      within(got.logits, "logits", 2e-4);
      for (const i of [0, 5, 11]) within(got.attentions[i]!, `attn.${i}`, 5e-6);
    });
  }

  test("int8: classes, logits and class tokens of 200 photos stay close to f32's", async () => {
    const { files } = JSON.parse(readFileSync(`${root}/golden/logits.json`, "utf8")) as { files: string[] };
    using exact = await load(`${root}/timm`);
    using model = await load(`${root}/timm`, { precision: "int8" });
    const outputs = ["logits", "lastHiddenState"] as const;
    const differences: number[] = [];
    const logits: number[] = [];
    const cosines: number[] = [];
    let agree = 0;
    for (const file of files) {
      const inputs = { pixelValues: await exact.preprocess(`${photos}/${file}`) };
      const want = await exact.forward(inputs, { outputs });
      const got = await model.forward(inputs, { outputs });
      const [a, b] = [want.logits.data, got.logits.data];
      const best = (x: Float32Array) => x.indexOf(Math.max(...x));
      agree += Number(best(a) === best(b));
      logits.push(...a);
      differences.push(...a.map((x, i) => Math.abs(x - b[i]!)));
      const [u, v] = [want, got].map(({ lastHiddenState }) => lastHiddenState.data.subarray(0, exact.config.width));
      const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
      cosines.push(dot(u!, v!) / Math.sqrt(dot(u!, u!) * dot(v!, v!)));
    }
    const mean = (x: readonly number[]) => x.reduce((sum, value) => sum + value, 0) / x.length;
    const centre = mean(logits);
    const difference = mean(differences) / Math.sqrt(mean(logits.map((x) => (x - centre) ** 2)));
    const cosine = mean(cosines);
    console.log(
      `int8: top-1 agrees with f32 on ${agree}/${files.length}, mean logit difference ${difference.toFixed(4)} deviations, ` +
        `mean cosine of the class token ${cosine.toFixed(5)}, least ${Math.min(...cosines).toFixed(4)}`,
    );
    // Two runs with a last bit changed differ by 0.027 themselves, so no single logit is held.
    assert.ok(agree >= 192, `${agree} of ${files.length} agree`);
    assert.ok(difference < 0.06, `mean difference ${difference}`);
    assert.ok(cosine >= 0.996, `mean cosine ${cosine}`);
  });

  test("the pixels of one photo are timm's, to the bit", async () => {
    using model = await load(`${root}/timm`);
    const golden = readTensors(`${root}/golden/blocks.safetensors`);
    const photo = `${photos}/n01558993_robin.JPEG`;
    assert.deepEqual(Array.from(await model.preprocessBytes(photo)), Array.from(golden.get("pixels_u8")!.data));
    assertClose((await model.preprocess(photo)).data, golden.get("pixels")!.data, 0, "pixels");
  });

  test("classify gives the labels of id2label", async () => {
    using model = await load(`${root}/hf`);
    const [best] = await model.classify(`${photos}/n01558993_robin.JPEG`, { topK: 1 });
    assert.deepEqual({ index: best!.index, label: best!.label }, { index: 15, label: model.labels[15] });
    assert.match(best!.label, /robin/i);
  });
});
