/**
 * Coverage of the code under test. instrument.ts and instrument-wasm.ts put counters at the places where code branches; here
 * the counters are, one byte each, in the manner of AFL: how often a place was passed counts in eight steps, and an input is
 * new when a place was passed in a step that no input before had.
 */
import { register } from "node:module";
import { instrumentWasm } from "./instrument-wasm.js";

/** What instrumented modules call, as `globalThis.fuzzed`. */
export interface Recorder {
  /** The counters of a module, and what is found in its source: bytes and names that inputs may be made of. */
  counters(count: number, literals: readonly (string | number)[], names: readonly string[]): Uint8Array;
  /** Takes notice of a buffer or array that was just made. */
  made<T>(value: T): T;
}

declare global {
  var fuzzed: Recorder;
}

export interface Coverage {
  /** Forgets what the last input did. */
  reset(): void;
  /** Takes the counters since `reset` into account; whether one of them was new. */
  isNew(): boolean;
  /** The places that were passed since `reset`. */
  passed(): number[];
  /** Places that were ever passed, and all. */
  readonly found: number;
  readonly places: number;
  /** Bytes of buffers and arrays above {@link COUNTED_BYTES} since `reset`. */
  readonly allocated: number;
  /** Strings and numbers in the code under test. */
  readonly literals: ReadonlySet<string | number>;
  /** Names of properties in it. */
  readonly names: ReadonlySet<string>;
}

/** Counters of all modules together; a module that finds no more room is an error. */
const MOST_PLACES = 1 << 18;
/** Smaller allocations are not worth counting. */
const COUNTED_BYTES = 1 << 14;

/** The step of each count, as a bit: 1, 2, 3, 4 to 7, to 15, to 31, to 127, more. */
const STEPS = Uint8Array.from({ length: 256 }, (_, count) => {
  const steps = [1, 2, 3, 4, 8, 16, 32, 128].filter((least) => count >= least).length;
  return steps === 0 ? 0 : 1 << (steps - 1);
});

/**
 * Begins to instrument what is imported from now on (hooks.ts says of what), and what WebAssembly is compiled.
 * @param onAllocation is told of every allocation that counts.
 */
export function startCoverage(onAllocation = () => {}): Coverage {
  const map = new Uint8Array(MOST_PLACES);
  const words = new Uint32Array(map.buffer);
  /** Of each place, the steps that were seen. */
  const seen = new Uint8Array(MOST_PLACES);
  const literals = new Set<string | number>();
  const names = new Set<string>();
  let buffers = new WeakSet<object>();
  let places = 0;
  let found = 0;
  let allocated = 0;

  function counters(count: number): Uint8Array {
    if (places + count > MOST_PLACES) throw new RangeError(`fuzz: there is room for ${MOST_PLACES} counters`);
    const own = map.subarray(places, places + count);
    places += count;
    return own;
  }
  globalThis.fuzzed = {
    counters(count, foundLiterals, foundNames) {
      for (const literal of foundLiterals) literals.add(literal);
      for (const name of foundNames) names.add(name);
      return counters(count);
    },
    made(value) {
      const buffer = ArrayBuffer.isView(value) ? value.buffer : value;
      const bytes = buffer instanceof ArrayBuffer ? buffer.byteLength : Array.isArray(buffer) ? 8 * buffer.length : 0;
      // Views of the same memory count once.
      if (bytes > COUNTED_BYTES && !buffers.has(buffer as object)) {
        buffers.add(buffer as object);
        allocated += bytes;
        onAllocation();
      }
      return value;
    },
  };
  register("./hooks.js", import.meta.url);
  countWasm((count, constants) => {
    for (const constant of constants) literals.add(constant);
    return counters(count);
  });

  /** Calls `visit` for every place whose counter is not 0. */
  function visitPassed(visit: (place: number, count: number) => void): void {
    for (let w = 0; 4 * w < places; w++) {
      if (words[w] === 0) continue;
      for (let place = 4 * w; place < 4 * w + 4; place++) if (map[place] !== 0) visit(place, map[place]!);
    }
  }
  return {
    reset() {
      map.fill(0, 0, places);
      if (allocated > 0) buffers = new WeakSet();
      allocated = 0;
    },
    isNew() {
      let isNew = false;
      visitPassed((place, count) => {
        const step = STEPS[count]!;
        if ((seen[place]! & step) !== 0) return;
        if (seen[place] === 0) found++;
        seen[place]! |= step;
        isNew = true;
      });
      return isNew;
    },
    passed() {
      const passed: number[] = [];
      visitPassed((place) => passed.push(place));
      return passed;
    },
    get found() {
      return found;
    },
    get places() {
      return places;
    },
    get allocated() {
      return allocated;
    },
    literals,
    names,
  };
}

/** Lets every module that is compiled from bytes count in the counters that it is given. */
function countWasm(counters: (count: number, constants: readonly number[]) => Uint8Array): void {
  const { Module, Instance } = WebAssembly;
  /** What instances of an instrumented module import beside its own imports. */
  const hits = new WeakMap<WebAssembly.Module, WebAssembly.ModuleImports>();

  const compile = (bytes: BufferSource): WebAssembly.Module => {
    const { binary, places, constants } = instrumentWasm(bytes);
    const module = new Module(binary as BufferSource);
    const own = counters(places, constants);
    hits.set(module, { hit: (place: number) => void own[place]!++ });
    return module;
  };
  const instantiate = (module: WebAssembly.Module, imports?: WebAssembly.Imports): WebAssembly.Instance => {
    const hit = hits.get(module);
    return new Instance(module, hit ? { ...imports, fuzz: hit } : imports);
  };
  WebAssembly.Module = new Proxy(Module, { construct: (_, [bytes]) => compile(bytes) });
  WebAssembly.Instance = new Proxy(Instance, { construct: (_, [module, imports]) => instantiate(module, imports) });
  WebAssembly.compile = async (bytes) => compile(bytes);
  WebAssembly.instantiate = (async (source: WebAssembly.Module | BufferSource, imports?: WebAssembly.Imports) => {
    if (source instanceof Module) return instantiate(source, imports);
    const module = compile(source);
    return { module, instance: instantiate(module, imports) };
  }) as typeof WebAssembly.instantiate;
}
