/** The sections of the results, in their order, and how each is measured. */
import { existsSync } from "node:fs";
import { type BrowserResults, lacksChromium, measureBrowser } from "./browser.js";
import { writeCheckpoints } from "./checkpoints.js";
import {
  type CollectionSources,
  type FewShotResults,
  type IndexingResults,
  measureFewShot,
  measureIndexing,
  measureSearch,
  type SearchResults,
} from "./collection.js";
import { isWritten, PARTS, type PartName } from "./dense.js";
import type { EngineName } from "./engines/index.js";
import type { Environment } from "./environment.js";
import { fileOf, PICTURES, type Picture } from "./files.js";
import { FOLDERS, measureParts, type Parts } from "./folder.js";
import { type FreshResults, measureFresh } from "./fresh.js";
import { type GrowthResults, measureGrowth } from "./growth.js";
import { type InstallResults, measureInstall } from "./install.js";
import { type JobsResults, measureJobs } from "./jobs.js";
import { LONG, type Size } from "./models.js";
import { writePictures } from "./pictures.js";
import { measureProfile, type ProfileResults } from "./profile.js";
import { arePromptsWritten } from "./prompts.js";
import { type Entry, enter, type Peaks, type Race, type Racer, race } from "./race.js";
import type { Network } from "./resnets.js";
import { measureServe, type ServeResults } from "./serve-measure.js";
import { measureStart, type StartResults } from "./start.js";
import { ATTENTIONS, GEMMS, labelOf, PLAIN, type Setup, type Work } from "./work.js";

export interface Races {
  readonly races: readonly Race[];
}

export interface FolderResults extends Races {
  /** Where the time of a photo goes. */
  readonly parts: readonly Parts[];
}

/** What each section measures; a part of a dense model takes minutes, so each is a section. */
export interface Measurements extends Readonly<Record<PartName, Races>> {
  readonly gemm: Races;
  readonly attention: Races;
  readonly models: Races;
  readonly long: Races;
  readonly convolutions: Races;
  readonly prompts: Races;
  readonly photos: Races;
  readonly folder: FolderResults;
  readonly fewShot: FewShotResults;
  readonly search: SearchResults;
  readonly indexing: IndexingResults;
  readonly jobs: JobsResults;
  readonly images: Races;
  readonly fresh: FreshResults;
  readonly start: StartResults;
  readonly browser: BrowserResults;
  readonly growth: GrowthResults;
  readonly serve: ServeResults;
  readonly install: InstallResults;
  readonly profile: ProfileResults;
}
export type SectionName = keyof Measurements;

/** results.json: sections may be of different days, so each has its own environment. */
export type Results = { readonly [Name in SectionName]?: Measurements[Name] & { readonly environment: Environment } };

export interface Bench {
  readonly peaks: Peaks;
  /** Versions of the rivals that are installed. */
  readonly rivals: Environment["rivals"];
  readonly sources: Partial<CollectionSources>;
}

export interface Section<Name extends SectionName> {
  readonly title: string;
  /** Of these sizes checkpoints are needed. */
  readonly sizes: readonly (Size | Network)[];
  /** Whether pictures are needed. */
  readonly hasPictures?: boolean;
  /** Says what it cannot do without and is not there. */
  lacks?(): string | undefined;
  /** Options that it needs, without which it is measured only if it is asked for by name, and then refused. */
  readonly needs?: readonly (keyof CollectionSources)[];
  measure(bench: Bench): Promise<Measurements[Name]>;
}

