/** Taggers: classifiers of timm's of which any number of classes hold, with their names and categories in selected_tags.csv. */
import { excerpt } from "../json.js";
import type { Config } from "./config.js";

/** The file of SmilingWolf's taggers, and its columns. */
export const TAGS = "selected_tags.csv";
const COLUMNS = ["tag_id", "name", "category", "count"];

/** Categories by Danbooru's numbers, and SmilingWolf's of ratings. */
const CATEGORIES: Readonly<Record<string, string>> = {
  0: "general",
  1: "artist",
  3: "copyright",
  4: "character",
  5: "meta",
  9: "rating",
};

/** Files beside a checkpoint's weights. */
interface Beside {
  /** Name of the checkpoint, for messages. */
  readonly name: string;
  file(name: string): Promise<Uint8Array | undefined>;
  bring(names: readonly string[], waiting?: object): Promise<void>;
}

/**
 * The same checkpoint as a tagger, if it is one: its probabilities are a sigmoid each.
 * @throws Error: one sentence, for a file that is another one, or of other classes.
 */
export async function withTags<Known extends { readonly config: Config; readonly labels: readonly string[] }>(
  known: Known,
  beside: Beside,
  waiting?: object,
): Promise<Known> {
  const { config, labels } = known;
  // Those whose classes have names are asked for nothing.
  if (config.layout !== "timm" || labels[0] !== "LABEL_0") return known;
  await beside.bring([TAGS], waiting);
  const bytes = await beside.file(TAGS);
  if (!bytes) return known;
  const what = `"${TAGS}" of "${beside.name}"`;
  const [header = [], ...rows] = readCsv(new TextDecoder().decode(bytes));
  if (header.join() !== COLUMNS.join()) {
    throw new Error(`load: ${what} must have the columns ${COLUMNS.join(", ")}; got ${excerpt(header.join(", "), 80)}`);
  }
  if (rows.length !== config.classes) {
    throw new Error(`load: ${what} must have a row for each of ${config.classes} classes; got ${rows.length}`);
  }
  const uneven = rows.findIndex((row) => row.length !== COLUMNS.length);
  if (uneven >= 0) {
    const found = `${rows[uneven]!.length} in row ${uneven + 1}`;
    throw new Error(`load: rows of ${what} must have ${COLUMNS.length} values; got ${found}`);
  }
  const categories = rows.map(([, , category = ""], i) => {
    if (Object.hasOwn(CATEGORIES, category)) return CATEGORIES[category]!;
    const numbers = Object.keys(CATEGORIES).join(", ");
    throw new Error(`load: categories in ${what} must be among ${numbers}; got ${excerpt(category)} in row ${i + 1}`);
  });
  return {
    ...known,
    labels: rows.map(([, name = ""]) => name),
    config: { ...config, probabilities: "sigmoid", categories },
  };
}

/** Rows of comma-separated values (RFC 4180): a value in quotes may have commas and lines in it, and a quote doubled. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  const plain = /[^",\r\n]*/y;
  const end = /,|\r?\n|$/y;
  for (let at = text.startsWith("\ufeff") ? 1 : 0; at < text.length; at = end.lastIndex) {
    let value: string;
    if (text[at] === '"') {
      let close = text.indexOf('"', at + 1);
      while (close >= 0 && text[close + 1] === '"') close = text.indexOf('"', close + 2);
      if (close < 0) close = text.length;
      value = text.slice(at + 1, close).replaceAll('""', '"');
      end.lastIndex = close + 1;
    } else {
      plain.lastIndex = at;
      value = plain.exec(text)![0];
      end.lastIndex = plain.lastIndex;
    }
    rows.at(-1)!.push(value);
    const [mark] = end.exec(text) ?? [];
    // A quote in the middle of a value, or text behind one: these are no such values.
    if (mark === undefined) return [];
    if (mark !== "," && mark !== "") rows.push([]);
  }
  return rows.filter((row) => row.length > 0 && row.join("") !== "");
}
