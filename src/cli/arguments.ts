/** The grammar of the command line, its reader, and the help. */

import { parseArgs } from "node:util";
import type { CollectionOptions } from "../collection/index.js";
import type { EmbedOptions, HubOptions, LoadOptions } from "../index.js";
import { excerpt } from "../json.js";
import { TASKS, type TaskName } from "../tasks/index.js";
import type { CommandKind, CommandOption } from "../tasks/task.js";

/** Options of the commands that open a model. */
const HUB = ["revision", "cache-dir", "offline", "token"] as const;
/** Those that say which tensors of which files are the model. */
const NAMES = ["subfolder", "prefix", "ignore", "base", "head", "state", "text-cache"] as const;
const MODEL = ["model", "backend", "precision", "threads", "wide", "processor", ...NAMES, ...HUB] as const;

/** Those of the server. */
const SERVER = ["port", "host", "auth", "cors", "fetch-images", "memory"] as const;

interface CommandRow {
  /** Words beside its options: "kind" of a picture and images, "own" of commands that look at them themselves. */
  readonly operands: "images" | "kind" | "models" | "none" | "source" | "own";
  /** Options that not all commands have. */
  readonly options: readonly string[];
  /** The task that it does. */
  readonly task?: TaskName;
  /** Lines of the help: an option or the command's operands, and what it is. */
  readonly help: readonly (readonly [string, string])[];
}

/** Values by their kinds, as the help shows them. */
const SHOWN: Readonly<Record<CommandKind, string>> = {
  count: "N",
  part: "0.5",
  texts: '"A,B"',
  text: "TEXT",
  index: "N",
  boxes: '"0 0 9 9"',
  image: "FILE",
  points: '"9 9; 0 0 0"',
};

/** Commands of tasks. */
const TASK_COMMANDS = Object.fromEntries(
  Object.entries(TASKS).flatMap(([task, { command }]): [string, CommandRow][] => {
    if (!command) return [];
    const { name = task, options, pictures } = command;
    const help = Object.entries(options).map(([option, { kind, absent = SHOWN[kind], help }]) => {
      return [`  --${option} ${absent}`, help] as const;
    });
    if (pictures) help.push(["  --out DIR", "a folder for the results as PNG pictures"]);
    return [
      [
        name,
        {
          operands: "images",
          options: [...MODEL, ...Object.keys(options), ...(pictures ? ["out"] : [])],
          task: task as TaskName,
          help: [[`${name} IMAGES...`, command.help], ...help],
        },
      ],
    ];
  }),
);

/** Options of pictures: flags are empty texts. */
const PICTURE_FLAGS = ["rollout", "unit", "smooth", "alone"] as const;
const PICTURE_OPTIONS = [
  ..."layer heads from discard keep outliers components class labels size stride seed top width".split(" "),
  ...PICTURE_FLAGS,
];

