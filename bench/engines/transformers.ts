/** Transformers.js in Node, which decodes with sharp and computes with onnxruntime-node. API: https://huggingface.co/docs/transformers.js. */

import type { Contender, Engine } from "../engine.js";
import { PHOTO, transformersFolder } from "../files.js";
import { CLASSES } from "../models.js";
import { thirdparty } from "./thirdparty.js";

type Predictions = readonly { readonly label: string; readonly score: number }[];
type Pipeline = ((image: string, options: { top_k: number }) => Promise<Predictions>) & { dispose(): Promise<void> };

/** What is used of it. */
interface Transformers {
  readonly env: { allowRemoteModels: boolean; localModelPath: string };
  pipeline(task: "image-classification", model: string, options: object): Promise<Pipeline>;
}

export const engine: Engine = {
  prepare: (work, { threads }) => (work.kind === "classify" ? classify(threads) : undefined),
};

async function classify(threads: number): Promise<Contender> {
  const { env, pipeline } = thirdparty("@huggingface/transformers") as Transformers;
  env.allowRemoteModels = false;
  env.localModelPath = transformersFolder.parent;
  const classifier = await pipeline("image-classification", transformersFolder.name, {
    dtype: "fp32",
    device: "cpu",
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  });
  return {
    run: () => classifier(PHOTO, { top_k: 5 }),
    async result() {
      const probabilities = new Float32Array(CLASSES);
      for (const { label, score } of await classifier(PHOTO, { top_k: CLASSES })) {
        probabilities[Number(label.split(" ")[1])] = score;
      }
      return probabilities;
    },
    dispose: () => void classifier.dispose(),
  };
}
