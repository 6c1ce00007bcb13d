/** Engines: a checkpoint's weights in a backend's memory and the forward passes on them, shared by all models that can. */
import type { Backend, Precision } from "./backend.js";
import { type Choice, selectBackend } from "./backends/select.js";
import { type Preprocessing, parsePreprocessing } from "./image/index.js";
import { type Checkpoint, type CheckpointParts, openCheckpoint, type Progress } from "./io/checkpoint.js";
import type { Config, ConfigOverrides } from "./model/config.js";
import { imageSettings } from "./model/families/bare.js";
import { type ForwardOptions, forward } from "./model/forward.js";
import type { Inputs, OutputName, Outputs } from "./model/outputs.js";
import { parseConfig } from "./model/recognise.js";
import { planWeights, type Weights } from "./model/weights.js";
import { fingerprint } from "./platform.js";
import { createSharing, type Lease } from "./sharing.js";

/** What of LoadOptions matters to an engine. */
export interface EngineOptions extends Choice {
  readonly precision?: Precision;
  readonly imageSize?: number | readonly [number, number];
  readonly patchSize?: number | readonly [number, number];
  readonly config?: ConfigOverrides;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Engine {
  readonly config: Config;
  readonly labels: readonly string[];
  readonly preprocessing: Preprocessing;
  readonly backend: {
    readonly name: string;
    readonly precision: Precision;
    readonly threads: number;
    readonly reason: string;
  };
  readonly memory: { readonly weights: number; readonly activations: number };
  /** Whether scores of image and text are independent of each other (SigLIP's sigmoid), and how they are made of cosines. */
  readonly similarity: Weights["similarity"];
  /** Token ids of texts, by the checkpoint's tokenizer.json. */
  tokenize(texts: readonly string[]): Promise<number[][]>;
  /**
   * Runs a forward pass when the ops of all earlier ones have been called: they share the activations' memory.
   * @param check throws if it is no longer wanted when its turn comes.
   * @param options its signal stops it between two layers.
   */
  forward(
    inputs: Inputs,
    outputs: readonly OutputName[],
    check: () => void,
    options?: ForwardOptions,
  ): Promise<Partial<Outputs>>;
  /** Frees the memory; a pass that is running fails at its next op. */
  dispose(): void;
}

const share = createSharing<Engine, Progress>();

/**
 * The engine of a checkpoint: the one that there is, if it was made of the same files with the same options and the files
 * have not changed since, or a new one. Checkpoints in memory are not compared.
 */
export async function acquireEngine(
  source: string | URL | CheckpointParts,
  options: EngineOptions,
): Promise<Lease<Engine>> {
  const { backend, precision, threads, wide, imageSize, patchSize, config, signal, onProgress } = options;
  const inMemory = typeof source !== "string" && !(source instanceof URL);
  const files = inMemory ? undefined : await fingerprint(source, /\.(json|safetensors|npz|txt)$/);
  const key = files && JSON.stringify([files, backend, precision, threads, wide, imageSize, patchSize, config]);
  signal?.throwIfAborted();
  return share(key, (waiting) => createEngine(source, { ...options, ...waiting }), { signal, onProgress });
}

async function createEngine(source: string | URL | CheckpointParts, options: EngineOptions): Promise<Engine> {
  const { signal, onProgress } = options;
  const checkpoint = await openCheckpoint(source, { signal });
  try {
    const {
      config: stored,
      named,
      labels,
    } = await parseConfig(checkpoint.name, checkpoint.config, checkpoint.tensors, options.config);
    const config = resized(stored, options);
    const preprocessing = parsePreprocessing(
      checkpoint.preprocessor,
      imageSettings(checkpoint.config, config),
      config.imageSize,
      options.imageSize !== undefined,
    );
    const plan = planWeights(checkpoint.name, { config, named, stored }, checkpoint.tensors);
    const { precision = plan.precision } = options;
    const { backend, how, started } = await selectBackend({ ...options, precision });
    try {
      const loader = plan.create(backend, precision);
      await checkpoint.read(loader, { signal, onProgress });
      const weights = await loader.finish();
      await started;
      const facts = {
        config,
        labels,
        preprocessing,
        get backend() {
          return { name: backend.name, precision, ...how };
        },
      };
      return engineOf(facts, backend, weights, tokenizerOf(checkpoint, config));
    } catch (error) {
      backend.dispose();
      throw error;
    }
  } finally {
    await checkpoint.close();
  }
}

/** The config of images and patches of the sizes that are asked for. */
function resized(config: Config, { imageSize, patchSize }: EngineOptions): Config {
  const pair = (size: number | readonly [number, number]) =>
    typeof size === "number" ? ([size, size] as const) : size;
  const result = {
    ...config,
    ...(imageSize === undefined ? {} : { imageSize: pair(imageSize) }),
    ...(patchSize === undefined ? {} : { patchSize: pair(patchSize) }),
  };
  if (
    config.relativePositions &&
    config.layout === "timm" &&
    result.imageSize.some((n, i) => n !== config.imageSize[i])
  ) {
    const own = config.imageSize.join("×");
    throw new RangeError(
      `load: timm's relative positions are not resampled, so imageSize must be ${own}; got ${imageSize}`,
    );
  }
  if (patchSize !== undefined && (config.resnet || config.flexible)) {
    throw new RangeError("load: patchSize needs patches of pixels; this checkpoint has none");
  }
  if (result.imageSize.some((side, axis) => side < result.patchSize[axis]!)) {
    throw new RangeError(
      `load: images must be at least a patch of ${result.patchSize.join("×")} in size; got ${result.imageSize.join("×")}`,
    );
  }
  return result;
}

/** Reads the tokenizer for the first text. */
function tokenizerOf({ name, file }: Checkpoint, { text }: Config): Engine["tokenize"] {
  let made: Promise<(text: string) => number[]> | undefined;
  async function make() {
    const json = async (path: string) => {
      const bytes = await file(path);
      return bytes && JSON.parse(new TextDecoder().decode(bytes));
    };
    const tokenizer = await json("tokenizer.json");
    if (!tokenizer) throw new Error(`tokenizer: "${name}" must hold tokenizer.json; it holds none`);
    const config = (await json("tokenizer_config.json")) ?? {};
    const { createTokenizer } = await import("./text/tokenizer.js");
    return createTokenizer(tokenizer, config, { length: text!.length, pad: text!.pooling === "last" });
  }
  return async (texts) => {
    if (!text) throw new RangeError("text: it needs a checkpoint with a text tower; this one has none");
    made ??= make();
    return texts.map(await made);
  };
}

function engineOf(
  facts: Omit<Engine, "memory" | "similarity" | "tokenize" | "forward" | "dispose">,
  backend: Backend,
  weights: Weights,
  tokenize: Engine["tokenize"],
): Engine {
  let last: Promise<unknown> = Promise.resolve();
  return {
    config: facts.config,
    labels: facts.labels,
    preprocessing: facts.preprocessing,
    get backend() {
      return facts.backend;
    },
    get memory() {
      return backend.memory;
    },
    similarity: weights.similarity,
    tokenize,
    forward(inputs, outputs, check, options) {
      const called = last.then(() => {
        check();
        return forward(backend, weights, facts.config, inputs, outputs, options);
      });
      last = called.catch(() => undefined);
      return called.then(({ outputs }) => outputs);
    },
    dispose: () => backend.dispose(),
  };
}
