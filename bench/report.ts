/** The results as Markdown: a page for bench/RESULTS.md, a table for README.md. Text is a function of results.json alone. */

import type { BrowserRace } from "./browser.js";
import { PART_NAMES, type PartName } from "./dense.js";
import type { Refusal } from "./engine.js";
import type { EngineName } from "./engines/index.js";
import type { Environment } from "./environment.js";
import type { Parts } from "./folder.js";
import type { Fresh } from "./fresh.js";
import { digits, megabytes, percent, table } from "./markdown.js";
import { type Entry, median, type Race, ratio, spread, type Timing } from "./race.js";
import { type Measurements, type Races, type Results, SECTIONS, type SectionName } from "./sections.js";
import type { ServerLoad } from "./serve-measure.js";
import { CALIBRATED, meets, TARGETS, type Target } from "./targets.js";
import { labelOf } from "./work.js";

const labelOfEntry = ({ engine, precision, threads, wide }: Entry): string =>
  `${engine} ${precision}${wide ? " wide" : ""}, ${threads} thread${threads === 1 ? "" : "s"}`;

/** One line: what has to be known to compare figures with others. */
export function environmentText({ rivals, ...machine }: Environment): string {
  const versions = Object.entries(rivals).map(([engine, version]) => `${engine} ${version}`);
  return [
    `${machine.date} UTC, commit ${machine.commit}; ${machine.cpu}${machine.family && ` (${machine.family})`}, \
${machine.flags.join(" ") || "flags unknown"}, ${machine.cores} cores (load ${machine.load.toFixed(1)}), \
${machine.memoryGb} GB, ${machine.system}; Node ${machine.node}, V8 ${machine.v8}`,
    `128-bit multiply-add peak ${machine.peakGflops.toFixed(1)} GFLOP/s, two at once ${machine.calibration.toFixed(2)} times that`,
    versions.join(", ") || "no rivals",
  ].join("; ");
}

/** Times of a race as they are quoted: the median of its rounds and half the distance of their quartiles. */
const timeOf = ({ ms }: Timing): string => `${digits(median(ms))} ± ${percent(spread(ms) / 2)}`;

const shareOfPeak = ({ flops, peakGflops }: Race, { ms }: Timing): number =>
  median(ms.map((time, i) => flops / time / 1e6 / peakGflops[i]!));

const refusals = (refused: readonly ({ readonly name: string } & Refusal)[]): string[] =>
  refused.map(({ name, refused }) => `Left out: ${name}: ${refused}.`.replace(/\.\.$/, "."));

/** What holds for all rows of a race, as a list. */
function raceNotes({ timings, refused, peakGflops, calibration }: Race): string {
  const largest = (precision: string) =>
    Math.max(...timings.filter((timing) => timing.precision === precision).map(({ difference }) => difference));
  const differences = ["f32", "int8"].flatMap((precision) =>
    largest(precision) >= 0 ? [`${precision} ${largest(precision).toExponential(0)}`] : [],
  );
  const two = median(calibration);
  const kernels = new Map<string, string[]>();
  for (const timing of timings) {
    if (timing.kernels) kernels.set(timing.kernels, [...(kernels.get(timing.kernels) ?? []), labelOfEntry(timing)]);
  }
  return listOf([
    `In the same rounds: peak ${median(peakGflops).toFixed(1)} GFLOP/s, two at once ${two.toFixed(2)} times that\
${two < CALIBRATED ? ": two threads cannot show here what they do on two free cores" : ""}.`,
    `Largest difference of a result, relative to the largest value: ${differences.join(", ")}.`,
    ...[...kernels].map(([text, names]) => `${text}: ${names.join("; ")}.`),
    ...refusals(refused.map((entry) => ({ name: labelOfEntry(entry), refused: entry.refused }))),
  ]);
}

const listOf = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join("\n");

/** One row a contender; in the last column how many times as long onnxruntime-web takes with the same setup. */
function modelTable(race: Race): string {
  const { work, batch, flops, timings } = race;
  const rows = timings.map((timing) => {
    const web = timings.find(
      ({ engine, precision, threads }) =>
        engine === "onnxruntime-web" && precision === timing.precision && threads === timing.threads,
    );
    const ms = median(timing.ms);
    return [
      labelOfEntry(timing),
      timeOf(timing),
      digits((1000 * batch) / ms),
      (flops / ms / 1e6).toFixed(0),
      timing.precision === "f32" && timing.threads === 1 ? percent(shareOfPeak(race, timing)) : "",
      web ? `${ratio(web.ms, timing.ms).toFixed(2)}×` : "",
      ...(timing.peakBytes ? [megabytes(timing.peakBytes)] : []),
    ];
  });
  const memory = timings.some(({ peakBytes }) => peakBytes) ? ["peak MB"] : [];
  const rate = work.endsWith("prompts") ? "prompts/s" : "images/s";
  return table([work, "ms", rate, "GFLOP/s", "of peak", "speed to onnxruntime-web", ...memory], rows);
}

