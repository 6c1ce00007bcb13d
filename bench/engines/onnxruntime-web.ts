/** onnxruntime-web, its WASM build. */
import { readFile } from "node:fs/promises";
import { partGraph, partInputs } from "../dense.js";
import type { Engine } from "../engine.js";
import { onnxFile } from "../files.js";
import { attentionGraph, gemmGraph } from "../graphs.js";
import { IMAGE, TOKENS } from "../models.js";
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
    if (work.kind !== "vit" && work.kind !== "resnet") return undefined;
    const [size, batch] = work.kind === "vit" ? [work.size, work.batch] : [work.network, 1];
    const pixels = { name: "pixel_values", dims: [batch, 3, IMAGE, IMAGE], data: vitPixels(batch) };
    return readFile(onnxFile(size, precision, batch)).then((file) => session(ort, file, options, [pixels]));
  },
};
