/** Run by serve.ts: a minimal server of Transformers.js on node:http, which classifies what is posted; prints its address. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { thirdparty } from "./engines/thirdparty.js";
import { transformersFolder } from "./files.js";

/** What is used of it. */
interface Transformers {
  readonly env: { allowRemoteModels: boolean; localModelPath: string };
  readonly RawImage: { fromBlob(blob: Blob): Promise<unknown> };
  pipeline(
    task: string,
    model: string,
    options: object,
  ): Promise<(image: unknown, options: object) => Promise<unknown>>;
}

const { env, RawImage, pipeline } = thirdparty("@huggingface/transformers") as Transformers;
env.allowRemoteModels = false;
env.localModelPath = transformersFolder.parent;
const classify = await pipeline("image-classification", transformersFolder.name, { dtype: "fp32", device: "cpu" });

const server = createServer(async (request, response) => {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const classes = await classify(await RawImage.fromBlob(new Blob(chunks)), { top_k: 5 });
  response.setHeader("content-type", "application/json").end(JSON.stringify(classes));
}).listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }));
});
