/** The sections of the results, in their order, and how each is measured. */
import { existsSync } from "node:fs";
import { writeCheckpoints } from "./checkpoints.js";
import { isWritten, PART_NAMES, PARTS } from "./dense.js";
import type { EngineName } from "./engines/index.js";
import type { Environment } from "./environment.js";
import { fileOf, PICTURES, type Picture } from "./files.js";
import { FOLDERS, measureParts, type Parts } from "./folder.js";
import { type Fresh, type FreshResults, measureFresh, sampleOf } from "./fresh.js";
import { type GrowthResults, measureGrowth } from "./growth.js";
import { type InstallResults, measureInstall } from "./install.js";
import type { Size } from "./models.js";
import { writePictures } from "./pictures.js";
import { measureProfile, type ProfileResults } from "./profile.js";
import { type Entry, enter, type Peaks, type Race, type Racer, race } from "./race.js";
import type { Network } from "./resnets.js";
import { measureStart, type StartResults } from "./start.js";
import { ATTENTIONS, GEMMS, labelOf, PLAIN, type Setup, type Work } from "./work.js";

export interface Races {
  readonly races: readonly Race[];
}

export interface DenseResults extends Races {
  /** A run or two in processes of their own. */
  readonly fresh: readonly Fresh[];
  /** Names of what dense.py has not written. */
  readonly absent: readonly string[];
}

export interface FolderResults extends Races {
  /** Where the time of a photo goes. */
  readonly parts: readonly Parts[];
}

/** What each section measures. */
export interface Measurements {
  readonly gemm: Races;
  readonly attention: Races;
  readonly models: Races;
  readonly convolutions: Races;
  readonly dense: DenseResults;
  readonly photos: Races;
  readonly folder: FolderResults;
  readonly images: Races;
  readonly fresh: FreshResults;
  readonly start: StartResults;
  readonly growth: GrowthResults;
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
}

export interface Section<Name extends SectionName> {
  readonly title: string;
  /** Of these sizes checkpoints are needed. */
  readonly sizes: readonly (Size | Network)[];
  /** Whether pictures are needed. */
  readonly hasPictures?: boolean;
  measure(bench: Bench): Promise<Measurements[Name]>;
}

export const SECTIONS: { readonly [Name in SectionName]: Section<Name> } = {
  models: { title: "Whole models", sizes: ["Ti", "S", "B"], measure: models },
  convolutions: { title: "BiT and hybrids", sizes: ["R50x1", "R50+ViT-B/16"], measure: convolutions },
  dense: { title: "Depth, boxes, poses, masks", sizes: [], measure: dense },
  photos: { title: "Photos", sizes: ["Ti"], measure: photos },
  folder: { title: "Folders of photos", sizes: ["Ti", "B/32"], hasPictures: true, measure: folder },
  images: { title: "Decoding", sizes: [], hasPictures: true, measure: images },
  start: { title: "Cold start", sizes: ["Ti"], measure: (bench) => measureStart(installedIn(bench)) },
  fresh: {
    title: "Load, first forward, memory",
    sizes: ["Ti", "S", "B"],
    measure: (bench) => measureFresh(installedIn(bench)),
  },
  growth: { title: "Memory over many images", sizes: ["Ti"], measure: measureGrowth },
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

function convolutions(bench: Bench): Promise<Races> {
  const each = [
    ...entries("vitrail", ...THREADS, ...cross([{ precision: "int8" }], THREADS)),
    ...entries("onnxruntime-web", ...THREADS),
    ...entries("onnxruntime-node", ...THREADS),
  ];
  const works = (["R50x1", "R50+ViT-B/16"] as const).map((network) => ({ kind: "resnet", network }) as const);
  return oneByOne(works.map((work) => () => raceAll(bench, [work], each)));
}

async function dense(bench: Bench): Promise<DenseResults> {
  const written = PART_NAMES.filter(isWritten);
  const each = [...entries("vitrail", ...THREADS), ...entries("onnxruntime-web", ...THREADS)];
  const races = await oneByOne([
    ...written.map((part) => () => raceAll(bench, [{ kind: "dense", part } as const], each)),
    ...(written.includes("decoder") ? [() => raceAll(bench, [{ kind: "click" }], entries("vitrail", ...THREADS))] : []),
  ]);
  const fresh: Fresh[] = [];
  for (const part of written)
    for (const entry of each.filter(installedIn(bench)).filter(({ threads }) => threads === 1)) {
      const work = { kind: "dense", part } as const;
      const sample = await sampleOf({ engine: entry.engine, setup: entry, work, runs: 2 });
      if (!("refused" in sample)) fresh.push({ entry, work: labelOf(work), samples: [sample] });
    }
  const absent = PART_NAMES.filter((part) => !written.includes(part)).map((part) => PARTS[part].what);
  return { ...races, fresh, absent };
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
    ...entries("vitrail", ...cross([{}, { wide: true }, { precision: "int8", wide: true }], THREADS)),
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
