/**
 * `npm run build && node dist/bench/scale.js`: photos on many machines, simulated event by event (a machine starts a job, ends it, dies,
 * is there again; a lease ends), and written as bench/SCALE.md and bench/scale.svg. Rates are those of bench/results.json; what nobody
 * here can measure (how often machines die, how long a new one takes, what an hour costs, a request to the store) is an option.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { table } from "./markdown.js";
import { median, type Race } from "./race.js";

const HELP = `node dist/bench/scale.js [--work "ViT-B/16, batch 1"] [--deaths 0.05] [--boot 120] [--request 0.05] [--spread 0.1] [--price 0.1]

--deaths a machine's an hour, --boot seconds until it is replaced, --request seconds of one to the store,
--spread of machines' speeds (standard deviation of the logarithm), --price of a machine's hour.`;

export interface Fleet {
  readonly photos: number;
  readonly machines: number;
  /** Photos a second on a machine of median speed. */
  readonly rate: number;
  readonly shard: number;
  /** Seconds. */
  readonly lease: number;
  /** A machine's, an hour. */
  readonly deaths: number;
  /** Seconds. */
  readonly boot: number;
  readonly request: number;
  readonly spread: number;
}

export interface Outcome {
  /** Seconds until the last shard is there. */
  readonly seconds: number;
  /** Share of machines' time that went into photos of shards, of all until the end. */
  readonly useful: number;
  readonly died: number;
  /** Requests to the store a second, on average: those of jobs, and heartbeats. */
  readonly requests: number;
}

/** Requests of a job: its lease, whether it is done, the job, metadata, vectors, the end of the lease (src/jobs/work.ts). */
const REQUESTS = 7;
/** Heartbeats in a lease (src/jobs/leases.ts). */
const BEATS = 4;

/** A queue of events by time: a binary heap of [seconds, kind and machine or job]. */
function createEvents() {
  const times: number[] = [];
  const what: number[] = [];
  const swap = (i: number, j: number) => {
    [times[i], times[j]] = [times[j]!, times[i]!];
    [what[i], what[j]] = [what[j]!, what[i]!];
  };
  return {
    push(time: number, event: number): void {
      times.push(time);
      what.push(event);
      for (let i = times.length - 1; i > 0; ) {
        const parent = (i - 1) >> 1;
        if (times[parent]! <= times[i]!) break;
        swap(i, parent);
        i = parent;
      }
    },
    pop(): readonly [time: number, event: number] | undefined {
      if (times.length === 0) return undefined;
      swap(0, times.length - 1);
      const first = [times.pop()!, what.pop()!] as const;
      for (let i = 0; ; ) {
        const [left, right] = [2 * i + 1, 2 * i + 2];
        let least = i;
        if (left < times.length && times[left]! < times[least]!) least = left;
        if (right < times.length && times[right]! < times[least]!) least = right;
        if (least === i) return first;
        swap(i, least);
        i = least;
      }
    },
  };
}

/** Numbers between 0 and 1 that are always the same (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const [DONE, DEAD, BACK, FREE] = [0, 1, 2, 3];

export function simulate(fleet: Fleet, seed = 1): Outcome {
  const { photos, machines, rate, shard, lease, deaths, boot, request, spread } = fleet;
  const random = createRandom(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const lifetime = () => (deaths === 0 ? Number.POSITIVE_INFINITY : (-Math.log(1 - random()) * 3600) / deaths);
  const jobs = Math.ceil(photos / shard);
  const sizeOf = (job: number) => (job === jobs - 1 ? photos - shard * (jobs - 1) : shard);
  const speeds = Array.from({ length: machines }, () => rate * Math.exp(spread * normal()));
  const ends = Array.from({ length: machines }, lifetime);
  const events = createEvents();
  /** Jobs that have come back, behind those that were never begun. */
  const returned: number[] = [];
  const idle: number[] = [];
  let [next, done, died, now] = [0, 0, 0, 0];

  function begin(machine: number): void {
    const job = next < jobs ? next++ : returned.shift();
    if (job === undefined) {
      idle.push(machine);
      return;
    }
    const end = now + REQUESTS * request + sizeOf(job) / speeds[machine]!;
    if (end <= ends[machine]!) {
      events.push(end, 4 * machine + DONE);
      return;
    }
    events.push(ends[machine]!, 4 * machine + DEAD);
    // Who watches sees that nothing has changed for as long as a lease lasts, from the last heartbeat on.
    events.push(ends[machine]! + lease + request, 4 * job + FREE);
  }

  for (let machine = 0; machine < machines; machine++) begin(machine);
  while (done < jobs) {
    const [time, event] = events.pop()!;
    now = time;
    const [kind, which] = [event % 4, Math.floor(event / 4)];
    if (kind === DONE) {
      done++;
      begin(which);
    } else if (kind === DEAD) {
      died++;
      events.push(now + boot, 4 * which + BACK);
    } else if (kind === BACK) {
      ends[which] = now + lifetime();
      begin(which);
    } else {
      returned.push(which);
      // One that waits may have died meanwhile.
      for (let waiting = idle.shift(); waiting !== undefined; waiting = idle.shift()) {
        if (ends[waiting]! > now) {
          begin(waiting);
          break;
        }
        died++;
        events.push(Math.max(now, ends[waiting]! + boot), 4 * waiting + BACK);
      }
    }
  }
  // Seconds that a fleet of these speeds takes, when it does nothing else.
  const useful = (machines * photos) / speeds.reduce((sum, speed) => sum + speed, 0);
  const beats = (machines * now * BEATS) / lease;
  return { seconds: now, useful: useful / (machines * now), died, requests: (jobs * REQUESTS + beats) / now };
}

