/**
 * Counters in WebAssembly: calls of an imported function where a function, a loop or a branch begins, and behind every
 * conditional break. Written into binaryen's text of the module, which prints an expression a line.
 */
import binaryen from "binaryen";
import { HITS } from "./coverage.js";

export interface InstrumentedWasm {
  readonly binary: Uint8Array;
  readonly places: number;
  /** Integers in the code that are more than a byte. */
  readonly integers: readonly number[];
}

const { Features } = binaryen;
/** What V8 of Node 20 knows; others would be written in ways that it does not read. */
const FEATURES = [
  ...[
    Features.MutableGlobals,
    Features.NontrappingFPToInt,
    Features.SIMD128,
    Features.RelaxedSIMD,
    Features.BulkMemory,
  ],
  ...[Features.SignExt, Features.ReferenceTypes, Features.Multivalue, Features.Atomics],
].reduce((all, feature) => all | feature, 0);

/** @returns a binary that imports beside its own imports `name` of {@link HITS}, a function that is told the place. */
export function instrumentWasm(bytes: Uint8Array, name: string): InstrumentedWasm {
  const module = binaryen.readBinary(bytes);
  const text = module.emitText();
  module.dispose();

  const integers = new Set<number>();
  let places = 0;
  const lines: string[] = [];
  /** By depth: what was opened there last. */
  const open: string[] = [];
  let isImported = false;
  for (const line of text.split("\n")) {
    const depth = line.search(/\S/);
    const hit = () => lines.push(`${" ".repeat(depth + 1)}(call $hit (i32.const ${places++}))`);
    const head = /^\s*\((\S+)/.exec(line)?.[1];
    // Where a function begins, its locals come before its code.
    if (depth === 2 && open[1] === "func" && head !== "local") {
      hit();
      open[1] = "function";
    }
    if (!isImported && depth === 1 && head !== "type" && head !== "rec") {
      lines.push(` (import "${HITS}" "${name}" (func $hit (param i32)))`);
      isImported = true;
    }
    lines.push(line);
    const constant = /\(i(?:32|64)\.const (\d+)\)/.exec(line)?.[1];
    if (constant && Number(constant) > 255) integers.add(Number(constant));
    if (head) {
      open.length = depth;
      open[depth] = head;
      if (["then", "else", "loop"].includes(head) && !/\)$/.test(line)) hit();
    } else if (
      /^\s*\)/.test(line) &&
      open[depth] === "br_if" &&
      /^(function|block|loop|then|else)$/.test(open[depth - 1] ?? "")
    ) {
      hit();
    }
  }
  const counted = binaryen.parseText(lines.join("\n"));
  counted.setFeatures(FEATURES);
  const binary = counted.emitBinary();
  counted.dispose();
  return { binary, places, integers: [...integers] };
}
