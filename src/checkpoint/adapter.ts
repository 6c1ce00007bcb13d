/**
 * Adapters of PEFT: what they change of a base's weights, W′ = W + ΔW. Which tensors there are says where an adapter is; its
 * adapter_config.json says by what factor (peft/tuners: lora, loha, lokr, ia3). A plan names tensors; rows are changed while the
 * base's weights pass.
 */
import { excerpt } from "../json.js";
import { faultOfKeys, type KeyRules, watch } from "../keys.js";
import { transpose } from "../plans.js";
import type { Shapes } from "./config.js";
import { isRecord, type Json, positive, reader } from "./json.js";
import { createPatterns } from "./patterns.js";

/** Changes a row in place; a row is what one index of the first dimension selects, `i` counts from the change's first. */
export type ChangeRow = (row: Float32Array, i: number) => void;

/** A change of rows of one of the base's tensors. */
export interface Change {
  /** First of the rows, and their number. */
  readonly from: number;
  readonly rows: number;
  /** Tensors of the adapter that it is made of. */
  readonly parts: readonly string[];
  /** @param parts their values, in f32. */
  begin(parts: readonly Float32Array[]): ChangeRow;
}

/** Changes that an adapter makes to a base. */
export interface AdapterPlan {
  /** Kind of the adapter, by PEFT's name: "LORA". */
  readonly kind: string;
  /** Changes by the names of the base's tensors. */
  readonly changes: ReadonlyMap<string, readonly Change[]>;
  /** Tensors of the adapter that the model has in the place of the base's, or besides, by their names there. */
  readonly own: ReadonlyMap<string, string>;
  /** Outputs of a classifier among them. */
  readonly classes: number | undefined;
}

/** Keys that all of PEFT's configs have. */
const COMMON: KeyRules["harmless"] = {
  "names of things": "auto_mapping task_type peft_version",
  "the base, which is looked for": "base_model_name_or_path revision",
  "training only": "inference_mode",
  "told by the adapter's tensors": "target_modules exclude_modules modules_to_save",
};
const STRAYS = "is no setting of an adapter that is merged here";

/** LoRA (Hu et al. 2021), rsLoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024): PEFT's LoraConfig. */
export const LORA_KEYS: KeyRules = {
  harmless: {
    ...COMMON,
    "told by the adapter's tensors, too": "bias lora_bias use_dora layers_to_transform layers_pattern",
    "training only, too": "lora_dropout",
    "of GPT-2's transposed layers, which no model here has": "fan_in_fan_out",
    "settings of initial values": "loftq_config eva_config corda_config lora_ga_config",
    "where and how the library computes": "megatron_core qalora_group_size",
  },
  fixed: {
    // Others change the base's weights as well.
    init_lora_weights: [true, false, "gaussian", "eva", "orthogonal"],
    megatron_config: [],
    trainable_token_indices: [],
    alora_invocation_tokens: [],
    use_qalora: [false],
    layer_replication: [],
    target_parameters: [],
    arrow_config: [],
    kasa_config: [],
    monteclora_config: [],
    velora_config: [],
    use_bdlora: [],
    ensure_weight_tying: [false],
  },
  strays: STRAYS,
};

/** LoHa (Hyeon-Woo et al. 2021) and LoKr (Yeh et al. 2023): LoHaConfig, LoKrConfig. */
export const LYCORIS_KEYS: KeyRules = {
  harmless: {
    ...COMMON,
    "told by the adapter's tensors, too": "decompose_both decompose_factor layers_to_transform layers_pattern",
    "training only, too": "rank_dropout module_dropout rank_dropout_scale",
    "initial values": "init_weights",
  },
  // Of convolutions, whose cores are tensors, and refused there.
  fixed: { use_effective_conv2d: [false] },
  strays: STRAYS,
};

/** (IA)³ (Liu et al. 2022): IA3Config. */
export const IA3_KEYS: KeyRules = {
  harmless: {
    ...COMMON,
    "told by the adapter's tensors, too": "feedforward_modules",
    "of GPT-2's transposed layers, which no model here has": "fan_in_fan_out",
    "initial values": "init_ia3_weights",
  },
  fixed: {},
  strays: STRAYS,
};