/** Tables of models and their notes. */
function modelTexts({ races }: Races): string[] {
  return races.flatMap((race) => [modelTable(race), raceNotes(race)]);
}

/** One row a race, engines side by side: the first one's figures, then each rival's time and its multiple of the first's. */
function kernelTable(title: string, races: readonly Race[]): string {
  const [first, ...others] = races[0]!.timings;
  const header = [title, `${first!.engine} ms`, "GFLOP/s", "of peak", ...others.map(({ engine }) => `${engine} ms`)];
  const rows = races.map((race) => {
    const [own, ...rivals] = race.timings;
    return [
      race.work,
      timeOf(own!),
      (race.flops / median(own!.ms) / 1e6).toFixed(1),
      percent(shareOfPeak(race, own!)),
      ...rivals.map((rival) => `${timeOf(rival)} (${ratio(rival.ms, own!.ms).toFixed(2)}×)`),
    ];
  });
  return table(header, rows);
}

/** One row a contender, all compared with the last. */
function photoTable({ work, timings }: Race): string {
  const last = timings.at(-1)!;
  const rows = timings.map((timing) => {
    const other = timings.find(({ engine, threads }) => engine === last.engine && threads === timing.threads) ?? last;
    return [labelOfEntry(timing), timeOf(timing), `${ratio(timing.ms, other.ms).toFixed(2)}×`];
  });
  return table([work, "ms", `time to ${last.engine}`], rows);
}

/** One row a contender: photos a second, processor time of one, and the share of its processors that it kept busy. */
function folderTable({ work, batch, timings }: Race): string {
  const rows = timings.map((timing) => {
    const { ms, cpuMs, threads, precision } = timing;
    const native = timings.find(
      (other) => other.engine === "onnxruntime-node" && other.threads === threads && other.precision === precision,
    );
    return [
      labelOfEntry(timing),
      `${digits((1000 * batch) / median(ms))} ± ${percent(spread(ms) / 2)}`,
      digits(median(cpuMs) / batch),
      percent(median(ms.map((wall, round) => cpuMs[round]! / wall)) / threads),
      native ? `${ratio(native.ms, ms).toFixed(2)}×` : "",
    ];
  });
  const header = [work, "photos/s", "processor ms each", "threads busy", "speed to sharp + onnxruntime-node"];
  return table(header, rows);
}

/** One row a folder and precision. */
function partsTable(parts: readonly Parts[]): string {
  const names = ["read", "decode", "resize", "forward", "write"] as const;
  const rows = parts.map(({ work, precision, wide, parts }) => [
    `${work.replace(/^\d+ photos, each /, "")}, ${precision}${wide ? " wide" : ""}`,
    ...names.map((name) => digits(parts[name])),
  ]);
  return table(["ms of a photo, one thread", ...names], rows);
}

/** One row a contender in processes of its own. */
function freshTable(fresh: readonly Fresh[]): string {
  const rows = fresh.map(({ entry, work, samples }) => {
    const of = (figure: (sample: (typeof samples)[number]) => number) => median(samples.map(figure));
    const held = samples[0]!.heldBytes;
    return [
      `${work.split(",")[0]}: ${labelOfEntry(entry)}`,
      digits(of(({ loadMs }) => loadMs)),
      digits(of(({ firstMs }) => firstMs)),
      digits(of(({ steadyMs }) => steadyMs)),
      of(({ firstMs, steadyMs }) => firstMs / steadyMs).toFixed(2),
      megabytes(of(({ peakBytes }) => peakBytes)),
      held === undefined ? "" : megabytes(held),
    ];
  });
  const header = ["fresh processes", "load ms", "first ms", "later ms", "first ÷ later", "peak MB", "model.memory MB"];
  return table(header, rows);
}

/** Rows of the engines of each page. */
function browserTable(races: readonly BrowserRace[]): string {
  const rows = races.flatMap(({ kind, size, precision, threads, isolated, timings }) =>
    timings.map(({ engine, firstMs, ms }) => [
      `${kind === "photo" ? "JPEG → class, " : ""}ViT-${size}/16 ${precision}: ${engine}`,
      isolated ? `isolated, ${threads} threads` : "1 thread",
      digits(firstMs),
      `${digits(median(ms))} ± ${percent(spread(ms) / 2)}`,
      `${ratio(timings.at(-1)!.ms, ms).toFixed(2)}×`,
    ]),
  );
  return table(["on the same page", "page", "first result, ms", "later, ms", "speed to the rival"], rows);
}

