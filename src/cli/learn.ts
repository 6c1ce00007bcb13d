/** `vitrail learn`: a head from a folder of photos for each class, and how far it can be trusted. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { type FewShotHead, fewShot } from "../collection/index.js";
import type { BatchError, Model } from "../index.js";
import { listImages } from "../io/images.js";
import { isDirectory } from "../platform/files.js";
import { type Invocation, loadModel } from "./invocation.js";
import { messageOf } from "./terminal.js";

/** Photos that are embedded at once. */
const BATCH = 64;
/** Suspects that are shown. */
const SHOWN = 10;

interface Example {
  readonly image: string;
  readonly label: string;
}

export async function learn(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const [folder, other] = args.operands;
  const { out, json } = args;
  if (folder === undefined || other !== undefined)
    throw new Error("learn takes one folder, of a folder for each class");
  if (!(await isDirectory(folder))) throw new Error(`learn: ${JSON.stringify(folder)} must be a folder; it is none`);
  if (out === undefined || !out.endsWith(".safetensors")) {
    throw new Error(`learn needs --out HEAD, a file that ends in .safetensors; got ${JSON.stringify(out ?? "none")}`);
  }
  const examples = await examplesOf(folder, signal);
  using model = await loadModel(invocation);
  const learned: Example[] = [];
  const rows: Float32Array[] = [];
  for (let at = 0; at < examples.length; at += BATCH) {
    terminal.progress("embedding", at, examples.length);
    const batch = examples.slice(at, at + BATCH);
    const images = batch.map(({ image }) => image);
    const { features, errors } = await embedded(model, images, signal);
    for (const [i, example] of batch.entries()) {
      const feature = features[i];
      if (!feature) continue;
      learned.push(example);
      rows.push(feature);
    }
    for (const error of errors) {
      process.exitCode = 1;
      if (json) terminal.printJson({ error: messageOf(error) });
      else terminal.fail(error);
    }
  }
  terminal.clear();
  const labels = learned.map(({ label }) => label);
  const head = await fewShot(rows, labels, {
    model,
    ...(args.collection.l2 !== undefined && { l2: args.collection.l2 }),
  });
  await head.save(out);
  const { leaveOneOut, l2, classes } = head;
  const suspects = leaveOneOut.suspects.map(({ index, label, predicted, margin }) => {
    return { image: learned[index]!.image, label, predicted, margin };
  });
  if (json) {
    const { accuracy, confusion } = leaveOneOut;
    terminal.printJson({ head: out, classes, examples: learned.length, l2, accuracy, confusion, suspects });
    return;
  }
  terminal.print(...reportOf(head, learned.length));
  for (const { image, label, predicted } of suspects.slice(0, SHOWN)) {
    terminal.print(`  ${image}: in ${label}, looks like ${predicted}`);
  }
  terminal.note(`${out}: vitrail classify --head ${out} IMAGES...`);
}

/** The photos of each folder, whose name is the class. */
async function examplesOf(folder: string, signal: AbortSignal): Promise<Example[]> {
  const entries = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !name.startsWith("."));
  const names: string[] = [];
  for (const { name } of entries) if (await isDirectory(join(folder, name))) names.push(name);
  if (names.length < 2) {
    throw new Error(
      `learn: ${JSON.stringify(folder)} must hold two folders at least, one a class; got ${names.length}`,
    );
  }
  const examples: Example[] = [];
  for (const label of names.sort()) {
    for await (const { image, error } of listImages([join(folder, label)], signal)) {
      if (error) throw error;
      examples.push({ image, label });
    }
  }
  return examples;
}

/** Features of images, those missing that cannot be read. */
async function embedded(model: Model, images: readonly string[], signal: AbortSignal) {
  try {
    const all = await model.embed(images, { signal });
    const width = all.length / images.length;
    return { features: images.map((_, i) => all.subarray(i * width, (i + 1) * width)), errors: [] };
  } catch (error) {
    signal.throwIfAborted();
    const { results, errors } = error as BatchError<Float32Array>;
    if (results) return { features: results, errors };
    if (images.length > 1) throw error;
    return { features: [undefined], errors: [error as Error] };
  }
}

/** The accuracy and the confusion table, a class a line, the columns in the same order. */
function reportOf({ classes, l2, leaveOneOut }: FewShotHead, examples: number): string[] {
  const { accuracy, confusion, suspects } = leaveOneOut;
  const percent = (x: number) => `${(100 * x).toFixed(1)} %`;
  const [low, high] = accuracy.interval;
  const width = Math.max(...classes.map((name) => name.length));
  const digits = Math.max(...confusion.flat().map((n) => String(n).length), 1);
  return [
    `${examples} photos of ${classes.length} classes, penalty ${l2}`,
    `${percent(accuracy.share)} are right when left out (95 % interval: ${percent(low)} to ${percent(high)})`,
    "",
    ...confusion.map(
      (row, i) => `  ${classes[i]!.padEnd(width)}  ${row.map((n) => String(n).padStart(digits)).join(" ")}`,
    ),
    ...(suspects.length > 0 ? ["", "most suspicious"] : []),
  ];
}
