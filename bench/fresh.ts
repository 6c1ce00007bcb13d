/** Fresh processes: how long a model takes to load, how its first forward compares with later ones, what memory it peaks at. */
import { start } from "./child.js";
import type { Refusal } from "./engine.js";
import type { FreshQuestion, FreshSample } from "./fresh-child.js";
import type { Size } from "./models.js";
import type { Entry } from "./race.js";
import { labelOf, PLAIN, type VitWork } from "./work.js";

export interface Fresh {
  readonly entry: Entry;
  readonly work: string;
  readonly samples: readonly FreshSample[];
}

export interface FreshResults {
  readonly fresh: readonly Fresh[];
  readonly refused: readonly (Entry & Refusal)[];
}

const ROUNDS = 3;

const cases: readonly { readonly size: Size; readonly entry: Entry }[] = [
  { size: "Ti", entry: { engine: "vitrail", ...PLAIN } },
  { size: "Ti", entry: { engine: "vitrail", ...PLAIN, precision: "int8", wide: true } },
  { size: "Ti", entry: { engine: "onnxruntime-web", ...PLAIN } },
  { size: "S", entry: { engine: "vitrail", ...PLAIN } },
  { size: "S", entry: { engine: "vitrail", ...PLAIN, precision: "int8" } },
  { size: "S", entry: { engine: "onnxruntime-web", ...PLAIN } },
  { size: "B", entry: { engine: "vitrail", ...PLAIN } },
  { size: "B", entry: { engine: "vitrail", ...PLAIN, precision: "int8" } },
  { size: "B", entry: { engine: "onnxruntime-web", ...PLAIN } },
  { size: "B", entry: { engine: "onnxruntime-node", ...PLAIN } },
];

/** One process after the other, in turns. */
export async function measureFresh(installed: (entry: Entry) => boolean): Promise<FreshResults> {
  const refused: (Entry & Refusal)[] = [];
  const fresh: { entry: Entry; work: string; samples: FreshSample[] }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const { size, entry } of cases) {
      if (!installed(entry)) continue;
      const work: VitWork = { kind: "vit", size, batch: 1 };
      const sample = await sampleOf({ engine: entry.engine, setup: entry, work });
      const known = fresh.find((other) => other.work === labelOf(work) && other.entry === entry);
      if ("refused" in sample) {
        if (round === 0) refused.push({ ...entry, ...sample });
      } else if (known) known.samples.push(sample);
      else fresh.push({ entry, work: labelOf(work), samples: [sample] });
    }
  }
  return { fresh, refused };
}

export async function sampleOf(question: FreshQuestion): Promise<FreshSample | Refusal> {
  const child = start<FreshQuestion, FreshSample | Refusal>(new URL("./fresh-child.js", import.meta.url), []);
  try {
    return await child.ask(question);
  } finally {
    child.stop();
  }
}