export const SECTIONS: { readonly [Name in SectionName]: Section<Name> } = {
  models: { title: "Whole models", sizes: ["Ti", "S", "B"], measure: models },
  long: { title: "Long sequences", sizes: LONG, measure: long },
  convolutions: { title: "BiT and hybrids", sizes: ["R50x1", "R50+ViT-B/16"], measure: convolutions },
  depth: dense("depth"),
  boxes: dense("boxes"),
  heatmaps: dense("heatmaps"),
  stages: dense("stages"),
  encoder: dense("encoder"),
  decoder: dense("decoder"),
  prompts: { title: "Prompts", sizes: [], measure: prompts },
  photos: { title: "Photos", sizes: ["Ti"], measure: photos },
  folder: { title: "Folders of photos", sizes: ["Ti", "B/32"], hasPictures: true, measure: folder },
  fewShot: {
    title: "Heads of a few photos",
    sizes: [],
    needs: ["model", "cifar"],
    measure: ({ sources }) => measureFewShot(sources as CollectionSources),
  },
  search: {
    title: "Search",
    sizes: [],
    needs: ["python"],
    measure: ({ sources }) => measureSearch(sources as CollectionSources),
  },
  indexing: {
    title: "Indexing",
    sizes: ["Ti"],
    needs: ["cifar"],
    measure: ({ sources }) => measureIndexing(sources as CollectionSources),
  },
  jobs: {
    title: "Jobs",
    sizes: ["Ti"],
    needs: ["cifar"],
    measure: ({ sources }) => measureJobs(sources as CollectionSources),
  },
  images: { title: "Decoding", sizes: [], hasPictures: true, measure: images },
  start: { title: "Cold start", sizes: ["Ti"], measure: (bench) => measureStart(installedIn(bench)) },
  browser: {
    title: "On a page",
    sizes: ["Ti", "S", "B"],
    lacks: lacksChromium,
    measure: (bench) => measureBrowser((engine) => installedIn(bench)({ engine, ...PLAIN })),
  },
  fresh: {
    title: "Load, first forward, memory",
    sizes: ["Ti", "S", "B"],
    measure: (bench) => measureFresh(installedIn(bench)),
  },
  growth: { title: "Memory over many images", sizes: ["Ti"], measure: measureGrowth },
  serve: {
    title: "Server under load",
    sizes: ["Ti"],
    measure: () => measureServe({ models: ["ViT-Ti"], connections: [8, 64], seconds: 10 }),
  },
  install: {
    title: "Install size",
    sizes: [],
    measure: async ({ rivals }) => measureInstall(rivals["transformers.js"]),
  },
  profile: { title: "Where the time of a forward goes", sizes: ["Ti", "S", "B"], measure: measureProfile },
  gemm: { title: "GEMM", sizes: [], measure: (bench) => raceAll(bench, GEMMS, KERNELS) },
  attention: { title: "Attention", sizes: [], measure: (bench) => raceAll(bench, ATTENTIONS, KERNELS) },
};

const installedIn =
  ({ rivals }: Bench) =>
  ({ engine }: Entry): boolean =>
    engine === "vitrail" || engine in rivals;

const KERNELS: readonly Entry[] = (["vitrail", "onnxruntime-web", "tfjs-backend-wasm", "jax-js"] as const).map(
  (engine) => ({ engine, ...PLAIN }),
);

const entries = (engine: EngineName, ...setups: readonly Partial<Setup>[]): Entry[] =>
  setups.map((setup) => ({ engine, ...PLAIN, ...setup }));

const PRECISIONS = [{}, { precision: "int8" }] as const;
const THREADS = [{}, { threads: 2 }] as const;
const WIDE = [{}, { wide: true }] as const;
/** Every combination. */
const cross = (...options: readonly (readonly Partial<Setup>[])[]): Partial<Setup>[] =>
  options.reduce<Partial<Setup>[]>((all, some) => all.flatMap((a) => some.map((b) => ({ ...a, ...b }))), [{}]);

function models(bench: Bench): Promise<Races> {
  const each = [
    ...entries("vitrail", ...cross(PRECISIONS, WIDE, THREADS)),
    ...entries("onnxruntime-web", ...cross(PRECISIONS, THREADS)),
    ...entries("onnxruntime-node", ...cross(PRECISIONS, THREADS)),
  ];
  const batches = [
    ...entries("vitrail", ...WIDE),
    ...entries("onnxruntime-web", {}),
    ...entries("onnxruntime-node", {}),
  ];
  return oneByOne([
    () => raceAll(bench, [{ kind: "vit", size: "Ti", batch: 1 }], each),
    () => raceAll(bench, [{ kind: "vit", size: "S", batch: 1 }], each),
    () => raceAll(bench, [{ kind: "vit", size: "B", batch: 1 }], each),
    () => raceAll(bench, [{ kind: "vit", size: "S", batch: 8 }], batches),
  ]);
}

function long(bench: Bench): Promise<Races> {
  const own = entries("vitrail", ...THREADS, { wide: true }, { precision: "int8" });
  // onnxruntime-web 1.30 runs no 4,097 tokens: "Integer overflow".
  const rivals = (size: Size) => (size === "S/14@518" ? entries("onnxruntime-web", ...THREADS) : []);
  return oneByOne(
    LONG.map((size) => () => raceAll(bench, [{ kind: "vit", size, batch: 1 }], [...own, ...rivals(size)])),
  );
}

