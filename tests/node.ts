/**
 * What tests that run on a page as well import of Node: there the server gives them this in place of node:test,
 * node:assert/strict and node:fs.
 */

/** Those that were defined, to be run by whoever imports them. */
export const defined: { readonly name: string; readonly run: () => unknown }[] = [];

export function test(name: string, options: { skip?: string | false }, run: () => unknown): void {
  if (!options.skip) defined.push({ name, run });
}

export function readFileSync(): never {
  throw new Error("a page has no files");
}

function equal(found: unknown, expected: unknown, message = ""): void {
  if (!Object.is(found, expected)) throw new Error(`${message}: ${found} is not ${expected}`);
}

const assert = {
  equal,
  ok: (condition: unknown, message = "") => equal(Boolean(condition), true, message),
  // Typed arrays of the same bits have the same values here: no test compares zeros or NaN.
  deepEqual: (found: unknown, expected: unknown, message = "") =>
    equal(JSON.stringify(found), JSON.stringify(expected), message),
  throws(run: () => unknown): void {
    let threw = false;
    try {
      run();
    } catch {
      threw = true;
    }
    equal(threw, true, "it must throw");
  },
  fail(message: string): never {
    throw new Error(message);
  },
};
export default assert;
