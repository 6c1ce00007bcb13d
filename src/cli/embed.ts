/** `vitrail embed`: one feature vector an image, into a file or as JSON. */
import { writeFile } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { encodeNpy } from "../io/npy.js";
import { encode } from "../io/safetensors.js";
import { isDirectory } from "../platform/files.js";
import { forEachImage, type Invocation, loadModel, since } from "./invocation.js";
import { messageOf } from "./terminal.js";

interface Embedding {
  readonly image: string;
  readonly row: Float32Array;
}

type Format = (embeddings: readonly Embedding[]) => Uint8Array | string;

/** By the end of the file's name. */
const FORMATS: Readonly<Record<string, Format>> = { ".safetensors": safetensors, ".npy": npy, ".jsonl": jsonl };

export async function embed(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const { out } = args;
  const format = out === undefined ? undefined : await formatOf(out);
  if (!format && !args.json) {
    throw new Error("embed needs --out FILE with .safetensors, .npy or .jsonl at its end, or --json to print the rows");
  }
  using model = await loadModel(invocation);
  const options = { ...args.embed, signal };
  // An option that does not fit the checkpoint is refused here, once, not with every image.
  await model.embed([], options);

  const embeddings: Embedding[] = [];
  await forEachImage(invocation, async (image, input, seen, all) => {
    terminal.progress("embedding", seen, all);
    const start = performance.now();
    const row = await model.embed(input, options);
    const result = { ms: since(start), backend: model.backend.name };
    if (!format) return terminal.printJson({ image, embedding: Array.from(row), ...result });
    embeddings.push({ image, row });
    if (args.json) terminal.printJson({ image, row: embeddings.length - 1, ...result });
  });

  if (!format || out === undefined || embeddings.length === 0) return;
  try {
    await writeFile(out, format(embeddings), { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(`embed: ${JSON.stringify(out)} cannot be written: ${messageOf(error)}`, { cause: error });
  }
  terminal.note(`${out}: ${embeddings.length} × ${embeddings[0]!.row.length}`);
}

/** Finds out before the work is done whether there is a place for it. */
async function formatOf(out: string): Promise<Format> {
  const format = FORMATS[extname(out)];
  if (!format) throw new Error(`--out must end in ${Object.keys(FORMATS).join(", ")}; got ${JSON.stringify(out)}`);
  if (!(await isDirectory(dirname(out)))) {
    throw new Error(`--out must be in a folder that exists; got ${JSON.stringify(out)}`);
  }
  return format;
}

/** One tensor "embeddings", [images, D]; the images are in the metadata, as a JSON array. */
function safetensors(embeddings: readonly Embedding[]): Uint8Array {
  const shape = [embeddings.length, embeddings[0]!.row.length];
  const images = JSON.stringify(embeddings.map(({ image }) => image));
  return encode([{ name: "embeddings", shape, data: concatenate(embeddings) }], { images });
}

function npy(embeddings: readonly Embedding[]): Uint8Array {
  return encodeNpy({ dims: [embeddings.length, embeddings[0]!.row.length], data: concatenate(embeddings) });
}

function jsonl(embeddings: readonly Embedding[]): string {
  return embeddings.map(({ image, row }) => `${JSON.stringify({ image, embedding: Array.from(row) })}\n`).join("");
}

function concatenate(embeddings: readonly Embedding[]): Float32Array<ArrayBuffer> {
  const width = embeddings[0]!.row.length;
  const all = new Float32Array(embeddings.length * width);
  for (const [i, { row }] of embeddings.entries()) all.set(row, i * width);
  return all;
}
