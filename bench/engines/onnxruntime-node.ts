/** onnxruntime-node: native code with all that the processor has. The bound that people compare with. */

import type { Engine } from "../engine.js";
import { onnxFile } from "../files.js";
import { IMAGE } from "../models.js";
import { vitPixels } from "../work.js";
import { type OnnxRuntime, session } from "./onnxruntime.js";
import { thirdparty } from "./thirdparty.js";

const ort = thirdparty("onnxruntime-node") as OnnxRuntime;

export const engine: Engine = {
  prepare(work, { precision, threads }) {
    if (work.kind !== "vit" && work.kind !== "resnet") return undefined;
    const [size, batch] = work.kind === "vit" ? [work.size, work.batch] : [work.network, 1];
    const options = { executionProviders: ["cpu"], intraOpNumThreads: threads, interOpNumThreads: 1 };
    const pixels = { name: "pixel_values", dims: [batch, 3, IMAGE, IMAGE], data: vitPixels(batch) };
    return session(ort, onnxFile(size, precision, batch), options, [pixels]);
  },
};