/** One row a server and a number of connections. */
export const loadTable = (loads: readonly ServerLoad[]): string =>
  table(
    ["server", "connections", "images/s", "of lists", "p50 ms", "p99 ms", "resident MB", "other answers"],
    loads.map(({ model, server, connections, perSecond, lists, p50, p99, residentBytes, others }) => [
      `${model}: ${server}`,
      `${connections}`,
      digits(perSecond),
      percent(perSecond / lists),
      digits(p50),
      digits(p99),
      residentBytes === undefined ? "" : megabytes(residentBytes),
      Object.entries(others)
        .map(([status, count]) => `${count} of ${status}`)
        .join(", "),
    ]),
  );

function loadNote(loads: readonly ServerLoad[]): string {
  const seconds = [...new Set(loads.map(({ seconds }) => seconds))].join(" or ");
  return `Lists are the library's own, of the same photo and in the same run. Clients post the photo over and over, each on a connection of \
its own, for ${seconds} seconds.`;
}

/** Tables and notes of each section, as paragraphs. */
const TEXTS: { readonly [Name in SectionName]: (measured: Measurements[Name]) => string[] } = {
  models: modelTexts,
  long: modelTexts,
  browser: ({ races }) => {
    const largest = (precision: string) =>
      Math.max(
        ...races
          .filter((race) => race.precision === precision)
          .flatMap(({ timings }) => timings.map((t) => t.difference)),
      );
    return [
      browserTable(races),
      listOf([
        "Chromium; vitrail in a worker of its own, the others on the page's thread. The first result is counted from asking for the code.",
        `Largest difference of a result, relative to the largest value: f32 ${largest("f32").toExponential(0)}, int8 ${largest("int8").toExponential(0)}.`,
      ]),
    ];
  },
  convolutions: modelTexts,
  ...(Object.fromEntries(PART_NAMES.map((part) => [part, modelTexts])) as Record<PartName, typeof modelTexts>),
  prompts: modelTexts,
  photos: ({ races }) => races.flatMap((race) => [photoTable(race), raceNotes(race)]),
  folder: ({ races, parts }) => [...races.flatMap((race) => [folderTable(race), raceNotes(race)]), partsTable(parts)],
  fewShot: ({ model, tested, shots }) => [
    `${model}'s features, ${tested} test photos; three draws of 150 photos of each class.`,
    table(
      ["photos of each class", "mean", ...shots[0]!.accuracies.map((_, i) => `draw ${i + 1}`)],
      shots.map(({ shots, accuracies }) => {
        const mean = accuracies.reduce((sum, x) => sum + x, 0) / accuracies.length;
        return [`${shots}`, ...[mean, ...accuracies].map((x) => `${(100 * x).toFixed(1)} %`)];
      }),
    ),
    "![accuracy by photos of each class](few-shot.svg)",
  ],
  search: ({ searches }) =>
    searches.flatMap(({ rows, width, firstMs, exact, timings }) => [
      table(
        [
          `${rows.toLocaleString("en")} × ${width}, 10 nearest, 1 thread`,
          "ms a query",
          "64 at once, ms each",
          "recall",
          "GB/s",
        ],
        timings.map(({ name, ms, batchMs, recall, buildSeconds }) => [
          buildSeconds === undefined ? name : `${name}, built in ${buildSeconds.toFixed(0)} s`,
          digits(ms),
          batchMs === undefined ? "" : digits(batchMs),
          recall.toFixed(3),
          buildSeconds === undefined ? ((4 * rows * width) / ms / 1e6).toFixed(1) : "",
        ]),
      ),
      listOf([
        exact ? "vitrail's are NumPy's in f64, in its order." : "vitrail's are NOT NumPy's in f64.",
        `The first search, which reads the vectors, takes ${digits(firstMs)} ms.`,
      ]),
    ]),
  indexing: ({ rates, memory }) => {
    const resident = memory.points.slice(memory.points.length >> 1).map(({ residentBytes }) => residentBytes);
    return [
      table(
        ["CIFAR-10's JPEG files, ViT-Ti/16 at 224", "photos", "photos a second"],
        rates.map(({ name, photos, perSecond }) => [name, `${photos}`, perSecond.toFixed(1)]),
      ),
      `${memory.photos.toLocaleString("en")} photos by the same model at ${memory.imageSize} pixels, in ${memory.seconds.toFixed(0)} s: in the \
second half ${megabytes(Math.min(...resident))} to ${megabytes(Math.max(...resident))} MB are resident.`,
      "![memory by photos added](indexing.svg)",
    ];
  },
  jobs: ({ photos, seconds, overheads }) => {
    const embedding = (1000 * seconds.one) / photos;
    return [
      `${photos} photos of CIFAR-10 by ViT-Ti/16, processes of one thread with leases in a folder: one takes ${seconds.one.toFixed(1)} s, two \
${seconds.two.toFixed(1)} s, ${(seconds.one / seconds.two).toFixed(2)} times as fast.`,
      table(
        ["shards of 1024 photos", "photos", "ms a photo beside the embedding", "of the embedding"],
        overheads.map(({ name, photos, msPerPhoto }) => [
          name,
          photos.toLocaleString("en"),
          msPerPhoto.toFixed(4),
          `${((100 * msPerPhoto) / embedding).toFixed(2)} %`,
        ]),
      ),
    ];
  },
  images: ({ races }) => races.flatMap((race) => [photoTable(race), raceNotes(race)]),
  gemm: ({ races }) => [kernelTable("GEMM, rows × inputs × outputs", races), kernelNote(races)],
  attention: ({ races }) => [kernelTable("attention, 197 tokens", races), kernelNote(races)],
  start({ starts, refused }) {
    const theirs = starts.find(({ engine }) => engine === "transformers.js");
    const rows = starts.map(({ name, ms }) => [
      name,
      `${digits(median(ms))} ± ${percent(spread(ms) / 2)}`,
      theirs ? `${ratio(ms, theirs.ms).toFixed(2)}×` : "",
    ]);
    const header = ["process start → class of a photo, ViT-Ti", "ms", "time to transformers.js"];
    return [table(header, rows), listOf(refusals(refused))];
  },
  fresh({ fresh, refused }) {
    const refusedNames = refused.map((entry) => ({ name: labelOfEntry(entry), refused: entry.refused }));
    return [freshTable(fresh), listOf(refusals(refusedNames))];
  },
  growth: ({ growth }) => [
    table(
      ["classifications by one ViT-Ti, int8", ...growth.map(({ images }) => `${images}`)],
      [["resident MB", ...growth.map(({ residentBytes }) => megabytes(residentBytes))]],
    ),
  ],
  serve: ({ loads }) => [loadTable(loads), loadNote(loads)],
  install: ({ installs, refused }) => [
    table(
      ["npm install, no scripts", "packages", "MB", "WebAssembly of a page, gzip, MB"],
      installs.map(({ name, bytes, packages, wasm }) => [
        name,
        `${packages}`,
        (bytes / 1e6).toFixed(1),
        (wasm / 1e6).toFixed(2),
      ]),
    ),
    listOf(refusals(refused)),
  ],
  profile: ({ profiles }) =>
    profiles.map(({ work, totalMs, parts, fused }) => {
      const sum = parts.reduce((sum, { ms }) => sum + ms, 0);
      const rows = parts.map(({ name, ms, flops }) => [
        name,
        digits(ms),
        `${((100 * ms) / sum).toFixed(1)} %`,
        flops > 0 ? (flops / ms / 1e6).toFixed(1) : "",
      ]);
      const within = fused.map(({ name, ms }) => [
        `within the linear layers: ${name}`,
        digits(ms),
        `${((100 * ms) / sum).toFixed(1)} %`,
        "",
      ]);
      const whole = ["the whole forward, without timers", digits(totalMs), "", ""];
      return table([work, "ms", "share", "GFLOP/s"], [...rows, ...within, whole]);
    }),
};

