/** Names that training puts before those of a model: of modules that hold it. */
import type { Shapes } from "./config.js";
import { findLayout } from "./observe.js";

/**
 * Modules that hold a model: DataParallel's, torch.compile's, those of trainers (Lightning, timm, DINO, MoCo); of two copies,
 * the averaged one first, which evaluation uses.
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
    "momentum_encoder",
    "net",
    "network",
  ],
  ...["backbone", "encoder", "visual_encoder", "image_encoder", "base_encoder", "student"],
];
const WRAPPER = new RegExp(`^(${WRAPPERS.join("|")})\\.`);

/** Most modules around a model, one in the other, and most prefixes that are tried. */
const MAX_WRAPPERS = 4;
const MAX_TRIED = 32;

/**
 * The prefix behind which the tensors have names of a known layout: "" where they have them as they are, or nowhere. What does
 * not bear it belongs to the trainer: a loss, a projection head.
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
  return byRank.find((prefix) => findLayout(behind(prefix, tensors))) ?? "";
}

const behind = (prefix: string, tensors: Shapes): Shapes =>
  new Map([...tensors].flatMap(([name, info]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), info]] : [])));