const { values } = parseArgs({
  options: {
    work: { type: "string", default: "ViT-B/16, batch 1" },
    deaths: { type: "string", default: "0.05" },
    boot: { type: "string", default: "120" },
    request: { type: "string", default: "0.05" },
    spread: { type: "string", default: "0.1" },
    price: { type: "string", default: "0.1" },
    help: { type: "boolean", default: false },
  },
});

const hours = (seconds: number): string =>
  seconds < 5400
    ? `${(seconds / 60).toFixed(1)} min`
    : seconds < 172_800
      ? `${(seconds / 3600).toFixed(1)} h`
      : `${(seconds / 86_400).toFixed(1)} d`;
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const count = (n: number): string => n.toLocaleString("en-US");

function page(): { readonly markdown: string; readonly svg: string } {
  const { models } = JSON.parse(readFileSync("bench/results.json", "utf8")) as {
    models: { races: Race[]; environment: { cpu: string; cores: number } };
  };
  const race = models.races.find(({ work }) => work === values.work);
  if (!race) throw new Error(`scale: --work must be one of ${models.races.map(({ work }) => `"${work}"`).join(", ")}`);
  const ours = race.timings.filter(({ engine, threads }) => engine === "vitrail" && threads === 2);
  const classes = ours.map(({ precision, wide, ms }) => ({
    name: `${precision}${wide ? ", wide" : ""}`,
    rate: 1000 / median(ms),
  }));
  const [deaths, boot, request, spread, price] = [
    values.deaths,
    values.boot,
    values.request,
    values.spread,
    values.price,
  ].map(Number) as [number, number, number, number, number];
  const usual = { shard: 1024, lease: 60, deaths, boot, request, spread };
  const fastest = classes.reduce((a, b) => (b.rate > a.rate ? b : a));
  const FLEETS = [1, 10, 100, 1000];
  const MANY = [1e6, 1e9];

  const finish = MANY.map((photos) => ({
    photos,
    rows: FLEETS.map((machines) => ({ machines, ...simulate({ ...usual, photos, machines, rate: fastest.rate }) })),
  }));
  const cost = classes.map(({ name, rate }) => {
    const { seconds } = simulate({ ...usual, photos: 1e6, machines: 100, rate });
    return [
      name,
      rate.toFixed(2),
      hours(seconds),
      ((100 * seconds) / 3600).toFixed(0),
      ((100 * seconds * price) / 3600).toFixed(2),
    ];
  });
  const SHARDS = [64, 256, 1024, 4096, 16_384];
  const LEASES = [15, 60, 240, 900];
  // A machine that dies every hour or so shows what shards cost.
  const rough = { ...usual, deaths: Math.max(1, deaths), photos: 1e6, machines: 100, rate: fastest.rate };
  const grid = SHARDS.map((shard) => ({ shard, seconds: LEASES.map((lease) => meanOf({ ...rough, shard, lease })) }));
  const all = grid.flatMap(({ shard, seconds }) => seconds.map((time, i) => ({ shard, lease: LEASES[i]!, time })));
  const best = all.reduce((a, b) => (b.time < a.time ? b : a));

  const markdown = `# Photos over machines

Written by \`node dist/bench/scale.js\`: nothing here is typed. Events are simulated one by one: jobs that begin and end, machines that die
and come back, leases that run out. A machine is the one of bench/results.json (${models.environment.cpu}, ${models.environment.cores} cores), which does ${values.work.split(",")[0]} in the
times measured there, on both cores; decoding is not in them. Assumed, and options of the command: ${deaths} deaths a machine and hour, ${boot} s
until it is replaced, ${request} s a request to the store and ${REQUESTS} of them a job, speeds of machines with a deviation of ${percent(spread)}, ${price} a
machine's hour in any currency.

## Finish time

In ${fastest.name}, shards of ${count(usual.shard)} photos, leases of ${usual.lease} s. Useful is the share of all machines' time that went into photos.

${finish
  .map(({ photos, rows }) =>
    table(
      [`${count(photos)} photos, machines`, "finished after", "useful", "machines that died", "requests a second"],
      rows.map(({ machines, seconds, useful, died, requests }) => [
        count(machines),
        hours(seconds),
        percent(useful),
        count(died),
        requests.toFixed(1),
      ]),
    ),
  )
  .join("\n\n")}

![Share of machines' time that went into photos](scale.svg)

## Cost by host class

1,000,000 photos on 100 machines, by how each of them computes.

${table(["class", "photos a second", "finished after", "machine hours", "cost"], cost)}

## Shard size and lease

1,000,000 photos on 100 machines of which each dies ${rough.deaths === 1 ? "once an hour" : `${rough.deaths} times an hour`}: time to the end, the mean of ${SEEDS} runs.

${table(
  ["photos a shard", ...LEASES.map((lease) => `lease of ${lease} s`)],
  grid.map(({ shard, seconds }) => [count(shard), ...seconds.map(hours)]),
)}

The shortest is ${hours(best.time)}, with shards of ${count(best.shard)} and leases of ${best.lease} s. Small shards cost requests, large ones are lost whole when a
machine dies and leave machines idle at the end; a lease counts at the end alone, where others wait for it.
`;
  return { markdown, svg: plot(finish) };
}