/** The commands by name. */
export const COMMANDS: Readonly<Record<string, CommandRow>> = {
  ...TASK_COMMANDS,
  embed: {
    operands: "images",
    options: [...MODEL, "out", "pooling", "normalize"],
    help: [
      ["embed IMAGES...", "one feature vector an image"],
      ["  --out FILE", ".safetensors, .npy or .jsonl; or print them with --json"],
      ["  --pooling head", "or token, mean, pooler;  --normalize: to length 1"],
    ],
  },
  index: {
    operands: "own",
    options: [...MODEL, "out", "pooling", "vectors", "hash", "watch", "plan", "queue", "shard", "priority"],
    help: [
      ["index PHOTOS...", "vectors of many photos, in a folder that others read"],
      ["  --out STORE", "the folder; what is in it already is skipped"],
      ["  --hash", "compare contents, not sizes and times"],
      ["  --watch", "go on, and add what comes"],
      ["  --pooling head", "as of embed;  --vectors f32, or int8: a quarter of the bytes"],
      ["  --plan", "leave the embedding to vitrail work STORE; a store may be"],
      ["", "s3://bucket/prefix then;  --shard 1024: photos a job"],
      ["  --queue redis://HOST", "the same by BullMQ;  --priority 0, the first, to 2097152"],
    ],
  },
  work: {
    operands: "own",
    options: [...MODEL, "queue", "lease", "watch"],
    help: [
      ["work STORE", "what index --plan has left, on any number of machines"],
      ["  --lease 60", "seconds without a sign of life until another takes over"],
      ["  --queue redis://HOST", "in the place of STORE: what index --queue has planned"],
      ["  --watch", "go on, and do what comes"],
    ],
  },
  search: {
    operands: "own",
    options: [...MODEL, "top", "where"],
    help: [
      ["search STORE TEXT", "the photos that are nearest to a text, or to an image"],
      ["  --top 10", "how many"],
      ["  --where NAME=VALUE", "of those with this fact beside them"],
    ],
  },
  duplicates: {
    operands: "own",
    options: ["threshold", "move"],
    help: [
      ["duplicates STORE", "groups of photos that look alike, largest file first"],
      ["  --threshold 0.95", "the least cosine of two"],
      ["  --move DIR", "move all but the first of each group there"],
    ],
  },
  learn: {
    operands: "own",
    options: [...MODEL, "out", "l2"],
    help: [
      ["learn FOLDER", "classes of your own, by a folder of photos for each"],
      ["  --out HEAD", "a .safetensors file, for classify --head HEAD"],
      ["  --l2 1024", "the penalty; by default chosen by leave-one-out"],
    ],
  },
  picture: {
    operands: "kind",
    options: [...MODEL, "out", ...PICTURE_OPTIONS],
    help: [
      ["picture KIND IMAGES", "what the model sees of each image, as a picture"],
      ["  KIND", "attention, similarity, features, norms, lens, occlusion,"],
      ["", "activation, text, reconstruction; distance, filters, positions"],
      ["  --out FILE", ".png, .svg or .npy; drawn in the terminal without"],
      ["  --layer 11", "from 0;  --heads mean, or max, min, a number from 0"],
      ["  --from class", 'or pool, mean, "ROW,COLUMN";  --rollout;  --discard 0.9'],
      ["  --unit", "features of length 1;  --outliers 3;  --keep high"],
      ["  --class NAME", 'or a number;  --labels "A,B";  --top 6'],
      ["  --size 2", "patches that are covered;  --stride;  --components 28"],
      ["  --seed 0", "of the patches that reconstruction hides"],
      ["  --width N", "pixels;  --smooth;  --alone: not on the photo"],
    ],
  },
  quantize: {
    operands: "source",
    options: ["out", "base", "state", ...HUB],
    help: [
      ["quantize SOURCE", "the same model in int8, a quarter of the size"],
      ["  --out DIR", "a new folder for it"],
    ],
  },
  serve: {
    operands: "models",
    options: [...MODEL.filter((name) => !(NAMES as readonly string[]).includes(name)), ...SERVER],
    help: [
      ["serve [MODELS...]", "models over HTTP, as OpenAI, Hugging Face and others"],
      ["  MODEL, NAME=MODEL", "as --model; the first is loaded at once"],
      ["  --port 3000", "--host 127.0.0.1"],
      ["  --auth TOKEN", "that requests must bear; or VITRAIL_AUTH"],
      ["  --cors ORIGINS", "of pages that may ask, with commas between, or *"],
      ["  --fetch-images", "fetches images at public addresses"],
      ["  --memory 4096", "most MB of models at once"],
    ],
  },
  inspect: { operands: "none", options: MODEL, help: [["inspect", "what the model is; its weights are not read"]] },
  bench: {
    operands: "none",
    options: [...MODEL, "batch", "seconds"],
    help: [
      ["bench", "how fast it is on this machine"],
      ["  --batch 1", "images a call"],
      ["  --seconds 5", "how long to measure"],
    ],
  },
};

export type CommandName = string;

/** Options of tasks: a value each. */
const TASK_OPTIONS = Object.assign({}, ...Object.values(TASKS).map(({ command }) => command?.options)) as Readonly<
  Record<string, unknown>
>;

const OPTIONS: Readonly<Record<string, { readonly type: "boolean" | "string"; readonly short?: string }>> = {
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
  model: { type: "string" },
  backend: { type: "string" },
  precision: { type: "string" },
  threads: { type: "string" },
  wide: { type: "boolean" },
  processor: { type: "string" },
  state: { type: "string" },
  subfolder: { type: "string" },
  prefix: { type: "string" },
  ignore: { type: "string" },
  base: { type: "string" },
  head: { type: "string" },
  "text-cache": { type: "string" },
  revision: { type: "string" },
  "cache-dir": { type: "string" },
  offline: { type: "boolean" },
  token: { type: "string" },
  json: { type: "boolean" },
  quiet: { type: "boolean" },
  ...Object.fromEntries(Object.keys(TASK_OPTIONS).map((name) => [name, { type: "string" as const }])),
  out: { type: "string" },
  vectors: { type: "string" },
  hash: { type: "boolean" },
  watch: { type: "boolean" },
  plan: { type: "boolean" },
  queue: { type: "string" },
  shard: { type: "string" },
  priority: { type: "string" },
  lease: { type: "string" },
  where: { type: "string" },
  move: { type: "string" },
  l2: { type: "string" },
  pooling: { type: "string" },
  normalize: { type: "boolean" },
  batch: { type: "string" },
  ...Object.fromEntries(PICTURE_OPTIONS.map((name) => [name, { type: "string" as const }])),
  ...Object.fromEntries(PICTURE_FLAGS.map((name) => [name, { type: "boolean" as const }])),
  seconds: { type: "string" },
  port: { type: "string" },
  host: { type: "string" },
  auth: { type: "string" },
  cors: { type: "string" },
  "fetch-images": { type: "boolean" },
  memory: { type: "string" },
};

