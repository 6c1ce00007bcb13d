/** onnxruntime-node: native code with all that the processor has. The bound that people compare with. Photos come from sharp. */

import { writeFile } from "node:fs/promises";
import type { Contender, Engine } from "../engine.js";
import { embeddingsFile, fileOf, onnxFile, PHOTO } from "../files.js";
import { IMAGE } from "../models.js";
import { type FolderWork, type Setup, vitPixels } from "../work.js";
import { rowsOf } from "./ahead.js";
import { type OnnxRuntime, session } from "./onnxruntime.js";
import { thirdparty } from "./thirdparty.js";

const ort = thirdparty("onnxruntime-node") as OnnxRuntime;

export const engine: Engine = {
  prepare(work, setup) {
    if (work.kind === "folder") return folder(work, setup);
    if (work.kind !== "vit" && work.kind !== "resnet") return undefined;
    const { precision } = setup;
    const [size, batch] = work.kind === "vit" ? [work.size, work.batch] : [work.network, 1];
    const pixels = { name: "pixel_values", ...vitPixels(batch, work.kind === "vit" ? work.size : undefined) };
    return session(ort, onnxFile(size, precision, batch), optionsOf(setup), [pixels]);
  },
};

const optionsOf = ({ threads }: Setup) => ({
  executionProviders: ["cpu"],
  graphOptimizationLevel: "all",
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
});

async function folder({ size, picture, photos }: FolderWork, setup: Setup): Promise<Contender> {
  const { pixels } = await import("./sharp.js");
  const session = await ort.InferenceSession.create(onnxFile(size, setup.precision, 1), optionsOf(setup));
  const files = Array.from({ length: photos }, () => fileOf(picture));
  const logitsOf = async (data: Float32Array) =>
    (await session.run({ pixel_values: new ort.Tensor("float32", data, [1, 3, IMAGE, IMAGE]) })).logits!.data;
  return {
    run: async () => writeFile(embeddingsFile("onnxruntime-node"), await rowsOf(files, pixels, logitsOf)),
    result: async () => softmax(await logitsOf(await pixels(PHOTO))),
    dispose: () => void session.release(),
  };
}

function softmax(logits: Float32Array): Float32Array {
  const most = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}
