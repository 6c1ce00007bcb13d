/** Transformers.js in Node, which decodes with sharp and computes with onnxruntime-node. API: https://huggingface.co/docs/transformers.js. */

import { writeFile } from "node:fs/promises";
import type { Contender, Engine } from "../engine.js";
import { embeddingsFile, fileOf, PHOTO, transformersFolder } from "../files.js";
import { CLASSES } from "../models.js";
import type { FolderWork } from "../work.js";
import { thirdparty } from "./thirdparty.js";

type Predictions = readonly { readonly label: string; readonly score: number }[];
type Pipeline = ((image: string, options: { top_k: number }) => Promise<Predictions>) & { dispose(): Promise<void> };

/** What is used of it. */
interface Transformers {
  readonly env: { allowRemoteModels: boolean; localModelPath: string };
  pipeline(task: "image-classification", model: string, options: object): Promise<Pipeline>;
}

export const engine: Engine = {
  prepare(work, { threads }) {
    if (work.kind === "classify") return contender(threads, (classifier) => classifier(PHOTO, { top_k: 5 }));
    if (work.kind === "folder" && work.size === "Ti") return folder(work, threads);
    return undefined;
  },
};

/** One after the other: its graph takes one image, and lists as batches are slower on processors. */
function folder({ picture, photos }: FolderWork, threads: number): Promise<Contender> {
  const photo = fileOf(picture);
  return contender(threads, async (classifier) => {
    const best: number[] = [];
    for (let i = 0; i < photos; i++) best.push((await classifier(photo, { top_k: 1 }))[0]!.score);
    await writeFile(embeddingsFile("transformers.js"), Float32Array.from(best));
  });
}

async function contender(threads: number, run: (classifier: Pipeline) => Promise<unknown>): Promise<Contender> {
  const { env, pipeline } = thirdparty("@huggingface/transformers") as Transformers;
  env.allowRemoteModels = false;
  env.localModelPath = transformersFolder.parent;
  const classifier = await pipeline("image-classification", transformersFolder.name, {
    dtype: "fp32",
    device: "cpu",
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  });
  return {
    run: () => run(classifier),
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
