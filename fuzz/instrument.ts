/** Counters in JavaScript: one at every place where code branches, in the same lines, so that stacks stay readable. */
import { type Node, parse } from "acorn";
import { fromBase64 } from "../src/platform/bytes.js";
import { instrumentWasm } from "./instrument-wasm.js";

/** Built-in objects of which a program makes large ones. */
const LARGE = /^((Big)?(Ui|I)nt(8|16|32|64)(Clamped)?Array|Float(32|64)Array|(Shared)?ArrayBuffer|Array)$/;

/** By type of node: its parts that run only at times. A body always runs, but counts how often. */
const BRANCHES: Readonly<Record<string, readonly string[]>> = {
  FunctionDeclaration: ["body"],
  FunctionExpression: ["body"],
  ArrowFunctionExpression: ["body"],
  IfStatement: ["consequent", "alternate"],
  ForStatement: ["body"],
  ForInStatement: ["body"],
  ForOfStatement: ["body"],
  WhileStatement: ["body"],
  DoWhileStatement: ["body"],
  CatchClause: ["body"],
  ConditionalExpression: ["consequent", "alternate"],
  LogicalExpression: ["right"],
};

type Fields = Node & Readonly<Record<string, unknown>>;

/** What base64 of every WebAssembly binary begins with: its magic and version. */
const BINARY = /^AGFzbQEAAAA/;

/**
 * The module with counters, which it asks `globalThis.fuzzed` for (coverage.ts), also in texts that are binaries of WebAssembly.
 * @param name distinguishes it from other modules.
 */
export function instrument(source: string, name: string): string {
  const program = parse(source, { ecmaVersion: "latest", sourceType: "module", allowHashBang: true });
  const literals = new Set<string | number>();
  const names = new Set<string>();
  let places = 0;
  const count = () => `$c[${places++}]++`;
  /** Texts to be put at a position: those that close what ends there go before those that open what begins there. */
  const opening = new Map<number, string>();
  const closing = new Map<number, string>();
  /** Parts of the source that are left out: where they begin, and end. */
  const skipped = new Map<number, number>();
  const put = (where: Map<number, string>, at: number, text: string) => {
    if (text !== "") where.set(at, (where.get(at) ?? "") + text);
  };

  function visit(node: Fields, before = "", after = ""): void {
    put(opening, node.start, before);
    notice(node);
    if (node.type === "Literal" && BINARY.test(String(node.value))) {
      put(opening, node.start, binaryOf(String(node.value)));
      skipped.set(node.start, node.end);
    }
    const marks = new Map<Node, readonly [string, string]>();
    for (const name of BRANCHES[node.type] ?? []) {
      const part = node[name];
      if (isNode(part)) marks.set(part, around(part));
      else if (node.type === "IfStatement") after = `else{${count()}}${after}`;
    }
    if (node.type === "BlockStatement" || node.type === "SwitchCase") {
      const [first] = (node.body ?? node.consequent) as readonly Node[];
      if (first) put(opening, first.start, `${count()};`);
    }
    const isLarge = node.type === "NewExpression" && LARGE.test(String((node.callee as Fields).name));
    if (isLarge) put(opening, node.start, "$f.made(");
    for (const child of childrenOf(node)) visit(child, ...(marks.get(child) ?? []));
    put(closing, node.end, (isLarge ? ")" : "") + after);
  }

  /** The expression that says what a binary counts, and is the instrumented one. */
  function binaryOf(base64: string): string {
    const own = `${name} ${skipped.size}`;
    const { binary, places, integers } = instrumentWasm(fromBase64(base64), own);
    const text = JSON.stringify(Buffer.from(binary).toString("base64"));
    return `($f.binary(${JSON.stringify(own)},${places},${JSON.stringify(integers)}),${text})`;
  }

  /** What goes around a part that is not a block, whose own statements count. */
  function around({ type }: Node): readonly [string, string] {
    if (type === "BlockStatement") return ["", ""];
    return /Statement$|Declaration$/.test(type) ? [`{${count()};`, "}"] : [`(${count()},`, ")"];
  }

  /** Collects what inputs may be made of. */
  function notice(node: Fields): void {
    if (node.type === "Literal" && isTelling(node.value)) literals.add(node.value);
    const name = ((node.property ?? node.key) as Fields | undefined)?.name;
    if (/^(MemberExpression|Property)$/.test(node.type) && !node.computed && name !== undefined)
      names.add(String(name));
  }

  visit(program as unknown as Fields);
  const start = source.startsWith("#!") ? source.indexOf("\n") + 1 : 0;
  const found = `${JSON.stringify([...literals])},${JSON.stringify([...names])}`;
  let result = `${source.slice(0, start)}const $f=globalThis.fuzzed,$c=$f.counters(${places},${found});`;
  let at = start;
  for (const position of [...new Set([...opening.keys(), ...closing.keys()])].sort((a, b) => a - b)) {
    result += source.slice(at, position) + (closing.get(position) ?? "") + (opening.get(position) ?? "");
    at = skipped.get(position) ?? position;
  }
  return result + source.slice(at);
}

/** Words, and numbers that are more than a byte: what a program compares its input with. */
const isTelling = (value: unknown): value is string | number =>
  typeof value === "string" ? value.length >= 1 && value.length <= 40 : typeof value === "number" && value > 255;

const isNode = (value: unknown): value is Fields => typeof (value as Node | null)?.type === "string";

/** In the order of the source. */
const childrenOf = (node: Fields): Fields[] => Object.values(node).flat().filter(isNode);