function kernelNote(races: readonly Race[]): string {
  const kernels = new Set(races.map(({ timings }) => timings[0]!.kernels));
  const peaks = races.map(({ peakGflops }) => median(peakGflops));
  const peak = [Math.min(...peaks), Math.max(...peaks)].map((gflops) => gflops.toFixed(1));
  const difference = Math.max(...races.flatMap(({ timings }) => timings.map(({ difference }) => difference)));
  return `${races[0]!.timings[0]!.engine}: ${[...kernels].join(" or ")}. Peak: ${peak.join(" to ")} GFLOP/s. \
Largest difference of a result, relative to the largest value: ${difference.toExponential(0)}.`;
}

/** A section as it stands in RESULTS.md; "" if it was not measured. */
export function sectionText<Name extends SectionName>(name: Name, results: Results): string {
  const measured = results[name] as (Measurements[Name] & { environment: Environment }) | undefined;
  if (!measured) return "";
  const parts = [`## ${SECTIONS[name].title}`, `${environmentText(measured.environment)}.`, ...TEXTS[name](measured)];
  return parts.filter((part) => part !== "").join("\n\n");
}

/** What was to be reached, what was, for the rows that match the machine. */
export function targetTable(results: Results): string {
  const rows = TARGETS.flatMap((target) => {
    const environment = results[target.section]?.environment;
    if (!environment || (target.on && !target.on(environment))) return [];
    const value = target.measure(results);
    const measured =
      typeof value === "number" ? [figure(target, value), verdict(target, value)] : ["", value ?? "not measured"];
    return [[target.what, ...cellsOf(target), ...measured]];
  });
  return table(["", "at least, at most", "reach for", "measured", "met"], rows);
}

