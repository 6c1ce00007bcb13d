/** What vitrail is to reach, and how it is read from the results. */
import { PART_NAMES, PARTS } from "./dense.js";
import type { EngineName } from "./engines/index.js";
import type { Environment } from "./environment.js";
import { PICTURES, type Picture } from "./files.js";
import { FOLDERS } from "./folder.js";
import type { FreshSample } from "./fresh-child.js";
import { isLong, type Size } from "./models.js";
import { type Entry, median, type Race, ratio, type Timing } from "./race.js";
import type { Results, SectionName } from "./sections.js";
import { type FolderWork, flopsOf, labelOf, PLAIN, type Setup, type Work } from "./work.js";

export interface Target {
  readonly what: string;
  readonly section: SectionName;
  readonly better: "more" | "less";
  /** What must be reached; absent where the figure is only reported. */
  readonly bound?: number;
  readonly reach?: number;
  readonly unit: "×" | "%" | "s" | "MB";
  /** Undefined where it was not measured, a string where that machine cannot show it. */
  measure(results: Results): number | string | undefined;
  /** Only on such machines; everywhere if absent. */
  on?(environment: Environment): boolean;
}

/** V8 uses the integer products of AVX-VNNI, not those of AVX-512. */
const vnni = ({ flags }: Environment) => flags.includes("avx_vnni");
const noVnni = (environment: Environment) => !vnni(environment);
/** AMD's family 25 (Zen 4) runs 512-bit instructions in two halves. */
const wide512 = ({ flags, family }: Environment) => flags.includes("avx512f") && !/AMD family 25/.test(family);
const wide256 = (environment: Environment) => !wide512(environment);
/** Below, the two processors share a core. */
export const CALIBRATED = 1.9;

const raceOf = (races: readonly Race[] | undefined, work: Work): Race | undefined =>
  races?.find((race) => race.work === labelOf(work));

const timingOf = (race: Race | undefined, { engine, precision, threads, wide }: Entry): Timing | undefined =>
  race?.timings.find(
    (timing) =>
      timing.engine === engine && timing.precision === precision && timing.threads === threads && timing.wide === wide,
  );

const entry = (engine: EngineName, setup: Partial<Setup>): Entry => ({ engine, ...PLAIN, ...setup });

/** Of a ratio, if that is what was measured. */
const inverse = (value: number | string | undefined) => (typeof value === "number" ? 1 / value : value);

/** How many times as fast `ours` is as `theirs`, in the race of `work`. */
function speed(results: Results, work: Work, ours: Entry, theirs: Entry): number | string | undefined {
  const { models, convolutions, photos, folder, images } = results;
  const sections = { vit: models, resnet: convolutions, folder, decode: images, tensor: images } as const;
  const section =
    work.kind === "dense"
      ? results[work.part]
      : work.kind === "vit" && isLong(work.size)
        ? results.long
        : work.kind in sections
          ? sections[work.kind as keyof typeof sections]
          : photos;
  const race = raceOf(section?.races, work);
  const [own, other] = [timingOf(race, ours), timingOf(race, theirs)];
  if (!race || !own || !other) return undefined;
  if (ours.threads > theirs.threads && median(race.calibration) < CALIBRATED) return "no two free cores";
  return ratio(other.ms, own.ms);
}

/** Sizes that are raced as whole models. */
type Raced = Extract<Size, "Ti" | "S" | "B">;
type Bounds = readonly [bound?: number, reach?: number];

/** One row for each size; `ours` and `theirs` are engines in setups. */
function bySize(
  what: string,
  ours: Partial<Setup>,
  theirs: Entry,
  bounds: Readonly<Record<Raced, Bounds>>,
  on?: Target["on"],
): Target[] {
  return (["Ti", "S", "B"] as const).map((size) => ({
    what: `${what}, ViT-${size}`,
    section: "models",
    better: "more",
    bound: bounds[size][0],
    reach: bounds[size][1],
    unit: "×",
    measure: (results) => speed(results, { kind: "vit", size, batch: 1 }, entry("vitrail", ours), theirs),
    on,
  }));
}

const same = (...bounds: Bounds): Readonly<Record<Raced, Bounds>> => ({ Ti: bounds, S: bounds, B: bounds });
const web = (setup: Partial<Setup>) => entry("onnxruntime-web", setup);
const native = (setup: Partial<Setup>) => entry("onnxruntime-node", setup);
const own = (setup: Partial<Setup>) => entry("vitrail", setup);

/** Both networks of convolutions on one thread and on two. */
const CONVOLUTIONS: readonly Target[] = (["R50x1", "R50+ViT-B/16"] as const).flatMap((network) =>
  [{}, { threads: 2 }].map(
    (setup): Target => ({
      what: `f32 against onnxruntime-web, ${network}${"threads" in setup ? ", 2 threads each" : ""}`,
      section: "convolutions",
      better: "more",
      bound: 1,
      unit: "×",
      measure: (results) => speed(results, { kind: "resnet", network }, own(setup), web(setup)),
    }),
  ),
);