function convolutions(bench: Bench): Promise<Races> {
  const each = [
    ...entries("vitrail", ...THREADS, ...cross([{ precision: "int8" }], THREADS)),
    ...entries("onnxruntime-web", ...THREADS),
    ...entries("onnxruntime-node", ...THREADS),
  ];
  const works = (["R50x1", "R50+ViT-B/16"] as const).map((network) => ({ kind: "resnet", network }) as const);
  return oneByOne(works.map((work) => () => raceAll(bench, [work], each)));
}

function dense<Part extends PartName>(part: Part): Section<Part> {
  const own: Work = { kind: "dense", part };
  // A run of the encoder takes half a minute.
  const setups = () => (part === "encoder" ? THREADS : cross([...PRECISIONS, { wide: true }], THREADS));
  return {
    title: PARTS[part].what,
    sizes: [],
    lacks: () => (isWritten(part) ? undefined : `the models that python bench/dense.py ${PARTS[part].model} writes`),
    measure: (bench) =>
      oneByOne([
        () => raceAll(bench, [own], [...entries("vitrail", ...setups()), ...entries("onnxruntime-web", ...THREADS)]),
        ...(part === "decoder" ? [() => raceAll(bench, [{ kind: "click" }], entries("vitrail", ...THREADS))] : []),
      ]),
  };
}

async function prompts(bench: Bench): Promise<Races> {
  const each = [...entries("vitrail", ...THREADS), ...entries("onnxruntime-web", ...THREADS)];
  return arePromptsWritten() ? raceAll(bench, [{ kind: "prompts", count: 200 }], each) : { races: [] };
}

function photos(bench: Bench): Promise<Races> {
  return oneByOne([
    () =>
      raceAll(
        bench,
        [{ kind: "classify" }],
        [
          ...entries("vitrail", ...cross(WIDE, THREADS), ...cross([{ precision: "int8", wide: true }], THREADS)),
          ...entries("transformers.js", ...THREADS),
        ],
      ),
    () => raceAll(bench, [{ kind: "pixels" }], [...entries("vitrail", {}), ...entries("sharp", {})]),
  ]);
}

async function folder(bench: Bench): Promise<FolderResults> {
  const each = [
    ...entries("vitrail", ...cross([{}, { precision: "int8", wide: true }], THREADS), { wide: true, threads: 2 }),
    ...entries("onnxruntime-node", ...cross(PRECISIONS, THREADS)),
    ...entries("transformers.js", ...THREADS),
  ];
  const { races } = await oneByOne(FOLDERS.map((work) => () => raceAll(bench, [work], each)));
  return { races, parts: await measureParts() };
}

function images(bench: Bench): Promise<Races> {
  const each = (["vitrail", "@jsquash/jpeg", "@jsquash/webp", "jpeg-js", "sharp"] as const).flatMap((engine) =>
    entries(engine, {}),
  );
  const decoded = Object.keys(PICTURES) as Picture[];
  const ends = [...entries("vitrail", {}), ...entries("sharp", {})];
  const tensors = (["photo", "baseline", "progressive"] as const).flatMap((picture) =>
    [false, true].map((draft) => ({ kind: "tensor", picture, draft }) as const),
  );
  const works = decoded.filter((picture) => existsSync(fileOf(picture)));
  return oneByOne([
    ...works.map((picture) => () => raceAll(bench, [{ kind: "decode", picture } as const], each)),
    () => raceAll(bench, tensors, ends),
  ]);
}

/** Races with the same engines, which are started for them and stopped after. */
async function raceAll(bench: Bench, works: readonly Work[], entries: readonly Entry[]): Promise<Races> {
  const racers: Racer[] = entries.filter(installedIn(bench)).map((entry) => enter(entry.engine, entry));
  try {
    const races: Race[] = [];
    for (const work of works) {
      console.error(`${labelOf(work)} …`);
      races.push(await race(work, racers, bench.peaks));
    }
    return { races };
  } finally {
    for (const { process } of racers) process.stop();
  }
}

async function oneByOne(steps: readonly (() => Promise<Races>)[]): Promise<Races> {
  const races: Race[] = [];
  for (const step of steps) races.push(...(await step()).races);
  return { races };
}

/** Writes what the sections run on. */
export function prepare(names: readonly SectionName[], sources: Parameters<typeof writeCheckpoints>[1]): void {
  if (names.some((name) => SECTIONS[name].hasPictures)) writePictures(sources.photo);
  const sizes = new Set(names.flatMap((name) => SECTIONS[name].sizes));
  if (sizes.size > 0) writeCheckpoints([...sizes], sources);
}
