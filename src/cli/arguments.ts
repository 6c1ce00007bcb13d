/** What may be said on the command line, what was said, and the help. */
import { parseArgs } from "node:util";
import type { EmbedOptions, HubOptions, LoadOptions } from "../index.js";

/** Options of the commands that open a model. */
const HUB = ["revision", "cache-dir", "offline", "token"] as const;
const MODEL = ["model", "backend", "precision", "threads", "wide", ...HUB] as const;

/** The commands, what they take beside options, and the options that not all have. */
export const COMMANDS = {
  classify: { operands: "images", options: [...MODEL, "top"] },
  embed: { operands: "images", options: [...MODEL, "out", "pooling", "normalize"] },
  inspect: { operands: "none", options: MODEL },
  bench: { operands: "none", options: [...MODEL, "batch", "seconds"] },
  quantize: { operands: "source", options: ["out", ...HUB] },
} as const satisfies Record<string, { operands: "images" | "none" | "source"; options: readonly OptionName[] }>;

export type CommandName = keyof typeof COMMANDS;

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
  model: { type: "string" },
  backend: { type: "string" },
  precision: { type: "string" },
  threads: { type: "string" },
  wide: { type: "boolean" },
  revision: { type: "string" },
  "cache-dir": { type: "string" },
  offline: { type: "boolean" },
  token: { type: "string" },
  json: { type: "boolean" },
  quiet: { type: "boolean" },
  top: { type: "string" },
  out: { type: "string" },
  pooling: { type: "string" },
  normalize: { type: "boolean" },
  batch: { type: "string" },
  seconds: { type: "string" },
} as const;

type OptionName = keyof typeof OPTIONS;

export interface Arguments {
  readonly command: CommandName | undefined;
  /** Images, or the checkpoint to quantise. */
  readonly operands: readonly string[];
  readonly help: boolean;
  readonly version: boolean;
  readonly model: string | undefined;
  /** For `load`, which knows what it can do and refuses the rest. */
  readonly load: Pick<LoadOptions, "backend" | "precision" | "threads" | "wide">;
  /** For `load` as well: where models that are named by owner/name come from. */
  readonly hub: HubOptions;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly top: number;
  readonly out: string | undefined;
  readonly embed: Pick<EmbedOptions, "pooling" | "normalize">;
  readonly batch: number;
  readonly seconds: number;
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
    throw new Error(`there is no command ${JSON.stringify(command)}; there are ${Object.keys(COMMANDS).join(", ")}`);
  }
  const given: Partial<Record<OptionName, string>> = {};
  for (const token of tokens) {
    if (token.kind === "option") given[checkName(token.name, token.rawName, command)] = checkValue(token);
  }

  const number = (name: OptionName, absent: string, rule: string, holds: (x: number) => boolean): number => {
    const text = given[name] ?? absent;
    if (holds(Number(text))) return Number(text);
    throw new Error(`--${name} must be ${rule}; got ${JSON.stringify(text)}`);
  };
  const count = (name: OptionName, absent: string, most: number) =>
    number(name, absent, `a whole number from 1 to ${most}`, (x) => Number.isSafeInteger(x) && x > 0 && x <= most);
  const { threads = "auto" } = given;
  return {
    command,
    operands,
    help: given.help !== undefined,
    version: given.version !== undefined,
    model: given.model,
    load: {
      backend: given.backend as LoadOptions["backend"],
      precision: given.precision as LoadOptions["precision"],
      threads: (threads === "auto" ? threads : count("threads", "", 256)) as LoadOptions["threads"],
      wide: given.wide !== undefined,
    },
    hub: {
      revision: given.revision,
      cacheDir: given["cache-dir"],
      offline: given.offline === undefined ? undefined : true,
      token: given.token,
    },
    json: given.json !== undefined,
    quiet: given.quiet !== undefined,
    top: count("top", "5", 1_000_000),
    out: given.out,
    embed: { pooling: given.pooling as EmbedOptions["pooling"], normalize: given.normalize !== undefined },
    batch: count("batch", "1", 1024),
    seconds: number("seconds", "5", "above 0 and at most a day, 86400", (x) => x > 0 && x <= 86_400),
  };
}

const isCommand = (name: string): name is CommandName => Object.hasOwn(COMMANDS, name);

function checkName(name: string, rawName: string, command: CommandName | undefined): OptionName {
  if (!Object.hasOwn(OPTIONS, name)) throw new Error(`there is no option ${rawName}; "vitrail --help" lists all`);
  const owners = Object.entries(COMMANDS).filter(([, { options }]) => (options as readonly string[]).includes(name));
  if (command && owners.length > 0 && owners.every(([owner]) => owner !== command)) {
    throw new Error(`${rawName} is an option of ${owners.map(([owner]) => owner).join(", ")}, not of ${command}`);
  }
  return name as OptionName;
}

/** The value of an option; the empty text for a flag. */
function checkValue(token: { name: string; rawName: string; value?: string; inlineValue?: boolean }): string {
  const { name, rawName, value, inlineValue } = token;
  if (OPTIONS[name as OptionName].type === "boolean") {
    if (value !== undefined) throw new Error(`${rawName} takes no value; got ${JSON.stringify(value)}`);
    return "";
  }
  if (value === undefined || (!inlineValue && value.startsWith("--"))) throw new Error(`${rawName} needs a value`);
  return value;
}

/** Lines that fit a screen of 80 columns and 24 rows, with the prompt after them. */
export const helpText = (version: string): string[] =>
  `\
vitrail ${version}: Vision Transformers from their original weights

usage: vitrail COMMAND [options]

  classify IMAGES...    the best classes of each image; - is standard input
    --top 5             how many
  embed IMAGES...       one feature vector an image
    --out FILE          .safetensors, .npy or .jsonl; or print them with --json
    --pooling head      or token, mean, pooler;  --normalize: to length 1
  quantize SOURCE       the same model in int8, a quarter of the size
    --out DIR           a new folder for it
  inspect               what the model is; its weights are not read
  bench                 how fast it is on this machine
    --batch 1           images a call
    --seconds 5         how long to measure

  --model NAME          owner/name of Hugging Face, or a folder, file or URL
    --revision main     which version;  --token, --cache-dir, --offline
  --backend auto        or wasm, webgpu, reference;  --precision f32, f16, int8
  --threads auto        how many;  --wide: 256-bit vectors (Node 24 on x64)
  --json                one JSON object a line;  --quiet;  --help;  --version

example: vitrail classify cat.jpg`.split("\n");
