/** transformers' EoMT: what config.json says of its queries. */
import type { Activation } from "../../backend.js";
import type { QueryMasksConfig } from "../../heads/query-masks.js";
import { isRecord, reader } from "../json.js";
import { type Layout, weightOf } from "../layouts.js";
import { depthOf, type Facts } from "../observe.js";

/** Most queries, whose masks are numbered in 16 bits; published have 100 and 200. */
const MAX_QUERIES = 2 ** 15 - 1;

/** Reads the head, whose sizes the tensors tell. */
export function queryMasksOf(
  { name, file, named: { layout }, tensors }: Facts,
  names: NonNullable<Layout["queryMasks"]>,
  { depth, activations }: { readonly depth: number; readonly activations: Readonly<Record<string, Activation>> },
): QueryMasksConfig {
  const rowsOf = (tensor: string) => tensors.get(tensor)?.shape[0] ?? 0;
  const queries = rowsOf(names.queries);
  const blocks = rowsOf(names.hidden);
  // That of nothing is among them.
  const classes = rowsOf(weightOf(layout, names.classifier));
  const upscales = depthOf("", { at: names.upscale }, tensors);
  const read = reader(name, file);
  read.same("num_queries", queries, 200);
  read.same("num_blocks", blocks, 4);
  read.same("num_upscale_blocks", upscales, 2);
  if (queries < 1 || queries > MAX_QUERIES || blocks < 1 || blocks > depth || classes < 1) {
    const found = `${queries}, ${blocks} of ${depth} blocks and ${classes} scores`;
    const rule = `1 to ${MAX_QUERIES} queries, blocks that they join, and scores of classes`;
    throw new Error(`load: "${name}" must have ${rule}; got ${found}`);
  }
  const labels = isRecord(file.id2label) ? Object.keys(file.id2label).length : classes - 1;
  if (labels !== classes - 1) {
    throw new Error(`load: "${name}" has ${labels} classes by its config, but its head has ${classes - 1} and none`);
  }
  return { queries, blocks, upscales, classes: labels, activation: read.choice("hidden_act", "gelu", activations) };
}