/** Tensors of an adapter at a module, by the names behind the module's. */
type Parts = ReadonlyMap<string, { readonly name: string; readonly shape: readonly number[] }>;

/** A base's tensor that a module's weight or bias is, or rows of it. */
interface Place {
  readonly tensor: string;
  readonly from: number;
  readonly rows: number;
  /** Elements of a row. */
  readonly cols: number;
}

/** An adapter while it is planned. */
interface Planning {
  readonly read: ReturnType<typeof reader>;
  /** How often a module's change is added. */
  timesOf(module: string): number;
  /** The value of a key for a module, which a pattern of another key may set otherwise. */
  numberOf(key: string, pattern: string, module: string): number;
  refuse(rule: string): never;
}

interface Kind {
  readonly keys: KeyRules;
  /** Matches the part of a tensor's name behind its module's: names of the kind's own tensors. */
  readonly names: RegExp;
  /** Changes of a module's weight, and of its bias. */
  plan(module: string, parts: Parts, weight: Place, bias: Place | undefined, planning: Planning): [Change, Change?];
}

const KINDS: Readonly<Record<string, Kind>> = {
  LORA: {
    keys: LORA_KEYS,
    names: /^lora_(A|B|embedding_A|embedding_B|magnitude_vector)$/,
    plan: planLora,
  },
  LOHA: { keys: LYCORIS_KEYS, names: /^hada_(w[12]_[ab]|t[12])$/, plan: planLoha },
  LOKR: { keys: LYCORIS_KEYS, names: /^lokr_(w[12](_[ab])?|t2)$/, plan: planLokr },
  IA3: { keys: IA3_KEYS, names: /^ia3_l$/, plan: planIa3 },
};

/** Longest name that is matched. */
const MAX_NAME = 1000;

/**
 * Plans what an adapter makes of a base.
 * @param name the adapter's, for messages.
 * @param config adapter_config.json.
 * @throws Error: one sentence, for a kind that is not merged, a key that is not known, and tensors that do not fit the base's.
 */
export function planAdapter(name: string, config: Json, adapter: Shapes, base: Shapes): AdapterPlan {
  const { kind, names, plan, watched, read } = checkAdapter(name, config);
  const refuse = (rule: string): never => {
    throw new Error(`load: the adapter "${name}" ${rule}`);
  };
  const find = createFinder(base, refuse);
  // PEFT adds the change of a MultiheadAttention's out_proj twice, in forward as in merge (lora/layer.py).
  const twice = new Set<string>();
  const timesOf = (module: string) => (twice.has(module) ? 2 : 1);
  const planning: Planning = { read, timesOf, numberOf: patternsOf(name, watched.file, read), refuse };

  const modules = new Map<string, Map<string, { name: string; shape: readonly number[] }>>();
  const saved: { name: string; path: string }[] = [];
  for (const [tensor, { shape }] of adapter) {
    if (tensor.length > MAX_NAME) refuse(`must have names of at most ${MAX_NAME} characters; got ${excerpt(tensor)}`);
    // The copy of what modules_to_save replaced.
    if (/\.original_module\./.test(tensor)) continue;
    const path = tensor.replace(/^base_model\.model\./, "").replace(/\.base_layer(?=\.)/g, "");
    const [, module, part, end] = PART.exec(path) ?? [];
    if (module === undefined) saved.push({ name: tensor, path: path.replace(SAVED, "") });
    else {
      if (!names.test(part!)) refuse(`must have tensors of ${kind}; it has ${excerpt(tensor)}`);
      const parts = modules.get(module) ?? new Map();
      if (tensor.includes(".base_layer.out_proj.")) twice.add(module);
      parts.set(part! + (end === ".bias" ? ".bias" : ""), { name: tensor, shape });
      modules.set(module, parts);
    }
  }
  if (modules.size === 0) refuse(`must have tensors of ${kind}; it has none`);

  const changes = new Map<string, Change[]>();
  const change = (tensor: string, one: Change) => changes.set(tensor, [...(changes.get(tensor) ?? []), one]);
  for (const [module, parts] of modules) {
    const weight = find(module, "weight") ?? refuse(`must fit its base, which has no ${excerpt(`${module}.weight`)}`);
    const bias = find(module, "bias");
    const [ofWeight, ofBias] = plan(module, parts, weight, bias, planning);
    change(weight.tensor, ofWeight);
    if (ofBias) change(bias!.tensor, ofBias);
  }

  const own = new Map<string, string>();
  let classes: number | undefined;
  for (const { name: tensor, path } of saved) {
    const [, module, end] = /^(.*)\.([^.]*)$/.exec(path) ?? ["", "", path];
    const there = find(module!, end!);
    const whole = there && base.get(there.tensor)!.shape[0] === there.rows;
    if (there && !whole) change(there.tensor, replacement(tensor, there, adapter, refuse));
    else own.set(there?.tensor ?? path, tensor);
    if (end === "weight" && HEAD.test(module!)) classes = adapter.get(tensor)!.shape[0];
  }
  const keep = (tensor: string) => !own.has(tensor);
  const kept = new Map([...changes].filter(([tensor]) => keep(tensor)));
  return { kind, changes: kept, own, classes };
}

