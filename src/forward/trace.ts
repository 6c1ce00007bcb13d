/**
 * A forward pass op by op, for hunting down a number that is not PyTorch's: VITRAIL_TRACE=1 prints a line for each op, with its
 * place in the weights, its result's shape, milliseconds and first values.
 */
import type { Backend, Tensor as Matrix } from "../backend.js";

/** Methods that are no ops: they make, fill, free and read memory. The first argument of all others is what they write. */
const OTHERS: readonly (keyof Backend)[] = [
  ...(["createTensor", "createLinear", "stage", "store", "rescale"] as const),
  ...(["mark", "release", "write", "draw", "read", "dispose"] as const),
];

/** First values of a line. */
const SHOWN = 5;

/**
 * The backend, whose ops are written as they are called; on a GPU the milliseconds are those of the call, not of the work.
 * @param weights names the ops by the paths of what they read there, such as blocks.0.0.0.qkv.
 * @param write is given a line an op, in order.
 */
export function traced(backend: Backend, weights: object, write: (line: string) => void): Backend {
  const names = namesOf(weights);
  let written: Promise<void> = Promise.resolve();

  const nameOf = (args: readonly unknown[]): string => {
    const parts = args.flatMap((arg) => [arg, (arg as { norm?: unknown } | undefined)?.norm]);
    return [...new Set(parts.map((part) => names.get(part)).filter((name) => name !== undefined))].join(", ");
  };

  return new Proxy(backend, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== "function" || (OTHERS as readonly unknown[]).includes(key)) return value;
      return (...args: unknown[]) => {
        const start = performance.now();
        value(...args);
        const ms = (performance.now() - start).toFixed(3);
        const out = args[0] as Matrix;
        const values = target.read(out);
        const line = `${String(key).padEnd(17)} ${nameOf(args).padEnd(28)} ${`${out.rows}×${out.cols}`.padEnd(10)} ${ms.padStart(8)} ms `;
        written = written.then(async () => {
          const first = Array.from((await values).subarray(0, SHOWN), (x) => x.toPrecision(6));
          write(`${line} ${first.join(" ")}`);
        });
        written.catch(() => {});
      };
    },
  });
}

/** The paths of all objects in the weights. */
function namesOf(weights: object): ReadonlyMap<unknown, string> {
  const names = new Map<unknown, string>();
  function walk(value: unknown, path: string): void {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || names.has(value)) return;
    if (path) names.set(value, path);
    for (const [key, part] of Object.entries(value)) walk(part, path ? `${path}.${key}` : key);
  }
  walk(weights, "");
  return names;
}
