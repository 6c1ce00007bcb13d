/** Names that training puts before those of a model: of modules that hold it. */
import type { Shapes } from "./config.js";
import { findLayout } from "./observe.js";

/**
 * Modules that hold a model: DataParallel's, torch.compile's, those of trainers (Lightning, timm, DINO, MoCo); of two copies,
 * the one first that evaluation uses.
 */
const WRAPPERS = [
  ...[
    "module",
    "_orig_mod",
    "model",
    "timm_model",
    "teacher",
    "model_ema",
    "ema",
    "net",
    "network",
    "backbone",
    "encoder",
  ],
  ...["visual_encoder", "image_encoder", "base_encoder", "momentum_encoder", "student"],
];
const WRAPPER = new RegExp(`^(${WRAPPERS.join("|")})\\.`);

/** Most modules around a model, one in the other, and most prefixes that are tried. */
const MAX_WRAPPERS = 4;
const MAX_TRIED = 32;

/**
 * Finds the prefix behind which the tensors have names of a known layout: one of known modules, whatever else there is, which
 * belongs to the trainer (a loss, a projection head); or one that all names have. It is "" where they have such names as they
 * are, or nowhere.
 */
export function wrapperOf(tensors: Shapes): string {
  if (findLayout(tensors)) return "";
  const prefixes = new Set<string>();
  for (const name of tensors.keys()) {
    let prefix = "";
    for (let i = 0; i < MAX_WRAPPERS; i++) {
      const [wrapper] = WRAPPER.exec(name.slice(prefix.length)) ?? [];
      if (wrapper === undefined || prefixes.size > MAX_TRIED) break;
      prefix += wrapper;
      prefixes.add(prefix);
    }
  }
  const rank = (prefix: string) => prefix.split(".").map((part) => WRAPPERS.indexOf(part));
  const byRank = [...prefixes].sort((a, b) => {
    const [first, second] = [rank(a), rank(b)];
    const i = first.findIndex((n, i) => n !== second[i]);
    return first.length - second.length || (first[i] ?? 0) - (second[i] ?? 0);
  });
  return [...byRank, ...commonPrefixes(tensors)].find((prefix) => findLayout(tensors, prefix)) ?? "";
}

/** Modules around all of the tensors, from the outermost on. */
function commonPrefixes(tensors: Shapes): string[] {
  const [first = "", ...others] = tensors.keys();
  const prefixes: string[] = [];
  for (let end = first.indexOf("."); end >= 0 && prefixes.length < MAX_WRAPPERS; end = first.indexOf(".", end + 1)) {
    const prefix = first.slice(0, end + 1);
    if (!others.every((name) => name.startsWith(prefix))) break;
    prefixes.push(prefix);
  }
  return prefixes;
}
