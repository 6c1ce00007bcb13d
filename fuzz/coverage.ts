/**
 * Coverage of the code under test. instrument.ts and instrument-wasm.ts put counters at the places where code branches; here
 * the counters are, one byte each, in the manner of AFL: how often a place was passed counts in eight steps, and an input is
 * new when a place was passed in a step that no input before had.
 */

/** What instrumented modules call, as `globalThis.fuzzed`. */
export interface Recorder {
  /** The counters of a module, and what is found in its source: bytes and names that inputs may be made of. */
  counters(count: number, literals: readonly (string | number)[], names: readonly string[]): Uint8Array;
  /** A binary in such a module, known by a name, with as many counters and these integers. */
  binary(name: string, count: number, integers: readonly number[]): void;
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
 * Begins to count, before code that is instrumented (instrumented.ts) is imported.
 * @param onAllocation is told of every allocation that counts.
 */
export function startCoverage(onAllocation = () => {}): Coverage {
  const map = new Uint8Array(MOST_PLACES);
  const words = new Uint32Array(map.buffer);
  /** Of each place, the steps that were seen. */
  const seen = new Uint8Array(MOST_PLACES);
  const literals = new Set<string | number>();
  const names = new Set<string>();
  /** What instances of an instrumented binary import, by its name. */
  const hits = new Map<string, (place: number) => void>();
  importHits(hits);
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
    binary(name, count, integers) {
      for (const integer of integers) literals.add(integer);
      const own = counters(count);
      hits.set(name, (place) => void own[place]!++);
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

/** The module that instrumented binaries import from; what they import is their name. */
export const HITS = "fuzz";

/** Gives every instance of an instrumented binary what it imports beside its own imports. */
function importHits(hits: ReadonlyMap<string, (place: number) => void>): void {
  const { Instance, Module } = WebAssembly;
  WebAssembly.Instance = new Proxy(Instance, {
    construct(_, [module, imports]: [WebAssembly.Module, WebAssembly.Imports | undefined]) {
      const own = Module.imports(module).find((wanted) => wanted.module === HITS);
      return new Instance(module, own ? { ...imports, [HITS]: { [own.name]: hits.get(own.name)! } } : imports);
    },
  });
}
