/** Reading along while the encoder runs, for heads that need more than what it leaves; and tokens that join it on its way. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import {
  type Block,
  type EncoderConfig,
  encode,
  type Places,
  type PostNorm,
  type Sequence,
  type Tap,
} from "./encoder.js";
import type { FeatureMap } from "./resnet.js";

/** Input of the heads: the last block's tokens, [B·tokens, D], or the pixels of a ResNet's last map. */
export interface Encoded extends Sequence {
  readonly z: Matrix;
  /** Tokens before all others that joined on the way; none unless given. */
  readonly joined?: number;
  /** Rows and columns of the patches, or of the map. */
  readonly grid: readonly [number, number];
}

/** A reader of what the encoder leaves on its way. What it is given is overwritten later. */
export interface Reader {
  /** Blocks behind which it reads, from 0; -1: before the first. */
  readonly blocks: readonly number[];
  /** Is given the tokens behind such a block, which no norm has seen. */
  tokens(block: number, encoded: Encoded): void;
  /** Is given the maps of a convolutional stem, from 0: that before the first stage, then one behind each. */
  map?(index: number, map: FeatureMap, images: number): void;
}

/** Taps of readers; those that read before the first block read at once. */
export function tapsOf(readers: readonly Reader[], encoded: Encoded): Tap[] {
  return readers.flatMap((reader) =>
    reader.blocks.flatMap((block): Tap[] => {
      const read = (z: Matrix, sequence: Sequence) => reader.tokens(block, { ...encoded, ...sequence, z });
      if (block >= 0) return [{ of: "tokens", blocks: [block], read }];
      reader.tokens(block, encoded);
      return [];
    }),
  );
}

/** Tokens that join those of each image on their way through the encoder, and come before all others then: EoMT's queries. */
export interface Joining {
  /** The first block that has them, from 0. */
  readonly block: number;
  /** [n, D] */
  readonly tokens: Matrix;
  /** Gives the bias of a block's scores, [tokens, tokens], by what is before the block; undefined where there is none. */
  readonly bias?: (block: number, encoded: Encoded) => Promise<Float32Array | undefined>;
}

/** Runs tokens and those that join them, which have no positions, through the blocks from there on. Returns [B·(n + tokens), D]. */
export async function encodeJoined(
  backend: Backend,
  blocks: readonly Block[],
  config: EncoderConfig & { readonly postNorm: PostNorm },
  { images, tokens, z, grid }: Encoded,
  joining: Joining,
  { rotary, ...places }: Places,
  { taps, signal }: { readonly taps: readonly Tap[]; readonly signal: AbortSignal | undefined },
): Promise<Matrix> {
  const joined = joining.tokens.rows;
  const sequence = { images, tokens: joined + tokens };
  const all = backend.createTensor(images * sequence.tokens, z.cols);
  backend.assembleTokens(all, joining.tokens, z, undefined);
  /** Turns of the tokens, and none of those before them. */
  const before = (table: Matrix, value: 0 | 1) => {
    const none = backend.createTensor(joined, table.cols, new Float32Array(joined * table.cols).fill(value));
    const out = backend.createTensor(joined + tokens, table.cols);
    backend.assembleTokens(out, none, table, undefined);
    return out;
  };
  const first = rotary?.of(joining.block);
  const turns = first && { cos: before(first.cos, 1), sin: before(first.sin, 0) };
  const further: Places = { ...places, ...(turns && { rotary: { pairs: rotary!.pairs, of: () => turns } }) };
  const { bias } = joining;
  if (!bias) {
    await encode(backend, config, blocks.slice(joining.block), all, sequence, further, {
      ...{ taps, first: joining.block, signal },
    });
    return all;
  }
  for (let block = joining.block; block < blocks.length; block++) {
    const mark = backend.mark();
    try {
      const values = await bias(block, { ...sequence, z: all, grid, joined });
      const hidden = values && { bias: backend.createTensor(sequence.tokens, sequence.tokens, values) };
      const one = blocks.slice(block, block + 1);
      await encode(backend, config, one, all, sequence, { ...further, ...hidden }, { taps, first: block, signal });
    } finally {
      backend.release(mark);
    }
  }
  return all;
}
