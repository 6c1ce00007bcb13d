/** Tensors of no known layout: what a message says of them. Imported for such a checkpoint alone. */
import { excerpt } from "../json.js";
import type { Shapes } from "./config.js";
import type { Json } from "./json.js";
import { type Layout, layouts, weightOf } from "./layouts.js";
import { findLayout } from "./observe.js";
import { isProbe } from "./probe.js";

/** An error that names the closest layout, and a prefix behind which tensors of a known one are. */
export function strangersError(name: string, tensors: Shapes, file: Json): Error {
  const { vision_cfg: tower } = Object(file.model_cfg) as { vision_cfg?: unknown };
  const all = [file.architectures, file.architecture, Object(tower).timm_model_name].flat();
  const said = all.find((one) => typeof one === "string");
  const of = said !== undefined && file.model_type === undefined ? `; its config names ${excerpt(said)}` : "";
  return new Error(unknown(name, tensors) + of);
}

/** Parts of a name that are looked behind. */
const MAX_PREFIXES = 4;

/** Prefixes behind which some of the tensors are of a known layout. */
function insideOf(tensors: Shapes): string[] {
  const tried = new Set<string>();
  for (const name of [...tensors.keys()].slice(0, COMPARED)) {
    for (let dot = name.indexOf("."), i = 0; dot >= 0 && i < MAX_PREFIXES; dot = name.indexOf(".", dot + 1), i++) {
      if (tried.size < COMPARED) tried.add(name.slice(0, dot + 1));
    }
  }
  return [...tried].filter((prefix) => findLayout(tensors, prefix));
}

/** Tensors that a message names, and those of many that layouts are compared with. */
const NAMED = 4;
const COMPARED = 2000;

/** The layout that fits best, and what of the checkpoint does not fit it. */
function unknown(name: string, tensors: Shapes): string {
  const all = [...tensors.keys()].slice(0, COMPARED);
  if (all.length === 0) return `load: "${name}" must hold the tensors of a Vision Transformer; it is empty`;
  const fits = layouts.map((layout) => {
    const known = knownNames(layout);
    return { layout, others: all.filter((tensor) => !known.test(tensor)) };
  });
  fits.sort((a, b) => a.others.length - b.others.length);
  const { layout, others } = fits[0]!;
  const inside = insideOf(tensors);
  if (isProbe(tensors)) {
    const shown = all.slice(0, NAMED).map((tensor) => excerpt(tensor));
    return `load: "${name}" must hold a model; its ${tensors.size} tensors (${shown.join(", ")}${all.length > NAMED ? ", …" : ""}) are a head's, which the option head takes beside a model`;
  }
  if (inside.length > 0) {
    const shown = inside.slice(0, NAMED).map((prefix) => excerpt(prefix));
    return `load: "${name}" must have the tensors of one model; it has more, and one is read by the option prefix: ${shown.join(" or ")}`;
  }
  const quoted = (list: readonly string[]) => {
    const count = list === all ? tensors.size : list.length;
    const more = count > NAMED ? `, and ${count - NAMED} more` : "";
    return (
      list
        .slice(0, NAMED)
        .map((tensor) => excerpt(tensor))
        .join(", ") + more
    );
  };
  if (others.length > all.length / 2) {
    const expected = [...new Set(layouts.map((known) => `"${anchorOf(known)}"`))].join(", ");
    return `load: "${name}" must hold a patch embedding named as one of ${expected}; its ${tensors.size} tensors are ${quoted(all)}`;
  }
  const anchor = anchorOf(layout);
  const unfit = others.length > 0 ? `; ${others.length} of ${all.length} tensors do not fit it: ${quoted(others)}` : "";
  return `load: "${name}" must have the tensors of a known family; closest is the layout of ${layout.name}, but its "${anchor}" or first block is missing${unfit}`;
}

/** The tensor that a layout is known by. */
const anchorOf = (layout: Layout): string => weightOf(layout, layout.patchEmbed ?? layout.resnet!.at[0].stem);

/** All names that a layout knows as one pattern, since names may be long and many. */
function knownNames(layout: Layout): RegExp {
  const strings: string[] = [];
  const collect = (x: unknown): void => {
    if (typeof x === "string") strings.push(x);
    else if (typeof x === "object" && x !== null && !(x instanceof RegExp)) Object.values(x).forEach(collect);
  };
  const { name: _, prefixes: __, ...parts } = layout;
  collect(parts);
  const pattern = (x: string) => x.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/[#@%]/g, "\\d+");
  const names = strings.filter((x) => x.length > 3).map(pattern);
  return new RegExp(`(?:^|[./])(?:${names.join("|")})`);
}
