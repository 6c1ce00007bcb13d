/** Names that training puts before those of a model, of modules that hold it, and tensors that it leaves beside the model. */
import { excerpt } from "../json.js";
import type { Shapes } from "./config.js";
import { findLayout } from "./observe.js";
import { patternOf } from "./plan.js";

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
 * Parts of a trainer that are no part of the model, by their names behind modules that hold it. Nobody who loads the model means
 * them; a classifier beside a backbone ("head.weight") is none of them.
 */
const TRAINING: readonly RegExp[] = [
  // Losses, with the weights of classes that they hold.
  /^(criterion|loss|\w{1,40}_loss|loss_\w{1,40})\./,
  // Counters of metrics (torchmetrics in Lightning).
  /^(metrics?|\w{1,40}_metrics?|((train|val|valid|test)_)\w{1,40}|acc|accuracy|\w{1,40}_acc)\./,
  // Projection heads of self-supervised training: DINO's and iBOT's, DINOv2's, BYOL's, SimSiam's, MoCo v3's, SwAV's.
  /^(head\.(mlp|last_layer)|head2\.(mlp|last_layer)|dino_head|ibot_head)\./,
  /^(projector|projection_head|predictor|prototypes)\./,
  // Queues and centers.
  /^(queue|queue_ptr|center)$/,
];

/**
 * Finds tensors beside those behind a prefix that belong neither to a trainer nor to another copy of the model that training
 * keeps, a student or an average.
 */
export function strangersOf(tensors: Shapes, prefix: string): string[] {
  const others = [...tensors.keys()].filter((name) => !name.startsWith(prefix));
  const tried = new Set<string>();
  for (const name of others) for (const before of wrappersOf(name)) if (tried.size < MAX_TRIED) tried.add(before);
  const copies = [...tried].filter((before) => before !== "" && findLayout(tensors, before)).map(rootOf);
  return others.filter((name) => {
    if (copies.some((copy) => name.startsWith(copy))) return false;
    return !wrappersOf(name).some((before) => TRAINING.some((pattern) => pattern.test(name.slice(before.length))));
  });

  /** The outermost module of a copy that the model is not in: "student." of "student.backbone." beside "teacher.backbone.". */
  function rootOf(copy: string): string {
    const [parts, own] = [copy, prefix].map((names) => names.split("."));
    const first = parts!.findIndex((part, i) => part !== own![i]);
    return `${parts!.slice(0, first + 1).join(".")}.`;
  }
}

/** Says which tensors are strange beside a prefix; undefined where there are none. */
export function faultOfStrangers(name: string, tensors: Shapes, prefix: string): string | undefined {
  const found = strangersOf(tensors, prefix);
  if (found.length === 0) return undefined;
  const more = found.length > NAMED ? `, and ${found.length - NAMED} more` : "";
  const shown = found
    .slice(0, NAMED)
    .map((tensor) => excerpt(tensor))
    .join(", ");
  const ways = `the option ignore: ${patternOf(found)} leaves them out, as prefix: ${excerpt(prefix)} leaves out all others`;
  return `load: "${name}" has a model behind ${excerpt(prefix)}, and beside it ${shown}${more}; ${ways}`;
}

/** Tensors that a message names. */
const NAMED = 4;

/** "" and the known modules before a name, from the outermost on. */
function wrappersOf(name: string): string[] {
  const found = [""];
  let prefix = "";
  for (let i = 0; i < MAX_WRAPPERS; i++) {
    const [wrapper] = WRAPPER.exec(name.slice(prefix.length)) ?? [];
    if (wrapper === undefined) break;
    prefix += wrapper;
    found.push(prefix);
  }
  return found;
}

/**
 * Finds the prefix behind which the tensors have names of a known layout: one of known modules, whatever else there is; or one
 * that all names have. It is "" where they have such names as they are, or nowhere.
 */
export function wrapperOf(tensors: Shapes): string {
  if (findLayout(tensors)) return "";
  const prefixes = new Set<string>();
  for (const name of tensors.keys()) {
    for (const prefix of wrappersOf(name).slice(1)) if (prefixes.size <= MAX_TRIED) prefixes.add(prefix);
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