export interface Arguments {
  readonly command: CommandName | undefined;
  /** Images, models to serve, or the checkpoint to quantize. */
  readonly operands: readonly string[];
  readonly help: boolean;
  readonly version: boolean;
  readonly model: string | undefined;
  /** Models of a command that takes several. */
  readonly models: readonly string[];
  /** For `load`, which knows what it can do and refuses the rest. */
  readonly load: Pick<
    LoadOptions,
    | ("backend" | "precision" | "threads" | "wide" | "processor")
    | ("subfolder" | "prefix" | "ignore" | "base" | "state" | "textCache")
  > & { readonly head: string | undefined };
  /** For `load` as well: where models that are named by owner/name come from. */
  readonly hub: HubOptions;
  readonly json: boolean;
  readonly quiet: boolean;
  /** Options of the command's task, and its arguments behind the images. */
  readonly task: Readonly<Record<string, unknown>>;
  readonly taskArguments: readonly unknown[];
  readonly out: string | undefined;
  /** Options of index, search, duplicates and learn. */
  readonly collection: {
    readonly vectors: CollectionOptions["vectors"];
    readonly hash: boolean;
    readonly watch: boolean;
    readonly topK: number;
    readonly where: readonly [name: string, value: string] | undefined;
    readonly threshold: number;
    readonly move: string | undefined;
    readonly l2: number | undefined;
  };
  /** Options of index and work for many machines. */
  readonly jobs: {
    readonly plan: boolean;
    readonly queue: string | undefined;
    readonly shardRows: number;
    readonly priority: number;
    readonly lease: number;
  };
  readonly embed: Pick<EmbedOptions, "pooling" | "normalize">;
  /** Options of a picture as they are given. */
  readonly picture: Readonly<Partial<Record<string, string>>>;
  readonly batch: number;
  readonly seconds: number;
  readonly serve: {
    readonly port: number;
    readonly host: string;
    readonly auth: string | undefined;
    readonly cors: readonly string[] | "*" | undefined;
    readonly fetchImages: boolean;
    /** MB. */
    readonly memory: number | undefined;
  };
}

/**
 * Reads the words after `vitrail`.
 * @throws Error: one sentence for an unknown command or option, and for a value that is missing, unwanted or wrong.
 */
