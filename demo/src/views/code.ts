/** The lines of a program that make a picture, as they are now. */
import type { Sight } from "../sight.js";

/** What a photo is called there. */
export const fileOf = ({ opened }: Sight): string =>
  opened.id.startsWith("own-") ? opened.title : `${opened.id}.jpg`;

/** Loads the model of the page. */
export function loadLines({ model, precision, facts }: Sight): string {
  const source = facts.file ?? model;
  const options = precision === "f32" ? [] : [`{ precision: "${precision}" }`];
  const args = [...(source ? [`"${source}"`] : options.length > 0 ? ["undefined"] : []), ...options];
  return `const model = await load(${args.join(", ")});`;
}

/** Makes a picture of a kind with these options. */
export function pictureCode(s: Sight, kind: string, options: Readonly<Record<string, unknown>> = {}): string {
  const list = Object.entries(options).map(([name, value]) => `${name}: ${shown(value)}`);
  const given = list.length > 0 ? `, { ${list.join(", ")} }` : "";
  return `import { load } from "vitrail";
import { picture } from "vitrail/pictures";
${loadLines(s)}
const map = await picture(model, "${kind}", "${fileOf(s)}"${given});
const png = await map.png({ over: "${fileOf(s)}" });`;
}

/** A value as a program writes it. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([name, part]) => `${name}: ${shown(part)}`)
    .join(", ")} }`;
}
