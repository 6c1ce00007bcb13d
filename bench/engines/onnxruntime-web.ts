/** onnxruntime-web, its WASM build. */
import { readFile } from "node:fs/promises";
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
    if (work.kind === "gemm")
      return session(ort, gemmGraph(work), options, [TOKENS, work.inputs], { x: gemmInputs(work).x });
    if (work.kind === "attention") {
      return session(ort, attentionGraph(work), options, [1, TOKENS, work.heads * work.d], attentionInputs(work));
    }
    if (work.kind !== "vit" && work.kind !== "resnet") return undefined;
    const [size, batch] = work.kind === "vit" ? [work.size, work.batch] : [work.network, 1];
    return readFile(onnxFile(size, precision, batch)).then((file) =>
      session(ort, file, options, [batch, 3, IMAGE, IMAGE], { pixel_values: vitPixels(batch) }),
    );
  },
};