/** On an isolated page of Chromium, beside onnxruntime-web with as many threads. */
const PAGES: readonly Target[] = (["f32", "int8"] as const).flatMap((precision) =>
  (["Ti", "S", "B"] as const).map(
    (size): Target => ({
      what: `${precision} against onnxruntime-web on an isolated page of Chromium, ViT-${size}`,
      section: "browser",
      better: "more",
      bound: precision === "f32" ? 2 : 1.8,
      reach: 2.2,
      unit: "×",
      measure({ browser }) {
        const race = browser?.races.find(
          (race) => race.isolated && race.kind === "logits" && race.size === size && race.precision === precision,
        );
        const [ours, theirs] = race?.timings ?? [];
        return ours && theirs && ratio(theirs.ms, ours.ms);
      },
    }),
  ),
);

/** 1,370 tokens on one thread and on two. */
const LONGER: readonly Target[] = [{}, { threads: 2 }].map((setup): Target => {
  const work: Work = { kind: "vit", size: "S/14@518", batch: 1 };
  return {
    what: `f32 against onnxruntime-web, ${labelOf(work)}${"threads" in setup ? ", 2 threads each" : ""}`,
    section: "long",
    better: "more",
    bound: 1.8,
    reach: 2.2,
    unit: "×",
    measure: (results) => speed(results, work, own(setup), web(setup)),
  };
});

/**
 * Dense heads on one thread and on two. onnxruntime-web multiplies and adds in two instructions: where additions have a port of their
 * own (Sapphire Rapids) it reaches about 60 % of the fused peak, so that no kernel of 128 bits is 1.7 times as fast; on Zen 4 45 %.
 */
const DENSE: readonly Target[] = PART_NAMES.flatMap((part) =>
  [{}, { threads: 2 }].map(
    (setup): Target => ({
      what: `f32 against onnxruntime-web, ${PARTS[part].what}${"threads" in setup ? ", 2 threads each" : ""}`,
      section: part,
      better: "more",
      bound: 1.5,
      reach: 1.8,
      unit: "×",
      measure: (results) => speed(results, { kind: "dense", part }, own(setup), web(setup)),
    }),
  ),
);

const SPEEDS: readonly Target[] = [
  ...bySize("f32 against onnxruntime-web", {}, web({}), { Ti: [1.8, 2], S: [1.7, 1.9], B: [1.6, 1.8] }),
  {
    what: "f32 against the multiply-add peak, ViT-B",
    section: "models",
    better: "more",
    bound: 90,
    reach: 94,
    unit: "%",
    measure({ models }) {
      const work: Work = { kind: "vit", size: "B", batch: 1 };
      const race = raceOf(models?.races, work);
      const timing = timingOf(race, own({}));
      return timing && 100 * median(timing.ms.map((ms, i) => flopsOf(work) / ms / 1e6 / race!.peakGflops[i]!));
    },
  },
  ...bySize("f32, 2 threads against own 1", { threads: 2 }, own({}), same(1.85, 1.95)),
  ...bySize("f32, 2 threads against onnxruntime-web 2", { threads: 2 }, web({ threads: 2 }), {
    Ti: [2, 2.3],
    S: [1.8, 2],
    B: [1.75, 1.9],
  }),
  ...bySize(
    "int8 against onnxruntime-web int8",
    { precision: "int8" },
    web({ precision: "int8" }),
    { Ti: [2.6, 3.2], S: [2.5, 3], B: [2.4, 2.8] },
    vnni,
  ),
  ...bySize(
    "int8 against onnxruntime-web int8",
    { precision: "int8" },
    web({ precision: "int8" }),
    { Ti: [1.8, 2.1], S: [1.55, 1.8], B: [1.4, 1.65] },
    noVnni,
  ),
  ...bySize("int8 against own f32", { precision: "int8" }, own({}), { Ti: [2.2, 3], S: [2.6, 3.2], B: [3, 3.5] }, vnni),
  ...bySize(
    "int8 against own f32",
    { precision: "int8" },
    own({}),
    { Ti: [1.55, 1.8], S: [1.65, 1.9], B: [1.75, 2] },
    noVnni,
  ),
  ...bySize("wide f32 against own f32", { wide: true }, own({}), same(1.8, 1.95)),
  ...bySize(
    "wide int8 against own int8",
    { precision: "int8", wide: true },
    own({ precision: "int8" }),
    same(1.75, 1.95),
  ),
  ...[1, 2].flatMap((threads) => {
    const what = `wide int8 against native f32, ${threads} thread${threads > 1 ? "s" : ""} each`;
    const setup = { precision: "int8", wide: true, threads } as const;
    return [
      ...bySize(what, setup, native({ threads }), { Ti: [1.4, 1.8], S: [1.55, 2], B: [1.75, 2.1] }, vnni),
      ...bySize(what, setup, native({ threads }), same(1, 1.2), noVnni),
    ];
  }),
  ...bySize(
    "wide int8 against native int8",
    { precision: "int8", wide: true },
    native({ precision: "int8" }),
    same(undefined, 0.85),
  ),
  ...bySize("wide f32 against native f32", { wide: true }, native({}), same(0.58, 0.63), wide512),
  ...bySize("wide f32 against native f32", { wide: true }, native({}), same(0.85, 1), wide256),
  {
    what: "f32, batch 8 against onnxruntime-web batch 8, ViT-S",
    section: "models",
    better: "more",
    bound: 1.9,
    reach: 2.05,
    unit: "×",
    measure: (results) => speed(results, { kind: "vit", size: "S", batch: 8 }, own({}), web({})),
  },
];