/**
 * Reads adapter_config.json as far as it goes without tensors.
 * @throws Error: one sentence, for a kind that is not merged and a key whose value would change numbers.
 */
export function checkAdapter(name: string, config: Json) {
  // What is off says nothing, whatever it is.
  const watched = watch(Object.fromEntries(Object.entries(config).filter(([, value]) => value !== false)));
  const read = reader(name, watched.file);
  const kind = (read.text("peft_type") ?? "LORA").toUpperCase();
  if (!Object.hasOwn(KINDS, kind)) {
    const known = Object.keys(KINDS).join(", ");
    throw new Error(
      `load: "${name}" is a ${excerpt(kind)} adapter${baseOf(config)}, and those that are merged are ${known}; merge it with peft (merge_and_unload) and load what that saves`,
    );
  }
  const { keys, names, plan } = KINDS[kind]!;
  for (const key of READ) void watched.file[key];
  const fault = faultOfKeys(`the adapter "${name}"${baseOf(config)}`, watched, keys);
  if (fault !== undefined) throw new Error(`load: ${fault}`);
  return { kind, names, plan, watched, read };
}

/** Keys that are read where tensors ask for them. */
const READ = ["peft_type", "r", "alpha", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"];

/** The model that an adapter is of, for messages. */
const baseOf = ({ base_model_name_or_path: base }: Json): string => (base ? ` of ${excerpt(base)}` : "");

/** Tensors of adapters: what they are of, their own name, and the ends that modules give it. */
const PART =
  /^(.*?)\.((?:lora|hada|lokr|ia3|oft|boft|vera|hra|bone|fourierft|randlora|vblora|shira|c3a|miss|road|delora|waveft|osf)_\w+)(?:\.default)?(\.weight|\.bias)?$/;

/** Wrappers of what modules_to_save names, as old files have them. */
const SAVED = /\.modules_to_save(\.default)?(?=\.)/;

/** Classifiers, by the names of their modules. */
const HEAD = /(^|\.)(classifier|cls_classifier|head|head\.fc|fc)$/;

/** Modules around a model or a tower, which one of the names may lack. */
const OUTER =
  /^(?:(?:module|base_model|model|timm_model|backbone|vit|deit|beit|data2vec_vision|dinov2|dinov2_with_registers|ijepa|pixio|bit|swin|swinv2|hiera|vision_model)\.)+/;

/**
 * Names as transformers 5 has them in memory, which adapters that it trained bear, and files do not (conversion_mapping.py).
 * Names of files and of adapters are compared after both were rewritten.
 */
const RENAMED: readonly (readonly [old: RegExp, name: string])[] = [
  [OUTER, ""],
  [/(^|\.)(?:encoder\.)?layers?\.(?=\d)/, "$1layers."],
  [/\.attention\.attention\.(?=query|key|value)/, ".attention."],
  [/\.attention\.query(?=\.|$)/, ".attention.q_proj"],
  [/\.attention\.key(?=\.|$)/, ".attention.k_proj"],
  [/\.attention\.value(?=\.|$)/, ".attention.v_proj"],
  [/\.attention\.output\.dense(?=\.|$)/, ".attention.o_proj"],
  [/\.intermediate\.dense(?=\.|$)/, ".mlp.fc1"],
  [/\.output\.dense(?=\.|$)/, ".mlp.fc2"],
  [/\.weights_out(?=\.|$)/, ".down_proj"],
  [/\.layernorm_before(?=\.|$)/, ".norm1"],
  [/\.layernorm_after(?=\.|$)/, ".norm2"],
];

const rewritten = (name: string): string => RENAMED.reduce((text, [old, now]) => text.replace(old, now), name);

/** Two modules in memory that files have one after the other in one tensor, relative to their place: DINOv2's gated MLP. */
const HALVES: readonly (readonly [part: RegExp, whole: string, half: 0 | 1])[] = [
  [/(^|\.)gate_proj$/, "$1weights_in", 0],
  [/(^|\.)up_proj$/, "$1weights_in", 1],
];

/** Finds the base's tensor that is a module's weight or bias, by the name that it has in memory or in a file. */
function createFinder(base: Shapes, refuse: Planning["refuse"]): (module: string, end: string) => Place | undefined {
  const byName = new Map<string, string[]>();
  for (const tensor of base.keys()) {
    if (tensor.length > MAX_NAME) continue;
    const name = rewritten(tensor);
    byName.set(name, [...(byName.get(name) ?? []), tensor]);
  }
  const named = (name: string): string | undefined => {
    if (base.has(name)) return name;
    const [first, second] = byName.get(rewritten(name)) ?? [];
    if (second === undefined) return first;
    return refuse(`must fit its base, which has both ${excerpt(first)} and ${excerpt(second)} for ${excerpt(name)}`);
  };
  const placeOf = (tensor: string, half?: 0 | 1): Place => {
    const { shape } = base.get(tensor)!;
    const rows = (shape[0] ?? 1) / (half === undefined ? 1 : 2);
    const cols = shape.slice(1).reduce((product, n) => product * n, 1);
    return { tensor, from: (half ?? 0) * rows, rows, cols };
  };
  return (module, end) => {
    const at = module === "" ? "" : `${module}.`;
    // torch.nn.MultiheadAttention has the three layers in one tensor.
    const tensor = named(at + end) ?? named(`${at}in_proj_${end}`);
    if (tensor !== undefined) return placeOf(tensor);
    for (const [part, whole, half] of HALVES) {
      const other = part.test(module) ? named(`${module.replace(part, whole)}.${end}`) : undefined;
      if (other !== undefined) return placeOf(other, half);
    }
    return undefined;
  };
}

/** Settings that patterns make others for some modules (get_pattern_key of peft/utils/other.py): the first one that fits. */
function patternsOf(name: string, file: Json, read: ReturnType<typeof reader>): Planning["numberOf"] {
  const tables = new Map<string, readonly (readonly [ReturnType<ReturnType<typeof createPatterns>>, number])[]>();
  function tableOf(key: string) {
    const known = tables.get(key);
    if (known) return known;
    const what = `"${key}" of "${name}"`;
    const compile = createPatterns(what);
    const value = file[key] ?? {};
    if (!isRecord(value)) throw new Error(`load: ${what} must be an object; got ${excerpt(value)}`);
    const table = Object.entries(value).map(([pattern, number]) => {
      if (typeof number === "number" && number > 0 && number < 1e6) {
        return [compile(pattern), number] as const;
      }
      throw new Error(`load: ${what} must hold positive numbers; got ${excerpt(number)} for ${excerpt(pattern)}`);
    });
    tables.set(key, table);
    return table;
  }
  return (key, pattern, module) => {
    // From the name's beginning or behind a dot.
    const places = [0, ...[...module.matchAll(/\./g)].map(({ index }) => index + 1)];
    const found = tableOf(pattern).find(([fits]) => fits(module, places));
    return found ? found[1] : read.number(key, 8, [1e-6, 1e6]);
  };
}

/** Tells whether a tensor has a shape; ones do not count. */
const fits = (shape: readonly number[], expected: readonly number[]): boolean => {
  const [a, b] = [shape, expected].map((dims) => dims.filter((n) => n !== 1));
  return a!.length === b!.length && a!.every((n, i) => n === b![i]);
};

const elementsOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** A part of a module's adapter, or the one that must be there. */
function partOf(module: string, parts: Parts, part: string, expected: readonly number[], { refuse }: Planning): string {
  const found = parts.get(part) ?? refuse(`must have ${excerpt(`${module}.${part}`)}; it has none`);
  if (!fits(found.shape, expected) && elementsOf(found.shape) !== elementsOf(expected)) {
    const [is, must] = [found.shape, expected].map((dims) => `(${dims.join(", ")})`);
    refuse(`must fit its base, so ${excerpt(found.name)} must be ${must}; it is ${is}`);
  }
  return found.name;
}

/** ΔW = s B A, s = α/r, or α/√r; of DoRA W′ = m (W + ΔW) / ‖W + ΔW‖, row by row. */
function planLora(
  module: string,
  parts: Parts,
  { from, rows, cols }: Place,
  bias: Place | undefined,
  planning: Planning,
): [Change, Change?] {
  const { read, numberOf, timesOf, refuse } = planning;
  const rank = rankOf(module, planning);
  const alpha = timesOf(module) * numberOf("lora_alpha", "alpha_pattern", module);
  const scale = alpha / (read.flag("use_rslora", false) ? Math.sqrt(rank) : rank);
  // Of embeddings A is [r, rows], B [cols, r].
  const isEmbedding = parts.has("lora_embedding_A");
  const [a, b] = isEmbedding
    ? [
        partOf(module, parts, "lora_embedding_B", [cols, rank], planning),
        partOf(module, parts, "lora_embedding_A", [rank, rows], planning),
      ]
    : [
        partOf(module, parts, "lora_A", [rank, cols], planning),
        partOf(module, parts, "lora_B", [rows, rank], planning),
      ];
  const magnitude = parts.has("lora_magnitude_vector");
  if (magnitude !== read.flag("use_dora", magnitude)) {
    refuse(
      `must have lora_magnitude_vector where use_dora says so; ${excerpt(module)} has ${magnitude ? "one" : "none"}`,
    );
  }
  if (magnitude && isEmbedding) refuse(`must have no DoRA of an embedding; ${excerpt(module)} has one`);
  const norms = magnitude ? [partOf(module, parts, "lora_magnitude_vector", [rows], planning)] : [];
  const ofWeight: Change = {
    from,
    rows,
    parts: [a, b, ...norms],
    begin([left, right, magnitudes]) {
      // [rank, cols], and a column of [rows, rank] for each of its rows.
      const inner = new Float64Array(isEmbedding ? transpose(cols)(left!) : left!);
      const [ofRow, step] = isEmbedding ? [1, rows] : [rank, 1];
      const sum = new Float64Array(cols);
      return (row, o) => {
        sum.set(row);
        const factor = (j: number) => (j < rank ? scale * right![o * ofRow + j * step]! : 0);
        const rowAt = (j: number) => Math.min(j, rank - 1) * cols;
        // Four at a time, so that sums are read and written a quarter as often: a ViT-B with rank 16 in all its layers loads in
        // 3.5 s in place of 6.
        for (let j = 0; j < rank; j += 4) {
          const [f0, f1, f2, f3] = [factor(j), factor(j + 1), factor(j + 2), factor(j + 3)];
          const [a0, a1, a2, a3] = [rowAt(j), rowAt(j + 1), rowAt(j + 2), rowAt(j + 3)];
          for (let i = 0; i < cols; i++) {
            sum[i] = sum[i]! + f0 * inner[a0 + i]! + f1 * inner[a1 + i]! + f2 * inner[a2 + i]! + f3 * inner[a3 + i]!;
          }
        }
        if (magnitudes) {
          let squares = 0;
          for (let i = 0; i < cols; i++) squares += sum[i]! * sum[i]!;
          const turn = magnitudes[o]! / Math.sqrt(squares);
          for (let i = 0; i < cols; i++) sum[i]! *= turn;
        }
        row.set(sum);
      };
    },
  };
  const own = parts.get("lora_B.bias");
  if (!own) return [ofWeight];
  const there = bias ?? refuse(`must fit its base, which has no bias at ${excerpt(module)}`);
  const name = partOf(module, parts, "lora_B.bias", [there.rows], planning);
  return [ofWeight, { from: there.from, rows: there.rows, parts: [name], begin: ([values]) => added(values!, scale) }];
}

const added =
  (values: Float32Array, scale: number): ChangeRow =>
  (row, i) => {
    row[0] = row[0]! + scale * values[i]!;
  };

/** ΔW = s (A₁ B₁) ∘ (A₂ B₂), s = α/r. */
function planLoha(
  module: string,
  parts: Parts,
  { from, rows, cols }: Place,
  _: Place | undefined,
  planning: Planning,
): [Change] {
  if (parts.has("hada_t1")) planning.refuse(`must have no cores of convolutions; ${excerpt(module)} has one`);
  const rank = rankOf(module, planning);
  const scale = planning.numberOf("alpha", "alpha_pattern", module) / rank;
  const names = ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"].map((part) =>
    partOf(module, parts, part, part.endsWith("_a") ? [rows, rank] : [rank, cols], planning),
  );
  return [
    {
      from,
      rows,
      parts: names,
      begin([a1, b1, a2, b2]) {
        const [first, second] = [new Float64Array(cols), new Float64Array(cols)];
        return (row, o) => {
          product(first, a1!, b1!, o, rank);
          product(second, a2!, b2!, o, rank);
          for (let i = 0; i < cols; i++) row[i] = row[i]! + scale * first[i]! * second[i]!;
        };
      },
    },
  ];
}