const figure = ({ unit }: Target, value: number): string =>
  unit === "MB" || unit === "%"
    ? `${value.toFixed(0)} ${unit}`
    : `${value.toFixed(2)}${unit === "×" ? "" : " "}${unit}`;

const cellsOf = (target: Target): string[] =>
  [target.bound, target.reach].map((bound) =>
    bound === undefined ? "" : `${target.better === "more" ? "≥" : "≤"} ${figure(target, bound)}`,
  );

function verdict(target: Target, value: number): string {
  if (target.reach !== undefined && meets(target, value, target.reach)) return "reached";
  if (target.bound === undefined) return "reported";
  return meets(target, value, target.bound) ? "met" : "missed";
}

/** bench/RESULTS.md. */
export function resultsPage(results: Results): string {
  const sections = (Object.keys(SECTIONS) as SectionName[]).map((name) => sectionText(name, results));
  const page = [
    "# Results",
    `Written by \`npm run bench\`, like \`bench/results.json\` and \`bench/speed.svg\`: nothing here is typed. Engines run in
processes of their own, in turns; times are medians of the rounds ± half the distance of their quartiles, ratios are taken
within a round before their median is. Weights are random and the same in every engine; onnxruntime's int8 model is
the one that its quantize_dynamic makes. The peak is that of independent multiply-adds on registers; on two free cores two
loops at once do 2 times as much as one.`,
    `![Milliseconds per image of ViT-Ti, S and B](speed.svg)`,
    `## Targets`,
    `A ratio of speeds is larger where vitrail is faster, one of times (≤) smaller. Two threads count against one only where
the two loops at once do ${CALIBRATED} times as much.`,
    targetTable(results),
    ...sections.filter((text) => text !== ""),
  ];
  return `${page.join("\n\n")}\n`;
}

/** The place of {@link readmeTable} in README.md. */
export const README_MARKS = /(<!-- bench -->\n)([\s\S]*?)(<!-- \/bench -->)/;

/** Rows of the README's table, on one thread. */
const HEADLINES: readonly (readonly [EngineName, Entry["precision"], wide: boolean, name: string])[] = [
  ["vitrail", "f32", false, "vitrail, f32"],
  ["vitrail", "f32", true, "vitrail, f32, wide"],
  ["vitrail", "int8", false, "vitrail, int8"],
  ["vitrail", "int8", true, "vitrail, int8, wide"],
  ["onnxruntime-web", "f32", false, "onnxruntime-web, f32"],
  ["onnxruntime-web", "int8", false, "onnxruntime-web, int8"],
  ["onnxruntime-node", "f32", false, "native onnxruntime, f32"],
  ["onnxruntime-node", "int8", false, "native onnxruntime, int8"],
];

/** Milliseconds per image on one thread, of what was measured. */
export function readmeTable({ models }: Results): string {
  if (!models) return "\n";
  const races = (["Ti", "S", "B"] as const).flatMap((size) =>
    models.races.filter(({ work }) => work === labelOf({ kind: "vit", size, batch: 1 })),
  );
  const rows = HEADLINES.flatMap(([engine, precision, wide, name]) => {
    const timings = races.map((race) =>
      race.timings.find(
        (timing) =>
          timing.engine === engine && timing.precision === precision && timing.wide === wide && timing.threads === 1,
      ),
    );
    if (timings.every((timing) => timing === undefined)) return [];
    return [[name, ...timings.map((timing) => (timing ? digits(median(timing.ms)) : ""))]];
  });
  const header = ["ms per image, 1 thread", ...races.map(({ work }) => work.split(",")[0]!)];
  const { cpu, family, node, commit, date } = models.environment;
  const where = `${cpu}${family && ` (${family})`}, Node ${node}, commit ${commit}, ${date.split(" ")[0]}.`;
  return `\n${table(header, rows)}\n\n${where}\n\n`;
}
