/** Plans of layers and norms, by the names that a publisher gives them and the order in which it stores them. */
import type { Norm } from "../backend.js";
import type { Planned, Planner } from "../planned.js";
import { source, transpose, vector } from "../plans.js";
import type { Shapes } from "./config.js";
import { biasOf, type Layout, scaleOf, shiftOf, weightOf } from "./layouts.js";

/** @param firstNorm of the tower, which tells whether it has layer norms or RMSNorms. */
export function createPlanner(layout: Layout, tensors: Shapes, firstNorm: string | undefined): Planner {
  const has = (tensor: string) => tensors.has(tensor);
  const ofTower = firstNorm !== undefined && has(scaleOf(layout, firstNorm)) && !has(shiftOf(layout, firstNorm));
  const norms = new Map<string, Planned<Norm>>();
  return {
    has,
    shapeOf: (tensor) => tensors.get(tensor)?.shape,
    weightOf: (layer) => weightOf(layout, layer),
    biasOf: (layer) => biasOf(layout, layer),
    hasNorm: (norm) => has(scaleOf(layout, norm)),

    norm(norm, cols, eps, rms = ofTower) {
      // Branches that read the same z may share a norm.
      const known = norms.get(norm);
      if (known) return known;
      const shift = rms ? undefined : vector(shiftOf(layout, norm), cols);
      const plan = { scale: vector(scaleOf(layout, norm), cols), shift, eps };
      norms.set(norm, plan);
      return plan;
    },

    linear(layers, outputs, inputs, { heads, biases, biased } = {}) {
      const rows = outputs / layers.length;
      const split = (n: number, of: "inputs" | "outputs") =>
        layout.kernels && heads?.of === of ? [heads.count, n / heads.count] : [n];
      const shape = layout.kernels ? [...split(inputs, "inputs"), ...split(rows, "outputs")] : [rows, inputs];
      const arrange = layout.kernels ? transpose(inputs) : undefined;
      const all = biased || has(biasOf(layout, layers[0]!));
      const named = biases ?? (all ? layers.map((layer) => biasOf(layout, layer)) : []);
      return {
        place: "linear",
        outputs,
        inputs,
        weight: layers.map((layer, i) => source(weightOf(layout, layer), shape, rows, { to: i * rows, arrange })),
        bias: named.flatMap((bias, i) =>
          bias === undefined ? [] : [source(bias, split(rows, "outputs"), rows, { to: i * rows })],
        ),
      };
    },
  };
}
