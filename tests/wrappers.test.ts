/** Names that training puts around a model, and where none of them are taken away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultOfStrangers, strangersOf, wrapperOf } from "../src/checkpoint/wrappers.js";
import { openCheckpoint } from "../src/io/checkpoint.js";

async function tensorsOf(name: string) {
  const { tensors, close } = await openCheckpoint(`tests/fixtures/checkpoints/${name}`);
  await close();
  return tensors;
}
const tensors = await tensorsOf("timm-vit");
const clip = await tensorsOf("openclip-vit");

/** The tensors of a model behind each prefix, and others. */
const within = (prefixes: readonly string[], others: readonly string[] = [], of = tensors) => {
  const [one] = tensors.values();
  const renamed = prefixes.flatMap((prefix) => [...of].map(([name, info]) => [prefix + name, info] as const));
  return new Map([...others.map((name) => [name, one!] as const), ...renamed]);
};

test("modules around a model are found, and of two models that which evaluation uses", () => {
  const cases: [prefixes: string[], others: string[], expected: string][] = [
    [[""], ["head.extra"], ""],
    [["module."], [], "module."],
    [["_orig_mod.module."], [], "_orig_mod.module."],
    [["module._orig_mod.model.net."], [], "module._orig_mod.model.net."],
    [["model."], ["criterion.weight", "metric.count"], "model."],
    [["module.backbone."], ["module.head.mlp.0.weight"], "module.backbone."],
    [["student.backbone.", "teacher.backbone."], ["teacher.dino_head.mlp.0.weight"], "teacher.backbone."],
    [["module.momentum_encoder.", "module.base_encoder."], ["module.predictor.0.weight"], "module.base_encoder."],
    // Of modules that nobody knows, only those around all.
    [["tower."], [], "tower."],
    [["wrapped.tower."], [], "wrapped.tower."],
    [["tower."], ["loss.weight"], ""],
    [[], ["a.b", "a.c"], ""],
    [[], [], ""],
  ];
  for (const [prefixes, others, expected] of cases) {
    assert.equal(wrapperOf(within(prefixes, others)), expected, `${prefixes} beside ${others}`);
  }
  assert.equal(wrapperOf(within(["module."], [], clip)), "module.");
  assert.equal(wrapperOf(within([""], [], clip)), "");
});

test("beside a prefix there may be a trainer's tensors and copies of the model, and no others", () => {
  const cases: [prefixes: string[], others: string[], strangers: string[]][] = [
    [["module."], [], []],
    [["model."], ["criterion.weight", "metric.count", "train_acc.tp", "val_loss.weight"], []],
    [["module.backbone."], ["module.head.mlp.0.weight", "module.head.last_layer.weight_g"], []],
    [["teacher.backbone.", "student.backbone."], ["student.head.mlp.0.bias", "teacher.dino_head.mlp.0.weight"], []],
    [["teacher.backbone.", "student.backbone."], ["student.classifier.weight", "teacher.x"], ["teacher.x"]],
    [["module.base_encoder.", "module.momentum_encoder."], ["module.predictor.0.weight", "queue", "queue_ptr"], []],
    [["model.", "model_ema.module."], [], []],
    // A classifier is nobody's leftover, nor what nobody knows.
    [["backbone."], ["head.weight", "head.bias"], ["head.weight", "head.bias"]],
    [["module."], ["extra"], ["extra"]],
    [["visual_encoder."], ["text_decoder.bert.x", "temp"], ["text_decoder.bert.x", "temp"]],
    [["model."], ["losses"], ["losses"]],
  ];
  for (const [prefixes, others, strangers] of cases) {
    const all = within(prefixes, others);
    assert.deepEqual(strangersOf(all, wrapperOf(all)), strangers, `${prefixes} beside ${others}`);
  }
  assert.equal(
    faultOfStrangers("x", within(["backbone."], ["head.weight", "head.bias"]), "backbone."),
    'load: "x" has a model behind "backbone.", and beside it "head.weight", "head.bias"; ' +
      'the option ignore: /^(head\\.weight|head\\.bias)$/ leaves them out, as prefix: "backbone." leaves out all others',
  );
});

test("names of any number and depth take little time", () => {
  const deep = new Map(
    Array.from({ length: 20_000 }, (_, i) => [`${"model.".repeat(1000)}${i}`, [...tensors.values()][0]!]),
  );
  assert.equal(wrapperOf(deep), "");
  assert.equal(strangersOf(deep, "x").length, 20_000);
});