/** Row `o` of a matrix product of [rows, rank] and [rank, cols]. */
function product(out: Float64Array, a: Float32Array, b: Float32Array, o: number, rank: number): void {
  const cols = out.length;
  out.fill(0);
  for (let j = 0; j < rank; j++) {
    const factor = a[o * rank + j]!;
    for (let i = 0; i < cols; i++) out[i]! += factor * b[j * cols + i]!;
  }
}

function rankOf(module: string, { numberOf, refuse }: Planning): number {
  const rank = numberOf("r", "rank_pattern", module);
  return positive(rank) ? rank : refuse(`must have whole ranks; got ${rank} for ${excerpt(module)}`);
}

/** ΔW = s W₁ ⊗ W₂, either of them a product of two, s = α/r. */
function planLokr(
  module: string,
  parts: Parts,
  { from, rows, cols }: Place,
  _: Place | undefined,
  planning: Planning,
): [Change] {
  const { refuse } = planning;
  if (parts.has("lokr_t2")) refuse(`must have no cores of convolutions; ${excerpt(module)} has one`);
  const rank = rankOf(module, planning);
  const scale = planning.numberOf("alpha", "alpha_pattern", module) / rank;
  /** A factor's sizes, and its tensors: one, or two to be multiplied. */
  const factorOf = (name: string) => {
    const whole = parts.get(name);
    if (whole) return { rows: whole.shape[0] ?? 1, cols: elementsOf(whole.shape.slice(1)), names: [whole.name] };
    const [a, b] = ["a", "b"].map(
      (end) => parts.get(`${name}_${end}`) ?? refuse(`must have ${excerpt(`${module}.${name}_${end}`)}; it has none`),
    );
    if (a!.shape[1] !== b!.shape[0]) refuse(`must have factors of one rank; those of ${excerpt(module)} have two`);
    return { rows: a!.shape[0] ?? 1, cols: elementsOf(b!.shape.slice(1)), names: [a!.name, b!.name] };
  };
  const [first, second] = [factorOf("lokr_w1"), factorOf("lokr_w2")];
  if (first.rows * second.rows !== rows || first.cols * second.cols !== cols) {
    const found = `(${first.rows * second.rows}, ${first.cols * second.cols})`;
    refuse(`must fit its base, so the product at ${excerpt(module)} must be (${rows}, ${cols}); it is ${found}`);
  }
  return [
    {
      from,
      rows,
      parts: [...first.names, ...second.names],
      begin(values) {
        const w1 = multiplied(values.slice(0, first.names.length), first);
        const w2 = multiplied(values.slice(first.names.length), second);
        return (row, o) => {
          const [upper, lower] = [Math.floor(o / second.rows), o % second.rows];
          for (let i = 0; i < first.cols; i++) {
            const factor = scale * w1[upper * first.cols + i]!;
            for (let j = 0; j < second.cols; j++) {
              row[i * second.cols + j] = row[i * second.cols + j]! + factor * w2[lower * second.cols + j]!;
            }
          }
        };
      },
    },
  ];
}

