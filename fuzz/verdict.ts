/** What counts as a fault. */
import { Fault, type Target } from "./target.js";

export interface Verdict {
  /** The same for inputs that show the same fault. */
  readonly signature: string;
  readonly message: string;
}

/** Longest message of a refusal. */
const LONGEST_MESSAGE = 400;

/** The first words of a text, with what varies taken out: numbers and quotations. */
export const outline = (text: string): string =>
  text
    .replace(/"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?/g, '"…"')
    .replace(/[\d,.]*\d/g, "N")
    .split(/\s+/, 8)
    .join(" ")
    .slice(0, 80);

/** Judges what a target threw; undefined for a refusal, which is one sentence of the library. */
export function judge(error: unknown, target: Pick<Target, "refusal" | "longestMessage">): Verdict | undefined {
  if (!(error instanceof Error))
    return { signature: "thrown value", message: `it threw ${String(error).slice(0, 100)}` };
  const { name, message } = error;
  const verdict = (kind: string): Verdict => {
    // The first place in the library, without the line, which changes.
    const place = /(?:dist\/src|node_modules)\/([^:?)]*)/.exec(error.stack ?? "")?.[1] ?? "no file of it";
    return {
      signature: `${kind}: ${outline(message)} (${place})`,
      message: `${kind}: ${name}: ${JSON.stringify(message.slice(0, 200))} at ${place}`,
    };
  };
  if (error instanceof Fault) return verdict("wrong result");
  if (error instanceof WebAssembly.RuntimeError || !target.refusal.test(message)) return verdict("no sentence of ours");
  // Control characters and the two line separators of Unicode.
  if (/[\p{Cc}\u2028\u2029]/u.test(message)) return verdict("line break or control character");
  const { longestMessage = LONGEST_MESSAGE } = target;
  if (message.length > longestMessage) return verdict(`more than ${longestMessage} characters`);
  return undefined;
}
