/** Models by name: loaded when they are first asked for, kept, and the least recently used disposed of when memory runs short. */
import type { LoadOptions, Model } from "../index.js";
import { abortable } from "../waiting.js";
import { Refusal } from "./refusal.js";

/** Opens a model, by the options that keep what a stranger sends within bounds. */
export type OpenModel = (options: LoadOptions) => Promise<Model>;

/** A model in use. */
export interface Lease {
  readonly model: Model;
  release(): void;
}

export interface Pool {
  readonly names: readonly string[];
  /**
   * A model, once it is loaded. The signal ends the waiting, not the loading.
   * @throws Refusal 500 if it cannot be loaded, 507 if it takes more than all models may.
   */
  use(name: string, signal: AbortSignal): Promise<Lease>;
  /** Bytes of each model that is loaded. */
  readonly bytes: Readonly<Record<string, number>>;
  /** Disposes of all, those in use when they are released. */
  close(): Promise<void>;
}

interface Entry {
  readonly name: string;
  readonly loading: Promise<Model>;
  /** Absent while it is loaded. */
  model?: Model;
  /** Those who use it or wait for it. */
  users: number;
  /** Called when the last of them lets go of it. */
  idle?: () => void;
}

/** Milliseconds for which a model that could not be loaded is not tried again: each try may read gigabytes. */
const PAUSE = 5000;

const failureOf = (name: string, cause: unknown): Refusal =>
  cause instanceof Refusal ? cause : new Refusal(500, `the model "${name}" could not be loaded`, {}, { cause });

const bytesOf = ({ model }: Entry): number => (model ? model.memory.weights + model.memory.activations : 0);

/**
 * @param models by name; the first is that of requests which name none.
 * @param most bytes of models that are loaded at once.
 */
export function createPool(models: ReadonlyMap<string, OpenModel>, options: LoadOptions, most: number): Pool {
  /** Least recently used first. */
  const entries = new Map<string, Entry>();
  /** Those that are dropped and still in use. */
  const leaving = new Set<Entry>();
  /** Bytes that models are known to take. */
  const sizes = new Map<string, number>();
  const failures = new Map<string, { readonly refusal: Refusal; readonly until: number }>();
  /** Loads go one after the other: each then knows what memory there is. */
  let last: Promise<unknown> = Promise.resolve();

  const held = () => [...leaving, ...entries.values()].filter(({ model }) => model);
  const fits = (bytes: number) => held().reduce((sum, entry) => sum + bytesOf(entry), bytes) <= most;
  const oldest = (besides: string, mayDrop: (entry: Entry) => boolean = () => true) =>
    [...entries.values()].find((entry) => entry.model && entry.name !== besides && mayDrop(entry));
  const oldestIdle = (besides: string) => oldest(besides, ({ users }) => users === 0);

  /** Disposes of a model when its users are done; who comes meanwhile loads it anew. */
  async function drop(entry: Entry): Promise<void> {
    entries.delete(entry.name);
    leaving.add(entry);
    if (entry.users > 0) {
      await new Promise<void>((resolve) => {
        entry.idle = resolve;
      });
    }
    leaving.delete(entry);
    entry.model?.dispose();
  }

  /** Makes room for as many bytes of a model, by those that nobody uses first. */
  async function makeRoom(name: string, bytes: number): Promise<void> {
    dropIdle(name, bytes);
    for (let entry = oldest(name); entry && !fits(bytes); entry = oldest(name)) await drop(entry);
  }

  /** Makes as much of it as there is without waiting. */
  function dropIdle(name: string, bytes: number): void {
    for (let entry = oldestIdle(name); entry && !fits(bytes); entry = oldestIdle(name)) void drop(entry);
  }

  function checkSize(name: string, bytes: number): void {
    if (bytes <= most) return;
    throw new Refusal(507, `the model "${name}" takes more memory than this server has for models`);
  }

  /** Loads a model into the room that there is for it; of one that was never loaded, its headers tell how much it takes. */
  async function load(name: string, open: OpenModel): Promise<Model> {
    for (;;) {
      const known = sizes.get(name) ?? 0;
      checkSize(name, known);
      await makeRoom(name, known);
      const early = new AbortController();
      const model = await open({
        ...options,
        signal: early.signal,
        onProgress({ memory = 0 }) {
          if (memory <= (sizes.get(name) ?? 0)) return;
          sizes.set(name, memory);
          if (memory <= most) dropIdle(name, memory);
          // No weights are read before those are through who use the memory.
          if (!fits(memory)) early.abort();
        },
      }).catch((error) => {
        if (!early.signal.aborted) throw error;
      });
      if (!model) continue;
      const bytes = model.memory.weights + model.memory.activations;
      sizes.set(name, bytes);
      try {
        checkSize(name, bytes);
      } catch (error) {
        model.dispose();
        throw error;
      }
      await makeRoom(name, bytes);
      return model;
    }
  }

  function begin(name: string): Entry {
    const loading = last.then(() => load(name, models.get(name)!));
    last = loading.catch(() => {});
    const entry: Entry = { name, loading, users: 0 };
    entries.set(name, entry);
    loading.then(
      (model) => {
        entry.model = model;
      },
      (error) => {
        if (entries.get(name) === entry) entries.delete(name);
        entry.idle?.();
        const { status, message } = failureOf(name, error);
        const pause = status === 507 ? Number.POSITIVE_INFINITY : PAUSE;
        failures.set(name, { refusal: new Refusal(status, message), until: performance.now() + pause });
      },
    );
    return entry;
  }

  function release(entry: Entry): void {
    if (--entry.users > 0) return;
    entry.idle?.();
    // Activations grow with what is asked.
    dropIdle(entry.name, 0);
  }

  return {
    names: [...models.keys()],
    get bytes() {
      const bytes: Record<string, number> = {};
      for (const entry of held()) bytes[entry.name] = (bytes[entry.name] ?? 0) + bytesOf(entry);
      return bytes;
    },
    async use(name, signal) {
      const failure = failures.get(name);
      if (failure && performance.now() < failure.until) throw failure.refusal;
      const entry = entries.get(name) ?? begin(name);
      entry.users++;
      // Most recently used.
      entries.delete(name);
      entries.set(name, entry);
      try {
        const model = await abortable(entry.loading, signal);
        let held = true;
        return {
          model,
          release() {
            if (held) release(entry);
            held = false;
          },
        };
      } catch (error) {
        release(entry);
        signal.throwIfAborted();
        throw failureOf(name, error);
      }
    },
    async close() {
      await last;
      await Promise.all([...entries.values()].map(drop));
    },
  };
}
