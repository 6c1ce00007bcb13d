/** The lines of a program that do what a view shows, as it is now. */
import type { KindName, KindOptions } from "vitrail/pictures";
import type { Made } from "../model.js";
import type { Sight } from "../sight.js";
import type { View } from "./view.js";

export const pictureOf = <Kind extends KindName>(kind: Kind, options: KindOptions[Kind]): Made => ({ kind, options });

/** What the photo is called in code. */
const fileOf = ({ opened }: Sight): string => (opened.id.startsWith("own-") ? opened.title : `${opened.id}.jpg`);

/** Loads the model of the page. */
function loading({ model, precision, facts }: Sight): string {
  const source = facts.file ?? model;
  const options = precision === "f32" ? [] : [`{ precision: "${precision}" }`];
  const args = [...(source ? [`"${source}"`] : options.length > 0 ? ["undefined"] : []), ...options];
  return `const model = await load(${args.join(", ")});`;
}

/** A program around these lines, in which `photo` stands for the photo's name. */
export const program = (s: Sight, lines: string): string =>
  `import { load } from "vitrail";
${loading(s)}
${lines.replaceAll("photo", `"${fileOf(s)}"`)}
model.dispose();`;

/** The program of a view. */
export function codeOf(view: View, s: Sight): string {
  const made = view.picture?.(s);
  if (!made) return view.code!(s);
  const { kind, options } = made;
  const list = Object.entries(options).map(([name, value]) => `${name}: ${shown(value)}`);
  const given = list.length > 0 ? `, { ${list.join(", ")} }` : "";
  const isOfModel = kind === "filters" || kind === "positions";
  const photo = `"${fileOf(s)}"`;
  return `import { load } from "vitrail";
import { picture } from "vitrail/pictures";
${loading(s)}
const map = await picture(model, "${kind}"${isOfModel ? "" : `, ${photo}`}${given});
const svg = await map.svg(${isOfModel ? "" : `{ over: ${photo} }`});`;
}

/** A value as a program writes it. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const parts = Object.entries(value).map(([name, part]) => `${name}: ${shown(part)}`);
  return `{ ${parts.join(", ")} }`;
}
