/**
 * Divided space-time attention (Bertasius et al. 2021, "TimeSformer", section 3): the patches of one place attend to each other over all
 * frames, then those of one frame, with the class token, which becomes the mean of what it is with each of them.
 */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";
import {
  type Attention,
  type Block,
  type EncoderConfig,
  encode,
  type Places,
  type Sequence,
  type Tap,
} from "./encoder.js";
import type { VideoConfig } from "./video.js";

/** Attention over the frames of a place, with a second layer behind its own, D → D. */
interface OverTime extends Attention {
  readonly dense: Linear;
}

/** Steps of a block. */
type Divided = readonly [readonly [OverTime], Block[number], Block[number]];

/**
 * Runs z of one clip, [1 + N·T, D], a class token before its patches in the order (place, frame), through blocks of three steps, in
 * place. Taps are given the attention within frames, as in transformers: T sequences of 1 + N tokens.
 */
export async function encodeDivided(
  backend: Backend,
  config: EncoderConfig & { readonly video?: VideoConfig },
  blocks: readonly Block[],
  z: Matrix,
  sequence: Sequence,
  _places: Places,
  { taps = [], signal }: { readonly taps?: readonly Tap[]; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const { frames } = config.video!;
  const { tokens } = sequence;
  const places = (tokens - 1) / frames;
  const empty = (rows: number) => backend.createTensor(rows, z.cols);
  const [patches, token, tokenOfEach] = [empty(places * frames), empty(1), empty(frames)];
  // A line for the class token and each place, a column for each frame; and frame by frame.
  const [map, sequences] = [empty((1 + places) * frames), empty((1 + places) * frames)];
  const columns = { height: 1 + places, width: frames, window: [1 + places, 1] } as const;
  const between = taps.filter((tap) => tap.of !== "tokens");
  const behind = taps.filter((tap) => tap.of === "tokens");
  for (const [first, [[overTime], overSpace, mlp]] of (blocks as unknown as readonly Divided[]).entries()) {
    const mark = backend.mark();
    backend.pool(token, z, { tokens, first: 0, count: 1 });
    backend.readout(patches, z, { tokens, prefix: 1, readout: "ignore" });
    attendOverTime(overTime);

    backend.resizeMap(tokenOfEach, token, { height: 1, width: 1, outHeight: frames, outWidth: 1, aligned: false });
    backend.assembleTokens(map, tokenOfEach, patches, undefined);
    backend.toWindows(sequences, map, token, columns);
    const frame = { images: frames, tokens: 1 + places };
    await encode(backend, config, [[overSpace]], sequences, frame, {}, { taps: between, first, signal });

    backend.fromWindows(map, sequences, columns);
    backend.pool(token, map, { tokens: map.rows, first: 0, count: frames });
    backend.readout(patches, map, { tokens: map.rows, prefix: frames, readout: "ignore" });
    backend.assembleTokens(z, token, patches, undefined);
    await encode(backend, config, [[mlp]], z, sequence, {}, { taps: behind, first, signal });
    backend.release(mark);
  }

  /** patches += dense(out(MSA(LN(patches)))), a sequence of frames for each place. */
  function attendOverTime({ norm, qkv, out, dense }: OverTime): void {
    const packed = backend.createTensor(patches.rows, qkv.outputs);
    const [y, inner] = [empty(patches.rows), empty(patches.rows)];
    backend.linear(packed, patches, qkv, { norm });
    backend.attention(y, packed, { heads: config.heads, tokens: frames });
    backend.linear(inner, y, out);
    backend.linear(patches, inner, dense, { accumulate: true });
  }
}