/** A figure of fresh processes: the median over them. */
function fresh(
  { fresh }: Results,
  { engine, precision, wide }: Entry,
  size: Size,
  figure: (sample: FreshSample) => number,
): number | undefined {
  const found = fresh?.fresh.find(
    ({ work, entry }) =>
      work === labelOf({ kind: "vit", size, batch: 1 }) &&
      entry.engine === engine &&
      entry.precision === precision &&
      entry.wide === wide,
  );
  return found && median(found.samples.map(figure));
}

/** Times relative to Transformers.js. */
const photo = (what: string, setup: Partial<Setup>, bound: number, reach: number): Target => ({
  what: `JPEG → labels, ViT-Ti, 2 threads, ${what} against Transformers.js (native)`,
  section: "photos",
  better: "less",
  bound,
  reach,
  unit: "×",
  measure: (results) =>
    inverse(
      speed(results, { kind: "classify" }, own({ ...setup, threads: 2 }), entry("transformers.js", { threads: 2 })),
    ),
});

/** Bytes of ViT-B's weights, f32. */
const VIT_B_BYTES = 346e6;

const OTHERS: readonly Target[] = [
  {
    what: "load of ViT-B f32 from the page cache",
    section: "fresh",
    better: "less",
    bound: 0.5,
    reach: 0.25,
    unit: "s",
    measure: (results) => fresh(results, own({}), "B", ({ loadMs }) => loadMs / 1000),
  },
  {
    what: "process start → first result, ViT-Ti, against Transformers.js (native)",
    section: "start",
    better: "less",
    bound: 0.7,
    reach: 0.6,
    unit: "×",
    measure({ start }) {
      const of = (name: string) => start?.starts.find((other) => other.name === name)?.ms;
      const [ours, theirs] = [of("vitrail as it comes"), of("transformers.js")];
      return ours && theirs && ratio(ours, theirs);
    },
  },
  ...([[{}, "f32"] as const, [{ precision: "int8", wide: true }, "int8 wide"] as const] as const).map(
    ([setup, name]): Target => ({
      what: `first forward of a fresh process against later ones, ViT-Ti ${name}`,
      section: "fresh",
      better: "less",
      bound: 1.3,
      reach: 1.1,
      unit: "×",
      measure: (results) => fresh(results, own(setup), "Ti", ({ firstMs, steadyMs }) => firstMs / steadyMs),
    }),
  ),
  photo("f32", {}, 2.2, 1.8),
  photo("wide f32", { wide: true }, 1.3, 1),
  photo("wide int8", { precision: "int8", wide: true }, 0.75, 0.5),
  {
    what: "peak resident memory, ViT-B f32",
    section: "fresh",
    better: "less",
    bound: (1.15 * VIT_B_BYTES + 80e6) / 1e6,
    unit: "MB",
    measure: (results) => fresh(results, own({}), "B", ({ peakBytes }) => peakBytes / 1e6),
  },
  {
    what: "kernel memory, ViT-S int8",
    section: "fresh",
    better: "less",
    bound: 40,
    reach: 30,
    unit: "MB",
    measure: (results) => fresh(results, own({ precision: "int8" }), "S", ({ heldBytes }) => heldBytes! / 1e6),
  },
  {
    // None is the aim; the garbage collector moves a few MB either way.
    what: "growth of resident memory from 1,000 to 10,000 classifications",
    section: "growth",
    better: "less",
    bound: 5,
    unit: "MB",
    measure({ growth }) {
      const after = (count: number) => growth?.growth.find(({ images }) => images === count)?.residentBytes;
      const [early, late] = [after(1000), after(10000)];
      return early && late && (late - early) / 1e6;
    },
  },
  {
    what: "JPEG file → pixel values against sharp (native)",
    section: "photos",
    better: "less",
    bound: 2,
    reach: 1.3,
    unit: "×",
    measure: (results) => inverse(speed(results, { kind: "pixels" }, own({}), entry("sharp", {}))),
  },
];