/** A matrix, or the product of two. */
function multiplied(
  [a, b]: readonly Float32Array[],
  { rows, cols }: { readonly rows: number; readonly cols: number },
): ArrayLike<number> {
  if (!b) return a!;
  const out = new Float64Array(rows * cols);
  for (let o = 0; o < rows; o++) product(out.subarray(o * cols, (o + 1) * cols), a!, b, o, a!.length / rows);
  return out;
}

/** W′ = l W, of what comes out of a layer, which is [rows, 1], with its bias; or of what goes into it, [1, cols]. */
function planIa3(
  module: string,
  parts: Parts,
  { from, rows, cols }: Place,
  bias: Place | undefined,
  planning: Planning,
): [Change, Change?] {
  const { shape } = parts.get("ia3_l") ?? planning.refuse(`must have ${excerpt(`${module}.ia3_l`)}; it has none`);
  const isInput = shape[0] === 1 && elementsOf(shape) === cols;
  const name = partOf(module, parts, "ia3_l", isInput ? [1, cols] : [rows, 1], planning);
  const times =
    (values: Float32Array): ChangeRow =>
    (row, o) => {
      for (let i = 0; i < row.length; i++) row[i] = row[i]! * values[isInput ? i : o]!;
    };
  const ofWeight: Change = { from, rows, parts: [name], begin: ([values]) => times(values!) };
  if (isInput || !bias) return [ofWeight];
  return [ofWeight, { from: bias.from, rows: bias.rows, parts: [name], begin: ([values]) => times(values!) }];
}

