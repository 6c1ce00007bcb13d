/** Places of tokens on a grid of patches: position embeddings, BEiT's biases and rotary tables, for the grid of a call. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import { tensorOf } from "./call.js";
import type { Block, EncoderConfig, Places } from "./encoder.js";
import { inOrder } from "./order.js";
import type { Tensor } from "./outputs.js";
import { type Interpolation, type Positions, positionRows, positionsAt, resample, tablesAt } from "./positions.js";
import { pairsOf, type Rotary, type RotaryTable, rotaryTables } from "./rope.js";
import { clipGrid, placesAndTimes, sinusoids, type VideoConfig } from "./video.js";

export interface PlacesConfig extends EncoderConfig {
  /** Height and width, pixels. */
  readonly imageSize: readonly [number, number];
  /** Height and width, pixels of the image. */
  readonly patchSize: readonly [number, number];
  /** Tokens before the patches: class token, distillation token, registers; and those that the library has behind them. */
  readonly prefixTokens: number;
  /** The last of them are tokens that the library has behind the patches, as outputs have them too: YOLOS's detection tokens. */
  readonly suffixTokens: number;
  readonly rotary: Rotary | undefined;
  /**
   * Images that the table of positions is of, behind a row that is of no token (ViTDet, whose hidden states are maps
   * [B, D, rows, columns]).
   */
  readonly pretrainedSize?: readonly [number, number];
  /** True if scores have BEiT's bias by the offset of key and query. */
  readonly relativePositions: boolean;
  readonly interpolation: Interpolation;
  /** Clips of videos in the place of images; images unless given. */
  readonly video?: VideoConfig;
}

export interface PlacesWeights {
  readonly positions: Positions | undefined;
  /** Their rows for images of the config's size, [prefixTokens + N, D]. */
  readonly nativePositions: Matrix | undefined;
  /** Positions that are added again behind blocks: the tables one after the other. */
  readonly betweenPositions: Positions | undefined;
  /** Positions of frames, [T, D], where those above are of places. */
  readonly times?: Float32Array;
  /** Learned frequencies of rotary positions, [2, L, heads, d/2]. */
  readonly frequencies: Float32Array | undefined;
  /** Learned angles of the prefix tokens, [prefixTokens, d/2], where rotary positions turn them too. */
  readonly prefixAngles: Float32Array | undefined;
  readonly blocks: readonly Block[];
  /** BEiT's, when all blocks share one. */
  readonly relativePositions: Float32Array | undefined;
  /** Grid that tables of relative positions are of. */
  readonly relativeGrid: readonly [number, number];
}

/** E_pos of eq. 1, a row for each token, in the library's order. */
export function readPositions(
  backend: Backend,
  { width, rotary, relativePositions }: PlacesConfig,
  positions: Matrix | undefined,
  order: readonly number[] | undefined,
): Promise<Tensor> {
  if (positions) {
    const rows = backend.read(positions).then((values) => inOrder(values, order, width));
    return tensorOf(rows, [positions.rows, width]);
  }
  const kind = rotary ? "rotary ones" : relativePositions ? "relative ones" : "none";
  throw new RangeError(
    `forward: positionEmbeddings needs a checkpoint that adds positions to its tokens; this one has ${kind}`,
  );
}

/** Patches of an image: rows and columns, N = rows · columns. */
export function gridOf(
  { patchSize, interpolation }: Pick<PlacesConfig, "patchSize" | "interpolation">,
  imageSize: readonly [number, number],
): [number, number] {
  const round = interpolation.pad ? Math.ceil : Math.floor;
  return [round(imageSize[0] / patchSize[0]), round(imageSize[1] / patchSize[1])];
}

/** The grid of images of the config's size, or of clips of such frames. */
export function ownGrid(
  config: Pick<PlacesConfig, "imageSize" | "patchSize" | "interpolation" | "video">,
): [number, number] {
  const grid = gridOf(config, config.imageSize);
  return config.video ? clipGrid(config.video, grid) : grid;
}

/** A config that says what activations take. */
type Bounded = PlacesConfig & { readonly gated: boolean };

/** Bytes that places may take on any grid, and how many times those of a block's activations on a large one. */
const FREE_PLACES = 2 ** 28;
const MAX_PLACES = 16;

/**
 * Bounds what a grid's places take beside the tokens themselves: BEiT's bias of every pair of tokens, which grows by the
 * square of the image's area, and rotary turns of their own for every block. For heads of 64 columns 16 times
 * a block's activations are a grid of 95×95, images of 1520×1520 in patches of 16×16.
 * @param what has the grid, at the start of the message.
 * @returns a message if it is too much.
 */
