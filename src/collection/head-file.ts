/** The file of a head, read. */
import { readNotes } from "../checkpoint/probe.js";
import { checkSame, identityOf } from "../identity.js";
import { decode } from "../io/safetensors.js";
import { readFile } from "../platform/files.js";
import { nameOf } from "../platform/web.js";
import { type Head, type HeadOptions, linearHead } from "./head.js";
import { nearestHead } from "./nearest.js";

/** Most bytes of a head: a million examples of 1024 numbers take 4 GB, and are a collection. */
const MAX_BYTES = 2 ** 30;

/**
 * Loads a head that `save` wrote.
 * @param file its path or address, or its bytes.
 * @param options model: the one whose features it will be given; if the head was made of those of another, it is refused.
 * @throws Error: one sentence, with both models where they differ.
 */
export async function loadHead(
  file: string | URL | Uint8Array | ArrayBuffer,
  { model }: HeadOptions = {},
): Promise<Head> {
  const named = typeof file === "string" || file instanceof URL;
  const name = named ? nameOf(file) : "head";
  const bytes = named ? await readFile(file, { maxBytes: MAX_BYTES }) : new Uint8Array(file as Uint8Array);
  const { tensors, metadata } = decode(bytes, name);
  const notes = readNotes(name, metadata);
  const refuse = (rule: string): never => {
    throw new Error(`head: "${name}" must ${rule}`);
  };
  if (!notes) return refuse('have "classes" in its metadata, as vitrail writes it; it has none');
  const { classes, sharpness, identity } = notes;
  if (model && identity) checkSame(`head: "${name}"`, identity, await identityOf(model, identity));
  const tensor = (name: string, ...shape: (number | undefined)[]) => {
    const found = tensors.get(name);
    const fits = found?.shape.length === shape.length && shape.every((n, i) => n === undefined || n === found.shape[i]);
    const wanted = shape.map((n) => n ?? "any").join(", ");
    return fits ? found! : refuse(`have ${name} of shape (${wanted}); it has ${found ? `(${found.shape})` : "none"}`);
  };
  if (tensors.has("weight")) {
    const { shape, data } = tensor("weight", classes.length, undefined);
    const { data: bias } = tensor("bias", classes.length);
    return linearHead({ weight: data, bias, classes, width: shape[1]!, sharpness, identity });
  }
  const { shape, data } = tensor("features", undefined, undefined);
  const [count, width] = shape as [number, number];
  const truth = Int32Array.from(tensor("classes", count).data);
  const k = Number(metadata.k);
  if (truth.some((own) => own < 0 || own >= classes.length)) refuse(`have classes below ${classes.length}`);
  if (!Number.isSafeInteger(k) || k < 1 || k > count) refuse(`have a k from 1 to ${count}; it has ${metadata.k}`);
  return nearestHead({ rows: data, truth, k, classes, width, identity });
}
