/** transformers' Hiera: what config.json says of its patches, its stages and where they pool. */
import type { Pair } from "../../backend.js";
import { excerpt } from "../../json.js";
import type { StageConfig } from "../../vit/hierarchy.js";
import type { Config } from "../config.js";
import { positive, reader } from "../json.js";
import { weightOf } from "../layouts.js";
import { blockAt, depthOf, type Facts, MAX_STAGES, stageAt } from "../observe.js";

/** transformers' HieraConfig. Every stage but the first begins with a map that is half as fine, as all that are published do. */
export function hieraOf(facts: Facts, imageSize: Pair): Partial<Config> {
  const { name, file, seen, tensors } = facts;
  const { layout, block, blockPrefix } = facts.named;
  const read = reader(name, file);
  const each = "a positive integer for each stage";
  const depths = read.numbers("depths", [2, 3, 16, 3], each, positive);
  const heads = read.numbers("num_heads", [1, 2, 4, 8], each, positive);
  if (depths.length > MAX_STAGES) {
    throw new Error(`load: "${name}" must have at most ${MAX_STAGES} stages; got ${depths.length}`);
  }
  const told = depths.map((_, i) => depthOf(blockPrefix + stageAt(block!, i), block!, tensors));
  if (told.join() !== depths.join() || heads.length !== depths.length) {
    const found = `${excerpt(depths)} and ${excerpt(heads)}`;
    throw new Error(
      `load: "depths" and "num_heads" of "${name}" must be of the stages that its tensors have; got ${found}`,
    );
  }
  read.same("embed_dim", seen.width);
  read.same("embed_dim_multiplier", 2);
  const pools = depths.length - 1;
  if (read.count("num_query_pool", 3) !== pools || read.size("query_stride", [2, 2]).some((stride) => stride !== 2)) {
    throw new Error(
      `load: "num_query_pool" and "query_stride" of "${name}" must be ${pools} and 2, a pool for each further stage; got ${excerpt(file.num_query_pool)} and ${excerpt(file.query_stride)}`,
    );
  }
  const unit = read.size("masked_unit_size", [8, 8]);
  if (unit.some((side) => side !== 2 ** pools)) {
    const rule = `must be ${2 ** pools}, of which ${pools} pools leave a token`;
    throw new Error(`load: "masked_unit_size" of "${name}" ${rule}; got ${excerpt(file.masked_unit_size)}`);
  }
  const within = attends(name, file.masked_unit_attention ?? [true, true, false, false], depths.length);
  const windowOf = (stage: number): Pair => [unit[0] / 2 ** stage, unit[1] / 2 ** stage];
  const stages = depths.map((depth, i): StageConfig => {
    const mlp = blockPrefix + blockAt(block!, 0, i) + weightOf(layout, block!.mlps[0].fc2[0]);
    return {
      ...{ width: seen.width * 2 ** i, depth, heads: heads[i]!, mlpWidth: tensors.get(mlp)?.shape[1] ?? 0 },
      ...{ window: within[i] ? windowOf(i) : undefined, shift: [0, 0] },
      ...(i > 0 && { queryPool: { window: within[i] || within[i - 1] ? windowOf(i - 1) : undefined } }),
    };
  });
  const patchSize = read.size("patch_stride", [4, 4]);
  const kernel = seen.patch[0];
  const [padding, other] = read.size("patch_padding", [3, 3]);
  if (seen.patch[1] !== kernel || padding !== other) {
    throw new Error(`load: patches of "${name}" must be squares; got ${seen.patch.join("×")}`);
  }
  const whole = patchSize.map((side, axis) => side * unit[axis]!);
  if (imageSize.some((side, axis) => side % whole[axis]! !== 0)) {
    throw new Error(
      `load: "image_size" of "${name}" must be multiples of ${whole.join("×")}; got ${imageSize.join("×")}`,
    );
  }
  const last = stages.at(-1)!;
  return {
    hierarchy: { stages, penalty: 0, rules: "hiera" },
    ...{ width: last.width, heads: last.heads, mlpWidth: last.mlpWidth, poolHeads: last.heads },
    depth: depths.reduce((sum, depth) => sum + depth, 0),
    ...{ patchSize, overlapping: { kernel, padding } },
    pooling: "mean",
    norm: "pooled",
    fixedSize: true,
  };
}

/** Stages whose tokens attend within windows. */
function attends(name: string, stated: unknown, count: number): readonly boolean[] {
  if (Array.isArray(stated) && stated.length === count && stated.every((x) => typeof x === "boolean")) return stated;
  throw new Error(
    `load: "masked_unit_attention" of "${name}" must be true or false for each of ${count} stages; got ${excerpt(stated)}`,
  );
}