export function faultOfPlaces(what: string, config: Bounded, grid: readonly [number, number]): string | undefined {
  const { width, mlpWidth, gated, heads, depth, prefixTokens, relativePositions, rotary } = config;
  const tokens = prefixTokens + grid[0] * grid[1];
  const bias = relativePositions ? heads * tokens * tokens : 0;
  const turns = rotary?.kind === "mixed" ? 2 * depth * tokens * width : 0;
  const bytes = 4 * (bias + turns);
  const most = Math.max(FREE_PLACES, MAX_PLACES * 4 * tokens * (5 * width + (gated ? 3 : 1) * mlpWidth));
  if (bytes <= most) return undefined;
  const of = `${relativePositions ? "relative" : "rotary"} positions of ${grid.join("×")} patches`;
  return `${what} must be smaller: ${of} take ${bytes} bytes, and at most ${most} may be, ${MAX_PLACES} times the activations`;
}

/** Values that depend on a grid and not on an image, kept for the last grid of each model. */
interface GridConstants {
  readonly grid: readonly [number, number];
  /** Rows for another grid than the config's. */
  readonly positions: Float32Array | undefined;
  readonly tables: ReadonlyMap<Float32Array, Float32Array>;
  readonly rotary: readonly RotaryTable[];
  readonly between: readonly Float32Array[] | undefined;
}

const constants = new WeakMap<PlacesWeights, GridConstants>();

function constantsOf(weights: PlacesWeights, config: Bounded, grid: readonly [number, number]): GridConstants {
  const known = constants.get(weights);
  if (known && known.grid[0] === grid[0] && known.grid[1] === grid[1]) return known;
  const fault = faultOfPlaces("forward: images", config, grid);
  if (fault !== undefined) throw new RangeError(fault);
  const { prefixTokens, width, heads } = config;
  const made: GridConstants = {
    grid,
    positions: rowsOf(weights, config, grid),
    tables: new Map(
      [
        weights.relativePositions,
        ...weights.blocks.flat(2).map((b) => ("relativePositions" in b ? b.relativePositions : undefined)),
      ]
        .filter((table) => table !== undefined)
        .map((table) => [table, relativeAt(table, weights.relativeGrid, grid, config.heads)]),
    ),
    rotary: config.rotary
      ? rotaryTables(config.rotary, {
          grid,
          headWidth: width / heads,
          prefixTokens,
          frequencies: weights.frequencies,
          prefixAngles: weights.prefixAngles,
          depth: config.depth,
          heads,
        })
      : [],
    between: weights.betweenPositions && tablesAt(weights.betweenPositions, grid, config).map(({ table }) => table),
  };
  constants.set(weights, made);
  return made;
}

/** Rows of positions that the checkpoint does not have for this grid. */
function rowsOf(
  { positions, times }: PlacesWeights,
  config: Bounded,
  grid: readonly [number, number],
): Float32Array | undefined {
  if (config.video?.sinusoids) return sinusoids(grid[0] * grid[1], config.width);
  if (positions && times) return placesAndTimes(positions.table, times, config.width);
  const own = ownGrid(config);
  if (!positions || (grid[0] === own[0] && grid[1] === own[1])) return undefined;
  return positionRows(positionsAt(positions, grid, config), config);
}

/** BEiT's table for another grid: its offsets resampled, its three entries of the class token kept, as in transformers. */
function relativeAt(
  table: Float32Array,
  from: readonly [number, number],
  to: readonly [number, number],
  heads: number,
): Float32Array {
  if (from[0] === to[0] && from[1] === to[1]) return table;
  const sides = ([height, width]: readonly [number, number]): [number, number] => [2 * height - 1, 2 * width - 1];
  const offsets = table.subarray(0, table.length - 3 * heads);
  const resampled = resample(offsets, sides(from), sides(to), { filter: "bilinear", antialias: false });
  const result = new Float32Array(resampled.length + 3 * heads);
  result.set(resampled);
  result.set(table.subarray(table.length - 3 * heads), resampled.length);
  return result;
}

/** The grid's constants in the backend's memory. */
export function placesOf(
  backend: Backend,
  weights: PlacesWeights,
  config: Bounded,
  grid: readonly [number, number],
): Places & { positions: Matrix | undefined } {
  const { positions, tables, rotary, between } = constantsOf(weights, config, grid);
  const { width, heads } = config;
  const matrix = (data: Float32Array, cols: number) => backend.createTensor(data.length / cols, cols, data);
  const tensors = new Map([...tables].map(([table, data]) => [table, matrix(data, heads)]));
  const turns = rotary.map(({ cos, sin }) => {
    const cols = cos.length / (config.prefixTokens + grid[0] * grid[1]);
    return { cos: matrix(cos, cols), sin: matrix(sin, cols) };
  });
  return {
    positions: positions ? matrix(positions, width) : weights.nativePositions,
    relative:
      tensors.size > 0
        ? ({ relativePositions = weights.relativePositions }, out) =>
            backend.relativePositions(out, tensors.get(relativePositions!)!, { height: grid[0], width: grid[1] })
        : undefined,
    rotary: config.rotary && { pairs: pairsOf(config.rotary), of: (block) => turns[block] ?? turns[0]! },
    grid: config.prefixTokens === 0 ? grid : undefined,
    between,
  };
}
