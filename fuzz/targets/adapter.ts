/** adapter_config.json beside names and shapes of an adapter's tensors and of its base's: `planAdapter`. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { planAdapter } from "../../src/checkpoint/adapter.js";
import { isRecord } from "../../src/checkpoint/json.js";
import { mutateJson } from "../mutate/json.js";
import { expect, type Target } from "../target.js";
import { fixture, readJson, seedOf, shapesIn, shapesOf } from "./json.js";

interface Input {
  config: unknown;
  /** Shapes by name. */
  adapter: unknown;
  base: unknown;
}

const ADAPTERS = fixture("adapters/");
const LONGEST_SEED = 16_384;

/** The small adapters that the tests have, on the base whose folder their config names. */
const seeds = readdirSync(ADAPTERS).flatMap((folder) => {
  const at = `${ADAPTERS}${folder}`;
  const weights = `${at}/adapter_model.safetensors`;
  if (!existsSync(weights)) return [];
  const config = JSON.parse(readFileSync(`${at}/adapter_config.json`, "utf8"));
  const base = `${at}/${config.base_model_name_or_path}/model.safetensors`;
  return existsSync(base) ? [seedOf({ config, adapter: shapesIn(weights), base: shapesIn(base) })] : [];
});

const target: Target = {
  seeds: seeds.filter(({ length }) => length <= LONGEST_SEED),
  mutators: [mutateJson],
  refusal: /^load: /,
  longest: 2 * LONGEST_SEED,
  longestMessage: 1500,
  milliseconds: 250,
  bytes: 16e6,
  run(input) {
    const { config, adapter, base } = readJson<Input>(input) ?? {};
    if (!isRecord(config) || !isRecord(adapter) || !isRecord(base)) return undefined;
    const [own, whole] = [shapesOf(adapter), shapesOf(base)];
    const { changes, own: replaced } = planAdapter("adapter", config as never, own, whole);
    for (const [name, parts] of changes) {
      const shape = whole.get(name)?.shape;
      expect(shape !== undefined, () => `a change of "${name}", which the base has not`);
      const rows = shape[0] ?? 1;
      for (const { from, rows: count, parts: names } of parts) {
        expect(from >= 0 && from + count <= rows, () => `rows ${from} to ${from + count} of ${rows}`);
        expect(
          names.every((part) => own.has(part)),
          () => "parts that the adapter has not",
        );
      }
    }
    expect(
      [...replaced.values()].every((from) => own.has(from)),
      () => "tensors that the adapter has not",
    );
    return undefined;
  },
};
export default target;