/** Rows of a tensor that the adapter has a tensor of its own for. */
function replacement(name: string, { from, rows, cols }: Place, adapter: Shapes, refuse: Planning["refuse"]): Change {
  const { shape } = adapter.get(name)!;
  if (elementsOf(shape) !== rows * cols) {
    refuse(`must fit its base, so ${excerpt(name)} must be (${rows}, ${cols}); it is (${shape.join(", ")})`);
  }
  return {
    from,
    rows,
    parts: [name],
    begin:
      ([values]) =>
      (row, i) =>
        row.set(values!.subarray(i * cols, (i + 1) * cols)),
  };
}

/** The config of a base whose classifier an adapter replaces: names of other classes are no names of these. */
export function withClasses(config: unknown, classes: number | undefined): unknown {
  if (classes === undefined || !isRecord(config)) return config;
  const { id2label, label2id, num_labels, ...rest } = config;
  const labels = isRecord(id2label) ? Object.keys(id2label).length : num_labels;
  const named = labels === classes || (labels === undefined && classes === 2) ? config : rest;
  if (rest.architecture === undefined || rest.num_classes === classes) return named;
  const { label_names, label_descriptions, ...timm } = rest;
  const of = (key: string): Json | undefined =>
    isRecord(timm[key]) ? { ...timm[key], num_classes: classes } : undefined;
  const [args, settings] = [of("model_args"), of("pretrained_cfg")];
  const { label_names: _, ...cfg } = settings ?? {};
  return {
    ...timm,
    num_classes: classes,
    ...(args && { model_args: args }),
    ...(settings && { pretrained_cfg: cfg }),
  };
}