export function parseArguments(argv: readonly string[]): Arguments {
  // Not strict: its errors take several sentences, and it does not know which command has which options.
  const { tokens } = parseArgs({
    args: [...argv],
    options: OPTIONS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const [command, ...operands] = tokens.flatMap((token) => (token.kind === "positional" ? [token.value] : []));
  if (command !== undefined && !isCommand(command)) {
    throw new Error(`there is no command ${excerpt(command)}; there are ${Object.keys(COMMANDS).join(", ")}`);
  }
  const given: Partial<Record<string, string>> = {};
  const models: string[] = [];
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const name = checkName(token.name, token.rawName, command);
    given[name] = checkValue(token);
    if (name === "model") models.push(given[name]);
  }

  const number = (name: string, absent: string, rule: string, holds: (x: number) => boolean): number => {
    const text = given[name] ?? absent;
    if (holds(Number(text))) return Number(text);
    throw new Error(`--${name} must be ${rule}; got ${excerpt(text)}`);
  };
  const count = (name: string, absent: string, most: number) =>
    number(name, absent, `a whole number from 1 to ${most}`, (x) => Number.isSafeInteger(x) && x > 0 && x <= most);
  const { threads = "auto" } = given;
  const { task } = COMMANDS[command ?? ""] ?? {};
  const taskOptions = task ? TASKS[task].command!.options : {};
  const readers: Readonly<Record<CommandKind, (name: string, text: string) => unknown>> = {
    count: (name, text) => count(name, text, MAX_COUNT),
    part: (name, text) => number(name, text, "a number from 0 to 1", (x) => x >= 0 && x <= 1),
    index: (name, text) =>
      number(
        name,
        text,
        `a whole number from 0 to ${MAX_COUNT}`,
        (x) => Number.isInteger(x) && x >= 0 && x <= MAX_COUNT,
      ),
    texts: textsOf,
    boxes: boxesOf,
    text: (_, text) => text,
    image: (_, text) => text,
    points: pointsOf,
  };
  const values = Object.entries(taskOptions).flatMap(([name, { option, kind }]: [string, CommandOption<object>]) => {
    const text = given[name];
    if (text === undefined && typeof option === "number" && given.help === undefined) {
      throw new Error(`${command} needs --${name}: ${TASKS[task!].command!.options[name]!.help}`);
    }
    return text === undefined ? [] : [{ option, value: readers[kind](name, text) }];
  });
  return {
    command,
    operands,
    help: given.help !== undefined,
    version: given.version !== undefined,
    model: given.model,
    models,
    load: {
      backend: given.backend as LoadOptions["backend"],
      precision: given.precision as LoadOptions["precision"],
      threads: (threads === "auto" ? threads : count("threads", "", 256)) as LoadOptions["threads"],
      wide: given.wide === undefined ? undefined : true,
      processor: given.processor as LoadOptions["processor"],
      state: given.state,
      subfolder: given.subfolder,
      prefix: given.prefix,
      ignore: patternOf(given.ignore),
      base: given.base,
      head: given.head,
      textCache: given["text-cache"],
    },
    hub: {
      revision: given.revision,
      cacheDir: given["cache-dir"],
      offline: given.offline === undefined ? undefined : true,
      token: given.token,
    },
    json: given.json !== undefined,
    quiet: given.quiet !== undefined,
    task: Object.fromEntries(
      values.flatMap(({ option, value }) => (typeof option === "number" ? [] : [[option, value]])),
    ),
    taskArguments: values.filter(({ option }) => typeof option === "number").map(({ value }) => value),
    out: given.out,
    collection: {
      vectors: given.vectors as CollectionOptions["vectors"],
      hash: given.hash !== undefined,
      watch: given.watch !== undefined,
      topK: count("top", "10", MAX_COUNT),
      where: given.where === undefined ? undefined : factOf(given.where),
      threshold: number("threshold", "0.95", "a cosine above -1 and at most 1", (x) => x > -1 && x <= 1),
      move: given.move,
      l2: given.l2 === undefined ? undefined : number("l2", "", "a positive number", (x) => x > 0 && x < Infinity),
    },
    jobs: {
      plan: given.plan !== undefined,
      queue: given.queue,
      shardRows: count("shard", "1024", 2 ** 18),
      priority: number(
        "priority",
        "0",
        `a whole number from 0 to ${2 ** 21}`,
        (x) => Number.isInteger(x) && x >= 0 && x <= 2 ** 21,
      ),
      lease: number("lease", "60", "seconds from 0.1 to 86400", (x) => x >= 0.1 && x <= 86_400),
    },
    embed: { pooling: given.pooling as EmbedOptions["pooling"], normalize: given.normalize !== undefined },
    picture: Object.fromEntries(
      PICTURE_OPTIONS.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])),
    ),
    batch: count("batch", "1", 1024),
    seconds: number("seconds", "5", "above 0 and at most a day, 86400", (x) => x > 0 && x <= 86_400),
    serve: {
      port: number("port", "3000", "a whole number from 0 to 65535", (x) => Number.isInteger(x) && x >= 0 && x < 65536),
      host: given.host ?? "127.0.0.1",
      auth: given.auth,
      cors: given.cors === "*" ? "*" : given.cors === undefined ? undefined : textsOf("cors", given.cors),
      fetchImages: given["fetch-images"] !== undefined,
      memory: given.memory === undefined ? undefined : count("memory", "", MAX_COUNT),
    },
  };
}

/** A regular expression, with or without the slashes that messages show it with. */
function patternOf(text: string | undefined): RegExp | undefined {
  if (text === undefined) return undefined;
  try {
    return new RegExp(/^\/(.*)\/$/.exec(text)?.[1] ?? text, "u");
  } catch {
    throw new Error(`--ignore must be a regular expression; got ${excerpt(text)}`);
  }
}

/** A name and a value. */
function factOf(text: string): readonly [string, string] {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  throw new Error(`--where must be NAME=VALUE; got ${excerpt(text)}`);
}

/** Texts with commas between, without spaces around them. */
function textsOf(name: string, text: string): string[] {
  const texts = text.split(",").map((part) => part.trim());
  if (!texts.includes("")) return texts;
  throw new Error(`--${name} must be texts with commas between; got ${excerpt(text)}`);
}

