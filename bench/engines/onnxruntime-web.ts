/** onnxruntime-web, its WASM build. */
import { readFile } from "node:fs/promises";
import { partGraph, partInputs } from "../dense.js";
import type { Engine } from "../engine.js";
import { onnxFile } from "../files.js";
import { attentionGraph, gemmGraph } from "../graphs.js";
import { TOKENS } from "../models.js";
import { PROMPT_LENGTH, PROMPTS_AT_ONCE, PROMPTS_GRAPH, promptIds } from "../prompts.js";
import { attentionInputs, gemmInputs, vitPixels } from "../work.js";
import { type OnnxRuntime, session } from "./onnxruntime.js";
import { thirdparty } from "./thirdparty.js";

const ort = thirdparty("onnxruntime-web") as OnnxRuntime;
const options = { executionProviders: ["wasm"] };

export const engine: Engine = {
  prepare(work, { precision, threads }) {
    ort.env.wasm.numThreads = threads;
    if (work.kind === "gemm") {
      const x = { name: "x", dims: [TOKENS, work.inputs], data: gemmInputs(work).x };
      return session(ort, gemmGraph(work), options, [x]);
    }
    if (work.kind === "attention") {
      const dims = [1, TOKENS, work.heads * work.d];
      const inputs = Object.entries(attentionInputs(work)).map(([name, data]) => ({ name, dims, data }));
      return session(ort, attentionGraph(work), options, inputs);
    }
    if (work.kind === "dense") {
      return readFile(partGraph(work.part)).then((file) => session(ort, file, options, partInputs(work.part)));
    }
    if (work.kind === "prompts") {
      const ids = BigInt64Array.from(promptIds(work.count), BigInt);
      const size = PROMPTS_AT_ONCE * PROMPT_LENGTH;
      const batches = Array.from({ length: work.count / PROMPTS_AT_ONCE }, (_, i) => [
        { name: "input_ids", dims: [PROMPTS_AT_ONCE, PROMPT_LENGTH], data: ids.subarray(i * size, (i + 1) * size) },
      ]);
      return readFile(PROMPTS_GRAPH).then((file) => session(ort, file, options, ...batches));
    }
    if (work.kind !== "vit" && work.kind !== "resnet") return undefined;
    const [size, batch] = work.kind === "vit" ? [work.size, work.batch] : [work.network, 1];
    const pixels = { name: "pixel_values", ...vitPixels(batch, work.kind === "vit" ? work.size : undefined) };
    return readFile(onnxFile(size, precision, batch)).then((file) => session(ort, file, options, [pixels]));
  },
};
