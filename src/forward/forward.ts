/** A call of the model: checks what is given and asked, and runs the towers and the heads that it takes. */
import type { Backend } from "../backend.js";
import { beginContrastive } from "../heads/contrastive.js";
import type { Arrival, HeadCall, ImagesName } from "../heads/head.js";
import { importHeads } from "../heads/index.js";
import { runVectors } from "../heads/vectors.js";
import type { Call, Pending } from "../vit/call.js";
import type { Inputs } from "../vit/inputs.js";
import type { OutputName, Outputs } from "../vit/outputs.js";
import { runTexts } from "../vit/text.js";
import { encodeImages, type ImageBatch } from "../vit/vit.js";
import { arrived, concatenated, padTogether, passes } from "./batches.js";
import { imagesOf, textsOf } from "./inputs.js";
import type { ModelConfig, Weights } from "./model.js";
import { inPlaces, passesOf, type TextPass } from "./texts.js";
import { checkBlocks, checkHiddenState, checkInputs, checkWanted, needs } from "./wanted.js";

export interface ForwardOptions {
  /** Blocks, from 0, to which lists are limited: others are neither kept nor read. */
  readonly blocks?: readonly number[];
  /** Images of other sizes than the config's are taken, and position embeddings resampled as the checkpoint's library does. */
  readonly interpolatePositions?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Runs images and texts through the model. It resolves when all ops have been called, and the next call's may follow; what
 * they give arrives later.
 * @param wanted what to compute; nothing else is read back.
 * @throws RangeError if an input has not the shape that it must have, or the checkpoint lacks what is wanted.
 */
export async function forward(
  backend: Backend,
  weights: Weights,
  config: ModelConfig,
  inputs: Inputs,
  wanted: readonly OutputName[],
  options: ForwardOptions = {},
): Promise<{ readonly outputs: Promise<Partial<Outputs>> }> {
  checkWanted(config, wanted);
  checkBlocks(config, wanted, options.blocks);
  checkInputs(config, inputs);
  const heads = await importHeads(weights);
  if (inputs.hiddenState) checkHiddenState(config, heads, inputs, wanted);
  const asked = new Set<OutputName>(wanted);
  const parts: HeadCall[] = [];
  for (const head of heads.values()) take(head.begin({ config, weights }, inputs, [...asked]));
  take(beginContrastive(weights, config, [...asked]));
  const some = (tower: "image" | "text") => [...asked].some((name) => needs(name, tower));

  function take(part: HeadCall | undefined): void {
    if (!part) return;
    parts.push(part);
    for (const name of part.needs ?? []) asked.add(name);
  }

  /** Calls the ops of all images of an input. */
  async function runAll(name: ImagesName, wants: Call["wants"], alone: boolean): Promise<Pending[]> {
    const all: Pending[] = [];
    const limits = { attentions: wants("attentions"), alone };
    let image = 0;
    for (const batch of imagesOf(config, inputs, name, options.interpolatePositions ?? false)) {
      for (const pass of passes(backend, config, heads, batch, limits)) {
        const outputs: Pending = {};
        await runImages(backend, weights, config, pass, { wants, outputs, ...options }, parts, image);
        all.push(outputs);
        image += "pixels" in pass ? pass.pixels.dims[0]! : 1;
      }
    }
    return all;
  }

  /** Calls the ops of all texts of the input, pass by pass. */
  async function runTextPasses(wants: Call["wants"]): Promise<{ passes: TextPass[]; results: Pending[] }> {
    const passes = passesOf(config.text!, textsOf(config, inputs), OF_TOKENS.some(wants));
    const results: Pending[] = [];
    for (const { texts } of passes) {
      const outputs: Pending = {};
      await runTexts(backend, weights.text!, config.text!, texts, { wants, outputs, ...options });
      results.push(outputs);
    }
    return { passes, results };
  }

  /** Outputs of passes of texts, when they are there. */
  async function ofTexts({ passes, results }: { passes: TextPass[]; results: Pending[] }) {
    return inPlaces(passes, await Promise.all(results.map(arrived)));
  }

  const towers = {
    texts: async () => {
      const run = await runTextPasses(() => false);
      return () => ofTexts(run);
    },
    images: async (name: ImagesName, wants: Call["wants"]) => together(await runAll(name, wants, false)),
  };
  for (const part of parts) await part.before?.(towers);

  const wants = (name: OutputName) => asked.has(name);
  const embedded = parts.find((part) => part.embedded)?.embedded;
  const images: Pending[] = [];
  for (let image = 0; image < (embedded?.images ?? 0); image++) {
    images.push({});
    await embedded!.run(backend, { wants, outputs: images[image]!, ...options }, image);
  }
  if (!embedded && some("image"))
    images.push(
      ...(await runAll(
        "pixelValues",
        wants,
        parts.some((part) => part.alone),
      )),
    );
  const texts = some("text") ? await runTextPasses(wants) : undefined;

  async function finish(): Promise<Partial<Outputs>> {
    const ofImages = await Promise.all(images.map(arrived));
    const outputs: Partial<Outputs> = {
      // Images given as hiddenState are one pass.
      ...(config.naflex && inputs.pixelValues
        ? padTogether(ofImages, inputs.pixelValues.dims[1]!)
        : concatenated(ofImages)),
      ...(texts && (await ofTexts(texts))),
    };
    // From what both towers share to what heads make of it.
    for (const part of parts.reverse()) Object.assign(outputs, await part.finish?.(outputs));
    return Object.fromEntries(wanted.map((name) => [name, outputs[name]]));
  }
  return { outputs: finish() };
}

/** Outputs of all tokens of a text; the others need those that the pooled one sees. */
const OF_TOKENS: readonly OutputName[] = ["textLastHiddenState", "textHiddenStates", "textAttentions"];

/** Outputs of passes as those of one, when they are there. */
const together =
  (all: readonly Pending[]): Arrival =>
  async () =>
    concatenated(await Promise.all(all.map(arrived)));

/**
 * Calls the ops of images; the values of what is wanted arrive later.
 * @param image the number of the first of them.
 */
async function runImages(
  backend: Backend,
  weights: Weights,
  config: ModelConfig,
  batch: ImageBatch,
  call: Call,
  parts: readonly HeadCall[],
  image: number,
): Promise<void> {
  const mark = backend.mark();
  try {
    const heads = parts.flatMap((part) => part.pass?.(backend, call, image) ?? []);
    const encoded = await encodeImages(backend, weights, config, batch, call, {
      readers: heads.flatMap(({ reader }) => reader ?? []),
      joining: heads.find(({ joining }) => joining)?.joining,
      masking: heads.find(({ masking }) => masking)?.masking,
    });
    const vectors = runVectors(backend, weights, config, encoded, call);
    for (const head of heads) await head.run?.(encoded, vectors);
  } finally {
    backend.release(mark);
  }
}
