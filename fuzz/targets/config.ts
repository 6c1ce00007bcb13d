/**
 * What a checkpoint says of itself: a JSON file and the names and shapes of tensors, to a config, labels, preprocessing and the
 * plan of its weights. Nothing may be allocated for what they only claim.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { imageOptions, imageSettings } from "../../src/checkpoint/families/bare.js";
import { isRecord } from "../../src/checkpoint/json.js";
import { classesOf, parseConfig } from "../../src/checkpoint/recognize.js";
import { planWeights } from "../../src/checkpoint/weights.js";
import { parsePreprocessing } from "../../src/image/processors.js";
import { mutateJson } from "../mutate/json.js";
import { expect, type Target } from "../target.js";
import { fixture, readJson, seedOf, shapesIn, shapesOf } from "./json.js";

interface Input {
  config: unknown;
  preprocessor: unknown;
  overrides: object;
  /** Shapes by name; all of type F32. */
  tensors: Record<string, number[]>;
}

const CHECKPOINTS = fixture("checkpoints/");
const LONGEST_SEED = 16_384;

/** The JSON and the shapes of the small checkpoints that the tests have, a family each. */
const seeds = readdirSync(CHECKPOINTS).flatMap((folder) => {
  const json = (name: string) => {
    try {
      return JSON.parse(readFileSync(`${CHECKPOINTS}${folder}/${name}`, "utf8"));
    } catch {
      return undefined;
    }
  };
  const weights = `${CHECKPOINTS}${folder}/model.safetensors`;
  if (!existsSync(weights)) return [];
  const tensors = shapesIn(weights);
  return [seedOf({ config: json("config.json"), preprocessor: json("preprocessor_config.json"), tensors })];
});

const target: Target = {
  seeds: seeds.filter(({ length }) => length <= LONGEST_SEED),
  mutators: [mutateJson],
  refusal: /^(load|weights|preprocessing): /,
  longest: 2 * LONGEST_SEED,
  // Eight tensors of each kind that does not fit are named.
  longestMessage: 1500,
  milliseconds: 100,
  bytes: 16e6,
  async run(input) {
    const { config: json, preprocessor, overrides, tensors } = readJson<Input>(input) ?? {};
    if (!isRecord(tensors) || (json !== undefined && !isRecord(json))) return undefined;
    const shapes = shapesOf(tensors);
    const { config, named, heads, labels } = await parseConfig(
      "weights",
      json,
      shapes,
      isRecord(overrides) ? overrides : {},
    );
    expect(
      labels.every((label) => typeof label === "string"),
      () => "labels that are no texts",
    );
    parsePreprocessing(preprocessor, imageSettings(json, config), config.imageSize, imageOptions(config));
    const plan = planWeights("weights", { config, named, heads }, shapes);
    // What is planned has as many outputs as it says.
    const classes = classesOf(config);
    expect(labels.length === classes, () => `${labels.length} labels of ${classes} classes`);
    expect(
      [...plan.tensors].every((name) => shapes.has(name)),
      () => "a plan of tensors that are not there",
    );
    return undefined;
  },
};
export default target;