/** Folders of photos of 0.2 megapixels, on two threads. */
const folder = (
  size: FolderWork["size"],
  setup: Partial<Setup>,
  rival: Entry,
  what: string,
  bound: number,
  reach: number,
): Target => ({
  what: `folder → embeddings, ViT-${size} ${what}, 2 threads`,
  section: "folder",
  better: "more",
  bound,
  reach,
  unit: "×",
  measure: (results) => speed(results, smallFolder(size), own({ ...setup, threads: 2 }), rival),
});

const smallFolder = (size: FolderWork["size"]): Work =>
  FOLDERS.find((work) => work.size === size && work.picture === "photo")!;

const WIDE_INT8 = { precision: "int8", wide: true } as const;
const NATIVE_INT8 = native({ precision: "int8", threads: 2 });

const FOLDER: readonly Target[] = [
  folder("Ti", WIDE_INT8, NATIVE_INT8, "wide int8 against sharp + native int8", 1.5, 1.9),
  folder("B/32", WIDE_INT8, NATIVE_INT8, "wide int8 against sharp + native int8", 1, 1.3),
  folder(
    "Ti",
    { wide: true },
    entry("transformers.js", { threads: 2 }),
    "f32 as it comes, 256 bits, against Transformers.js (native)",
    1.5,
    2.5,
  ),
  {
    what: "folder → embeddings, ViT-Ti wide int8: share of two threads that is busy",
    section: "folder",
    better: "more",
    bound: 95,
    reach: 98,
    unit: "%",
    measure({ folder }) {
      const timing = timingOf(raceOf(folder?.races, smallFolder("Ti")), own({ ...WIDE_INT8, threads: 2 }));
      return timing && 50 * median(timing.ms.map((ms, round) => timing.cpuMs[round]! / ms));
    },
  },
];

/** Speed of decoding a picture relative to a rival's. */
const decoding = (picture: Picture, rival: EngineName, reach: number): Target => ({
  what: `${PICTURES[picture].what} → RGB, speed against ${rival}`,
  section: "images",
  better: "more",
  reach,
  unit: "×",
  measure: (results) => speed(results, { kind: "decode", picture }, own({}), entry(rival, {})),
});

const IMAGES: readonly Target[] = [
  ...(["baseline", "progressive"] as const).flatMap((picture) => [
    decoding(picture, "@jsquash/jpeg", 2),
    decoding(picture, "sharp", 0.7),
  ]),
  ...(["lossy", "lossless"] as const).map((picture) => decoding(picture, "@jsquash/webp", 1)),
  ...[false, true].map((draft): Target => {
    const work = { kind: "tensor", picture: "baseline", draft } as const;
    return {
      what: `${labelOf(work)}, time against sharp (native)`,
      section: "images",
      better: "less",
      reach: 1.2,
      unit: "×",
      measure: (results) => inverse(speed(results, work, own({}), entry("sharp", {}))),
    };
  }),
];

/**
 * Share of a forward that is not matrix products: ops without any, what norms and activations add to linear layers, and
 * what attention takes beyond its products at the projection's rate. Packing counts with the product that it is for.
 */
function otherThanProducts({ profile }: Results, size: Size): number | undefined {
  const found = profile?.profiles.find(({ work }) => work.startsWith(`ViT-${size}/16, batch 1, f32`));
  if (!found) return undefined;
  const { totalMs, parts, fused } = found;
  const projection = parts.find(({ name }) => name === "projection")!;
  const attention = parts.find(({ name }) => name.startsWith("attention"))!;
  const plain = parts.filter(({ flops }) => flops === 0).reduce((sum, { ms }) => sum + ms, 0);
  const added = fused.reduce((sum, { ms }) => sum + ms, 0);
  const beyond = attention.ms - (attention.flops * projection.ms) / projection.flops;
  return (100 * (plain + added + beyond)) / totalMs;
}

const SHARES: readonly Target[] = (["Ti", "S", "B"] as const).map((size) => ({
  what: `everything but matrix products and their packing, f32, ViT-${size}`,
  section: "profile",
  better: "less",
  bound: 5,
  reach: 3,
  unit: "%",
  measure: (results) => otherThanProducts(results, size),
}));

export const TARGETS: readonly Target[] = [
  ...SPEEDS,
  ...LONGER,
  ...PAGES,
  ...CONVOLUTIONS,
  ...DENSE,
  ...SHARES,
  ...OTHERS,
  ...FOLDER,
  ...IMAGES,
];

/** Whether a figure meets a bound. */
export const meets = ({ better }: Target, value: number, bound: number): boolean =>
  better === "more" ? value >= bound : value <= bound;