const SEEDS = 5;
function meanOf(fleet: Fleet): number {
  let sum = 0;
  for (let seed = 1; seed <= SEEDS; seed++) sum += simulate(fleet, seed).seconds;
  return sum / SEEDS;
}

/** Useful time against machines, both by their logarithm or share. */
function plot(
  series: readonly {
    readonly photos: number;
    readonly rows: readonly { readonly machines: number; readonly useful: number }[];
  }[],
): string {
  const [width, height, left, top] = [420, 240, 60, 30];
  const x = (machines: number) => left + (Math.log10(machines) / 3) * (width - left - 90);
  const y = (share: number) => top + (1 - share) * (height - top - 40);
  const lines = series.flatMap(({ photos, rows }, i) => {
    const points = rows.map(({ machines, useful }) => `${x(machines).toFixed(1)},${y(Math.min(1, useful)).toFixed(1)}`);
    const last = rows.at(-1)!;
    return [
      `<polyline class="s${i}" points="${points.join(" ")}"/>`,
      `<text x="${x(last.machines) + 6}" y="${(y(last.useful) + 4 + 12 * i).toFixed(1)}">10${photos === 1e6 ? "⁶" : "⁹"} photos</text>`,
    ];
  });
  const ticks = [1, 10, 100, 1000].map(
    (n) => `<text x="${x(n)}" y="${height - 22}" text-anchor="middle">${count(n)}</text>`,
  );
  const shares = [0, 0.5, 1].map(
    (share) => `<text x="${left - 8}" y="${y(share) + 4}" text-anchor="end">${100 * share} %</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>Share of machines' time that went into photos, by machines</title>
<style>text { font: 12px system-ui, sans-serif; fill: #333 } polyline { fill: none; stroke-width: 2 } .s0 { stroke: #b8501a } .s1 { stroke: #2a6fd0 } line { stroke: #777 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .s0 { stroke: #f0975c } .s1 { stroke: #7db2ff } line { stroke: #999 } }</style>
<line x1="${left}" x2="${left}" y1="${y(1)}" y2="${y(0)}"/>
<line x1="${left}" x2="${x(1000)}" y1="${y(0)}" y2="${y(0)}"/>
${[...shares, ...ticks, ...lines].join("\n")}
<text x="${x(31.6).toFixed(1)}" y="${height - 6}" text-anchor="middle">machines</text>
</svg>
`;
}

if (values.help) console.log(HELP);
else {
  const { markdown, svg } = page();
  writeFileSync("bench/SCALE.md", markdown);
  writeFileSync("bench/scale.svg", svg);
  console.log(markdown);
}
