/** The weights in what a PyTorch file holds: all of it, or a part of a training checkpoint. */
import { excerpt } from "../../json.js";
import { type Key, kindOfValue, type Value } from "../pickle.js";
import { type Refuse, View } from "./globals.js";

/** Depth at which a training checkpoint may hold its weights: {"ema": {"model": …}}. */
const MAX_LEVELS = 3;

export type States = Map<string, View>;

/** Keys of training checkpoints, those of averaged weights first: as timm's load_checkpoint, DINO and BasicSR choose. */
const STATES = [
  ...["state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "ema", "teacher"],
  ...["state_dict", "model_state_dict", "model_state", "model", "params", "module", "network", "net", "weights"],
  ...["backbone", "encoder", "student"],
];

const isOptimizer = (dict: Map<Key, Value>): boolean => dict.has("param_groups");

const tensorsOf = (dict: Map<Key, Value>): States =>
  new Map(
    [...dict].filter((entry): entry is [string, View] => typeof entry[0] === "string" && entry[1] instanceof View),
  );

/** Dicts in a dict, by name. */
const dictsOf = (dict: Map<Key, Value>) =>
  [...dict].flatMap(([key, value]) =>
    typeof key === "string" && value instanceof Map && !isOptimizer(value) ? [[key, value] as const] : [],
  );

/** The tensors of a file, and the keys that lead to them. */
export function findState(
  root: Value,
  wanted: string | undefined,
  refuse: Refuse,
): { readonly keys: readonly string[]; readonly tensors: States } {
  if (!(root instanceof Map)) {
    return refuse(`must hold a dict of tensors, a state_dict; it holds ${kindOfValue(root)}`);
  }
  // Each dict is looked into once, however often it is referred to.
  const seen = new Map<Map<Key, Value>, string[] | undefined>();
  const ambiguous: string[][] = [];

  function choose(dict: Map<Key, Value>, level: number): string[] | undefined {
    if (seen.has(dict)) return seen.get(dict);
    seen.set(dict, undefined);
    const found = isOptimizer(dict) ? undefined : search(dict, level);
    seen.set(dict, found);
    return found;
  }

  function search(dict: Map<Key, Value>, level: number): string[] | undefined {
    const inside = level === MAX_LEVELS ? [] : dictsOf(dict);
    const paths = inside.flatMap(([key, value]) => {
      const path = choose(value, level + 1);
      return path ? [[key, ...path]] : [];
    });
    for (const name of STATES) {
      const path = paths.find(([key]) => key === name);
      if (path) return path;
    }
    if (tensorsOf(dict).size > 0) return [];
    if (paths.length > 1) ambiguous.push(...paths);
    return paths[0];
  }

  let from: Value = root;
  const keys: string[] = [];
  if (wanted !== undefined) {
    for (const key of root.has(wanted) ? [wanted] : wanted.split("/")) {
      from = from instanceof Map ? (from.get(key) ?? null) : null;
      keys.push(key);
    }
  }
  const path = from instanceof Map ? choose(from, 0) : undefined;
  if (path === undefined) {
    if (wanted !== undefined) {
      const known = dictsOf(root).map(([key]) => key);
      return refuse(`must hold tensors under the state ${excerpt(wanted)}; its dicts are ${listed(known)}`);
    }
    const what = isOptimizer(root) ? "an optimizer's state and no model" : `a dict of ${listed([...root.keys()])}`;
    return refuse(`must hold a dict of tensors, a state_dict; it holds ${what}`);
  }
  if (ambiguous.length > 0 && ambiguous.some((other) => other.join("/") === path.join("/"))) {
    const names = ambiguous.map((other) => other.join("/"));
    return refuse(`must hold one state_dict, or the option state names one; it has ${listed(names)}`);
  }
  let dict = from as Map<Key, Value>;
  for (const key of path) dict = dict.get(key) as Map<Key, Value>;
  return { keys: [...keys, ...path], tensors: tensorsOf(dict) };
}

/** Names for a message. */
function listed(keys: readonly unknown[]): string {
  const shown = keys.slice(0, 8).map((key) => (typeof key === "string" ? excerpt(key, 60) : "a number"));
  return shown.length === 0 ? "none" : shown.join(", ") + (keys.length > 8 ? `, and ${keys.length - 8} more` : "");
}