/** Points of two numbers each and maybe a 1, on the object, or a 0, beside it, with semicolons between points. */
function pointsOf(name: string, text: string): object[] {
  return text.split(";").map((part) => {
    const numbers = part.trim().split(/[\s,]+/);
    const [x, y, label = 1] = numbers.map(Number);
    if ([2, 3].includes(numbers.length) && numbers.every((n) => n !== "" && Number.isFinite(Number(n)))) {
      return { x, y, label };
    }
    throw new Error(
      `--${name} must be points of x, y and maybe 1 or 0, with semicolons between; got ${excerpt(part.trim())}`,
    );
  });
}

/** Boxes of four numbers each, left, top, right and bottom, with semicolons between boxes. */
function boxesOf(name: string, text: string): object[] {
  return text.split(";").map((part) => {
    const sides = part.trim().split(/[\s,]+/);
    const [xmin, ymin, xmax, ymax] = sides.map(Number);
    if (sides.length === 4 && sides.every((side) => side !== "" && Number.isFinite(Number(side)))) {
      return { xmin, ymin, xmax, ymax };
    }
    throw new Error(
      `--${name} must be boxes of left, top, right and bottom, with semicolons between; got ${excerpt(part.trim())}`,
    );
  });
}

/** Most that a task may be asked for, such as classes. */
const MAX_COUNT = 1_000_000;

const isCommand = (name: string): name is CommandName => Object.hasOwn(COMMANDS, name);

function checkName(name: string, rawName: string, command: CommandName | undefined): string {
  if (!Object.hasOwn(OPTIONS, name))
    throw new Error(`there is no option ${excerpt(rawName)}; "vitrail --help" lists all`);
  const owners = Object.entries(COMMANDS).filter(([, { options }]) => options.includes(name));
  if (command && owners.length > 0 && owners.every(([owner]) => owner !== command)) {
    throw new Error(`${rawName} is an option of ${owners.map(([owner]) => owner).join(", ")}, not of ${command}`);
  }
  return name;
}

/** The value of an option; the empty text for a flag. */
function checkValue(token: { name: string; rawName: string; value?: string; inlineValue?: boolean }): string {
  const { name, rawName, value, inlineValue } = token;
  if (OPTIONS[name]!.type === "boolean") {
    if (value !== undefined) throw new Error(`${rawName} takes no value; got ${excerpt(value)}`);
    return "";
  }
  if (value === undefined || (!inlineValue && value.startsWith("--"))) throw new Error(`${rawName} needs a value`);
  return value;
}

const helpLines = (rows: readonly (readonly [string, string])[]): string[] =>
  rows.map(([words, meaning]) => `  ${words.padEnd(20)}  ${meaning}`.trimEnd());

/** Lines that fit a screen of 80 columns and 24 rows, with the prompt after them; of a command, its options. */
export function helpText(version: string, command?: CommandName): string[] {
  if (command !== undefined) {
    const { operands, options, help } = COMMANDS[command]!;
    return [
      `usage: vitrail ${help[0]![0]} [options]`,
      `  ${help[0]![1]}`,
      ...(help.length > 1 ? ["", ...helpLines(help.slice(1))] : []),
      ...(operands === "images" || operands === "kind" ? ["", ...IMAGES_HELP] : []),
      ...(options.includes("model") ? ["", ...MODEL_HELP] : []),
    ];
  }
  return [
    `vitrail ${version}: Vision Transformers from their original weights`,
    'usage: vitrail COMMAND [options]; "vitrail COMMAND --help" lists its own',
    ...helpLines(Object.values(COMMANDS).map(({ help }) => help[0]!)),
    ...helpLines(SHORT_HELP),
    "example: vitrail classify cat.jpg",
  ];
}

/** Lines that the help of all commands has, of those of one. */
const SHORT_HELP = [
  ["--model NAME", "owner/name of Hugging Face, or a folder, file or URL"],
  ["--json", "one JSON object a line;  --quiet;  --help;  --version"],
] as const;

const MODEL_HELP: readonly string[] = helpLines([
  SHORT_HELP[0],
  ["  --revision main", "--subfolder --prefix --ignore --state --base --head"],
  ["--backend auto", "or wasm, webgpu, reference;  --precision f32, f16, int8"],
  ["--threads auto", "--wide --processor --offline --token --text-cache"],
  SHORT_HELP[1],
]);

const IMAGES_HELP: readonly string[] = helpLines([["IMAGES", 'files, addresses, folders, "*.jpg", @list.txt, or -']]);
