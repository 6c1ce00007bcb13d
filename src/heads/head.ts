/**
 * A head: what is made of what the encoder leaves. Each is a file here with its weights, its ops and its part in a call, and a row
 * of index.ts, by which it is imported when a checkpoint has it. A call (forward/forward.ts) knows no head by name: it asks each what
 * it takes and needs (`begin`), has it read along while the encoder runs (`pass`), and gives it the outputs of all passes at the
 * end (`finish`).
 */
import type { Backend, Tensor as Matrix } from "../backend.js";
import type { Planned, Planner } from "../planned.js";
import type { Call } from "../vit/call.js";
import type { Block, EncoderConfig } from "../vit/encoder.js";
import type { Inputs } from "../vit/inputs.js";
import type { Masking } from "../vit/masking.js";
import type { OutputName, Outputs } from "../vit/outputs.js";
import type { Encoded, Joining, Reader } from "../vit/reader.js";
import type { Pooled } from "./pooling.js";

/**
 * @template Config the part of a model's config that it reads, its own with it.
 * @template Weights the same of a model's weights.
 * @template Own its own weights.
 * @template Names the names of its tensors, where a layout has them.
 */
export interface Head<Config, Weights, Own, Names = undefined> {
  /** Plans its own weights. */
  plan(planner: Planner, config: Config, at: Place<Names>): Planned<Own>;
  /** Refuses numbers among its weights that it cannot compute with. */
  check?(name: string, weights: Own, at: Pick<Place<Names>, "names">): void;
  /** Tensors beside its own that nothing reads at inference. */
  readonly unread?: RegExp;
  /** True if it reads vectors of the last block alone, as the classifier does. */
  readsVectors?(config: Config): boolean;
  /** Elements of the largest matrix that an image of this grid needs, its rows filled to eight columns. */
  largest?(config: Config, grid: readonly [number, number]): number;
  /** Costs of an image of this grid, about: multiply-adds of products, and elements of the maps that are there at once. */
  costs?(config: Config, grid: readonly [number, number]): { readonly products: number; readonly elements: number };
  /**
   * Begins a call; undefined where no output is asked for that it gives or changes.
   * @param wanted outputs that are asked for, with those that heads before it need.
   * @throws RangeError for inputs of its own that are missing, too many, or not of the shape that they must have.
   */
  begin(
    model: { readonly config: Config; readonly weights: Weights },
    inputs: Inputs,
    wanted: readonly OutputName[],
  ): HeadCall | undefined;
}

/** Place of a head's tensors in a checkpoint. */
export interface Place<Names> {
  /** Prefix of the image tower's tensors. */
  readonly prefix: string;
  readonly names: Names;
  /** Plans blocks that the head has of its own. */
  blocks(config: EncoderConfig, count: number): readonly Planned<Block>[];
}

/** A head's part in a call. */
export interface HeadCall {
  /** Outputs that it needs beside those that are asked for. */
  readonly needs?: readonly OutputName[];
  /** True if each image is a pass of its own: its masks are large, or it has inputs of its own. */
  readonly alone?: boolean;
  /** Runs what it needs of texts and other images, before the images are run. */
  before?(towers: Towers): Promise<void>;
  /** Calls the ops of an image whose embedding is given in its place; of as many as are given. */
  readonly embedded?: { readonly images: number; run(backend: Backend, call: Call, image: number): Promise<void> };
  /**
   * Begins a pass over images; undefined where the call asks for nothing of it.
   * @param image the first of them.
   */
  pass?(backend: Backend, call: Call, image: number): HeadPass | undefined;
  /** Outputs of all passes as they are when it has changed or added its own. */
  finish?(outputs: Partial<Outputs>): Partial<Outputs> | Promise<Partial<Outputs>>;
}

/** A head's part in a pass. */
export interface HeadPass {
  /** Reads on the encoder's way. */
  readonly reader?: Reader;
  /** Tokens that join those of the images there. */
  readonly joining?: Joining;
  /** Patches that the encoder does not see. */
  readonly masking?: Masking;
  /** Calls the ops that follow the encoder. */
  run?(encoded: Encoded, vectors: Vectors): void | Promise<void>;
}

/** Vectors of images, [B, D], pooled once whoever reads them. */
export interface Vectors {
  readonly pooled: () => Pooled;
  /** Those in the space that images share with texts. */
  readonly features: () => Matrix;
}

/** Towers of a model, which a head may run on inputs of its own. Both resolve when all ops have been called. */
export interface Towers {
  /** Runs the texts of inputIds. */
  texts(): Promise<Arrival>;
  /** Runs the images of an input; `wants` tells which outputs are read. */
  images(name: ImagesName, wants: Call["wants"]): Promise<Arrival>;
}

/** Waits for the outputs. */
export type Arrival = () => Promise<Partial<Outputs>>;

/** Inputs that are images. */
export type ImagesName = "pixelValues" | "queryPixelValues" | "conditionalPixelValues";
