/**
 * Files of torch.save: a zip of a pickle and of one entry a storage, or, before PyTorch 1.6, pickles with the storages behind
 * them (torch/serialization.py). They are read as torch.load does with weights_only=True: the pickle names tensors, and nothing
 * that it imports is run but what makes them. Storages go past in chunks, as the tensors of a safetensors file.
 */
import { excerpt } from "../json.js";
import { CUT, Global, type Key, kindOfValue, Opaque, unpickle, type Value } from "./pickle.js";
import { elementBits, type TensorInfo } from "./safetensors.js";
import type { ByteSource } from "./source.js";
import { beginOf, crc32, readDirectory, readEntry, type ZipEntry } from "./zip.js";

/** Most bytes of a pickle: that of 1,500 tensors and their optimizer's state has 1 MB. */
const MAX_PICKLE = 2 ** 24;

/** Bytes of a file before PyTorch 1.6 that are read at first for its pickles. */
const FIRST_PICKLES = 2 ** 18;

/**
 * How many times a file's bytes its tensors may take, and how many bytes they may in any case: those that repeat elements, or
 * share or deflate them, claim more than there is.
 */
const MAX_EXPANSION = 8;
const FREE_EXPANSION = 2 ** 24;

/** Depth at which a training checkpoint may hold its weights: {"ema": {"model": …}}. */
const MAX_LEVELS = 3;

/** One file's tensors, and where in it they were found. */
export interface TorchFile {
  readonly source: ByteSource;
  readonly tensors: readonly TensorInfo[];
  readonly end: number;
  /** Keys that lead to them; none where they are all that the file holds. */
  readonly state: readonly string[];
}

type ElementType = TensorInfo["dtype"];

/** A class of storages, by the type of its elements: undefined where they are bytes, of whatever a tensor says. */
class StorageClass extends Global {
  constructor(
    name: string,
    readonly type: ElementType | undefined,
    readonly unit: number,
  ) {
    super(name);
  }
}

/** A torch.dtype. */
class TypeName extends Global {
  constructor(
    name: string,
    readonly type: ElementType,
  ) {
    super(name);
  }
}

/** Bytes that tensors share: `length` from `begin` on in the record `key`, which must have `whole` of them, `unit` an element. */
class Storage {
  constructor(
    readonly key: string,
    readonly type: ElementType | undefined,
    readonly unit: number,
    readonly begin: number,
    readonly length: number,
    readonly whole: number,
  ) {}
}

/** A tensor: elements of a storage, with offset and strides in elements; undefined if it has no elements to be read. */
class View {
  constructor(
    readonly type: ElementType,
    readonly shape: readonly number[],
    readonly at?: { readonly storage: Storage; readonly offset: number; readonly strides: readonly number[] },
  ) {}
}

/** Types by the names of torch.dtype (torch/storage.py), and those by the names of storages, with the bytes of an element. */
const TYPES: ReadonlyMap<string, ElementType> = new Map(
  Object.entries({
    ...({ float64: "F64", float32: "F32", float16: "F16", bfloat16: "BF16", double: "F64", float: "F32" } as const),
    ...({ half: "F16", int64: "I64", int32: "I32", int16: "I16", int8: "I8", uint8: "U8", bool: "BOOL" } as const),
    ...({ long: "I64", int: "I32", short: "I16", uint16: "U16", uint32: "U32", uint64: "U64" } as const),
    ...({
      complex32: "C32",
      chalf: "C32",
      complex64: "C64",
      cfloat: "C64",
      complex128: "C128",
      cdouble: "C128",
    } as const),
    ...({ float8_e4m3fn: "F8_E4M3", float8_e5m2: "F8_E5M2", float8_e8m0fnu: "F8_E8M0" } as const),
    ...({ float8_e4m3fnuz: "F8_E4M3FNUZ", float8_e5m2fnuz: "F8_E5M2FNUZ" } as const),
    ...({ qint8: "quantized", quint8: "quantized", qint32: "quantized" } as const),
    ...({ quint4x2: "quantized", quint2x4: "quantized" } as const),
  }),
);
const STORAGES: ReadonlyMap<string, readonly [ElementType | undefined, number]> = new Map([
  ...([
    ["Double", ["F64", 8]],
    ["Float", ["F32", 4]],
    ["Half", ["F16", 2]],
    ["BFloat16", ["BF16", 2]],
  ] as const),
  ...([
    ["Long", ["I64", 8]],
    ["Int", ["I32", 4]],
    ["Short", ["I16", 2]],
    ["Char", ["I8", 1]],
  ] as const),
  ...([
    ["Byte", ["U8", 1]],
    ["Bool", ["BOOL", 1]],
  ] as const),
  ...([
    ["ComplexDouble", ["C128", 16]],
    ["ComplexFloat", ["C64", 8]],
  ] as const),
  ...([
    ["QInt8", ["quantized", 1]],
    ["QUInt8", ["quantized", 1]],
    ["QInt32", ["quantized", 4]],
  ] as const),
  ...([
    ["QUInt4x2", ["quantized", 1]],
    ["QUInt2x4", ["quantized", 1]],
  ] as const),
  ...([
    ["Untyped", [undefined, 1]],
    ["_Untyped", [undefined, 1]],
  ] as const),
]);

/** Says what is wrong with a file. */
type Refuse = (found: string) => never;

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** What a pickle of torch.save may import; nothing else is run, whatever its name. */
function createGlobals(refuse: Refuse): (name: string) => Global {
  const mark = (kind: string) => () => new Opaque(kind);
  const storageOf = (value: Value | undefined): Storage =>
    value instanceof Storage ? value : refuse("must make tensors of storages; one is made of something else");
  const tensorOf = (value: Value | undefined): View =>
    value instanceof View ? value : refuse("must make parameters of tensors; one is made of something else");
  const unread = (kind: ElementType) => () => new View(kind, []);

  function view(args: readonly Value[], type: ElementType | undefined, metadata: Value | undefined): View {
    const storage = storageOf(args[0]);
    const [, offset, shape, strides] = args;
    if (type === undefined) return refuse("must have tensors of a type; one is of bytes");
    if (!isSize(offset) || !isSizes(shape) || !isSizes(strides) || shape.length !== strides.length) {
      return refuse("must give tensors an offset, sizes and as many strides, whole numbers; one has others");
    }
    const bits = elementBits(type);
    const flipped = metadata instanceof Map && [...metadata.values()].includes(true);
    if (bits === undefined || flipped) return new View(flipped ? "of another kind" : type, shape);
    let [elements, last] = [1, offset];
    for (const [i, size] of shape.entries()) {
      elements *= size;
      last += (size - 1) * strides[i]!;
    }
    if (elements > 0 && !((last + 1) * (bits / 8) <= storage.length)) {
      refuse(`must have tensors within their storages; one of ${excerpt(shape)} reaches beyond`);
    }
    if (!Number.isSafeInteger(elements * 8)) refuse(`must have tensors that fit a file; one is of ${excerpt(shape)}`);
    return new View(type, shape, { storage, offset, strides });
  }

  const version2 = (args: readonly Value[]) => view(args, storageOf(args[0]).type, args[6]);
  const rebuilt: Record<string, (args: readonly Value[]) => Value> = {
    _rebuild_tensor: (args) => view(args, storageOf(args[0]).type, undefined),
    _rebuild_tensor_v2: version2,
    _rebuild_tensor_v3: (args) =>
      args[6] instanceof TypeName
        ? view(args, args[6].type, args[7])
        : refuse("must give tensors a torch.dtype; one has something else"),
    _rebuild_parameter: ([data]) => tensorOf(data),
    _rebuild_parameter_with_state: ([data]) => tensorOf(data),
    _rebuild_sparse_tensor: unread("sparse"),
    _rebuild_qtensor: unread("quantized"),
    _rebuild_meta_tensor_no_storage: unread("without data"),
    _rebuild_nested_tensor: unread("of another kind"),
    _rebuild_wrapper_subclass: unread("of another kind"),
    _rebuild_device_tensor_from_numpy: unread("of another kind"),
    _rebuild_device_tensor_from_cpu_tensor: ([data]) => tensorOf(data),
  };
  const map = () => new Map<Key, Value>();

  const table = new Map<string, ((args: readonly Value[]) => Value) | undefined>([
    ...Object.entries(rebuilt).map(([name, call]) => [`torch._utils.${name}`, call] as const),
    [
      "torch._tensor._rebuild_from_type_v2",
      ([call, , args]) =>
        call instanceof Global && call.call && call.name.startsWith("torch._utils.") && Array.isArray(args)
          ? call.call(args)
          : refuse("must make tensors by functions that are known; one is made by something else"),
    ],
    ["torch.nn.parameter.Parameter", ([data]) => (data instanceof View ? data : new View("of another kind", []))],
    ...[
      "Tensor",
      "FloatTensor",
      "HalfTensor",
      "DoubleTensor",
      "LongTensor",
      "IntTensor",
      "ByteTensor",
      "BoolTensor",
    ].map((name) => [`torch.${name}`, undefined] as const),
    ["torch.Size", ([sizes]) => (Array.isArray(sizes) ? sizes : refuse("must have sizes that are lists"))],
    ["torch.device", mark("a device")],
    ["torch.serialization._get_layout", mark("a layout")],
    ...["affine", "symmetric"].flatMap((scheme) =>
      ["tensor", "channel"].map((per) => [`torch.per_${per}_${scheme}`, undefined] as const),
    ),
    ["torch.per_channel_affine_float_qparams", undefined],

    ["collections.OrderedDict", ([pairs]) => new Map(pairsOf(pairs))],
    ["collections.Counter", ([counts]) => (counts instanceof Map ? counts : map())],
    ["collections.defaultdict", map],
    ...["builtins", "__builtin__"].flatMap((module) => [
      [`${module}.set`, mark("a set")] as const,
      [`${module}.frozenset`, mark("a set")] as const,
      [`${module}.complex`, mark("a complex number")] as const,
      ...["dict", "list", "int", "float", "str", "tuple"].map((name) => [`${module}.${name}`, undefined] as const),
      [
        `${module}.bytearray`,
        ([of]) => (isSize(of) ? refuse("must make no bytes of a number") : new Opaque("bytes")),
      ] as [string, (args: readonly Value[]) => Value],
    ]),
    [
      "_codecs.encode",
      ([, codec]) =>
        /^(latin-?1|utf-?8|ascii)$/.test(String(codec))
          ? new Opaque("bytes")
          : refuse("must encode texts by latin1 or utf-8 alone; one is by another codec"),
    ],
    // Objects that training scripts save beside the weights: nothing is made of them.
    ["argparse.Namespace", mark("an argparse.Namespace")],
    ["types.SimpleNamespace", mark("a namespace")],
    ...["PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath", "Path"].flatMap((name) => [
      [`pathlib.${name}`, mark("a path")] as const,
      [`pathlib._local.${name}`, mark("a path")] as const,
    ]),
    ["numpy.ndarray", undefined],
    [
      "numpy.dtype",
      ([code]) =>
        /^[<>=|]?[biufcSUVmM?]\d*$/.test(String(code))
          ? new Opaque("a numpy.dtype")
          : refuse("must hold numbers of numpy alone; its pickle has a numpy.dtype of objects"),
    ],
    ...["numpy.core.multiarray", "numpy._core.multiarray"].flatMap((module) => [
      [`${module}.scalar`, mark("a number of numpy")] as const,
      [`${module}._reconstruct`, mark("an array of numpy")] as const,
    ]),
  ]);

  function pairsOf(pairs: Value | undefined): [Key, Value][] {
    if (pairs === undefined) return [];
    const isPair = (pair: Value): pair is [string, Value] =>
      Array.isArray(pair) && pair.length === 2 && typeof pair[0] === "string";
    if (Array.isArray(pairs) && pairs.every(isPair)) return pairs as [string, Value][];
    return refuse("must make dicts of pairs of a text and a value; one is made of something else");
  }

  return (name) => {
    if (table.has(name)) return new Global(name, table.get(name));
    const [, kind] = /^torch\.(?:cuda\.|storage\.)?(\w+)Storage$/.exec(name) ?? [];
    const storage = kind === undefined ? undefined : STORAGES.get(kind);
    if (storage) return new StorageClass(name, ...storage);
    const [, dtype] = /^torch\.(\w+)$/.exec(name) ?? [];
    const type = dtype === undefined ? undefined : TYPES.get(dtype);
    if (type) return new TypeName(name, type);
    // A few bits an element, which no model's weights have.
    if (/^torch\.(u?int[1-7]|float4\w+|bits\w+)$/.test(name)) return new TypeName(name, "of another kind");
    const quoted = /^[\w.]{1,200}$/.test(name) ? name : excerpt(name);
    return refuse(
      `must hold tensors and plain values alone; its pickle imports ${quoted}, which is not run: ` +
        "in Python, save the model's state_dict(), of a file that you trust",
    );
  };
}

const isSizes = (value: Value | undefined): value is number[] => Array.isArray(value) && value.every(isSize);

/** Reads what a pickle means by a storage: ("storage", class, key, device, elements[, part of it]). */
function storageOf(id: Value, refuse: Refuse): Storage {
  const [tag, kind, key, , elements, part] = Array.isArray(id) ? id : [];
  if (tag !== "storage" || !(kind instanceof StorageClass) || !isSize(elements)) {
    return refuse("must refer to storages with their class, key and size; it refers to something else");
  }
  const label = String(key);
  if (!/^\w{1,40}$/.test(label)) return refuse(`must name storages by letters and digits; got ${excerpt(label)}`);
  const whole = elements * kind.unit;
  if (part === undefined || part === null) return new Storage(label, kind.type, kind.unit, 0, whole, whole);
  const [, offset, length] = Array.isArray(part) ? part : [];
  if (!isSize(offset) || !isSize(length) || offset + length > elements) {
    return refuse("must have parts of storages within them; one is not");
  }
  return new Storage(label, kind.type, kind.unit, offset * kind.unit, length * kind.unit, whole);
}

type States = Map<string, View>;

/** Keys of training checkpoints, those of averaged weights first: as timm's load_checkpoint, DINO and BasicSR choose. */
const STATES = [
  ...["state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "ema", "teacher"],
  ...["state_dict", "model_state_dict", "model_state", "model", "params", "module", "network", "net", "weights"],
  ...["backbone", "encoder", "student"],
];

const isOptimizer = (dict: Map<Key, Value>): boolean => dict.has("param_groups");

const tensorsOf = (dict: Map<Key, Value>): States =>
  new Map(
    [...dict].filter((entry): entry is [string, View] => typeof entry[0] === "string" && entry[1] instanceof View),
  );

/** Dicts in a dict, by name. */
const dictsOf = (dict: Map<Key, Value>) =>
  [...dict].flatMap(([key, value]) =>
    typeof key === "string" && value instanceof Map && !isOptimizer(value) ? [[key, value] as const] : [],
  );

/** The tensors of a file, and the keys that lead to them. */
function findState(
  root: Value,
  wanted: string | undefined,
  refuse: Refuse,
): { readonly keys: readonly string[]; readonly tensors: States } {
  if (!(root instanceof Map)) {
    return refuse(`must hold a dict of tensors, a state_dict; it holds ${kindOfValue(root)}`);
  }
  // Each dict is looked into once, however often it is referred to.
  const seen = new Map<Map<Key, Value>, string[] | undefined>();
  const ambiguous: string[][] = [];

  function choose(dict: Map<Key, Value>, level: number): string[] | undefined {
    if (seen.has(dict)) return seen.get(dict);
    seen.set(dict, undefined);
    const found = isOptimizer(dict) ? undefined : search(dict, level);
    seen.set(dict, found);
    return found;
  }

  function search(dict: Map<Key, Value>, level: number): string[] | undefined {
    const inside = level === MAX_LEVELS ? [] : dictsOf(dict);
    const paths = inside.flatMap(([key, value]) => {
      const path = choose(value, level + 1);
      return path ? [[key, ...path]] : [];
    });
    for (const name of STATES) {
      const path = paths.find(([key]) => key === name);
      if (path) return path;
    }
    if (tensorsOf(dict).size > 0) return [];
    if (paths.length > 1) ambiguous.push(...paths);
    return paths[0];
  }

  let from: Value = root;
  const keys: string[] = [];
  if (wanted !== undefined) {
    for (const key of root.has(wanted) ? [wanted] : wanted.split("/")) {
      from = from instanceof Map ? (from.get(key) ?? null) : null;
      keys.push(key);
    }
  }
  const path = from instanceof Map ? choose(from, 0) : undefined;
  if (path === undefined) {
    if (wanted !== undefined) {
      const known = dictsOf(root).map(([key]) => key);
      return refuse(`must hold tensors under the state ${excerpt(wanted)}; its dicts are ${listed(known)}`);
    }
    const what = isOptimizer(root) ? "an optimizer's state and no model" : `a dict of ${listed([...root.keys()])}`;
    return refuse(`must hold a dict of tensors, a state_dict; it holds ${what}`);
  }
  if (ambiguous.length > 0 && ambiguous.some((other) => other.join("/") === path.join("/"))) {
    const names = ambiguous.map((other) => other.join("/"));
    return refuse(`must hold one state_dict, or the option state names one; it has ${listed(names)}`);
  }
  let dict = from as Map<Key, Value>;
  for (const key of path) dict = dict.get(key) as Map<Key, Value>;
  return { keys: [...keys, ...path], tensors: tensorsOf(dict) };
}

/** Names for a message. */
function listed(keys: readonly unknown[]): string {
  const shown = keys.slice(0, 8).map((key) => (typeof key === "string" ? excerpt(key, 60) : "a number"));
  return shown.length === 0 ? "none" : shown.join(", ") + (keys.length > 8 ? `, and ${keys.length - 8} more` : "");
}

/** The bytes of a storage. */
interface StorageRecord {
  readonly length: number;
  /** Where they lie among all, so that they can be read in turn. */
  readonly order: number;
  read(target: Uint8Array, at: number): Promise<void>;
}

interface Opened {
  readonly root: Value;
  readonly record: (storage: Storage) => StorageRecord;
  /** Whether elements have their bytes in the other order than here. */
  readonly isBigEndian: boolean;
}

/**
 * Opens a file of torch.save.
 * @param state which part of a training checkpoint is wanted: a key, or keys with "/" between them.
 * @throws Error: one sentence, for what is none, or refers to what it does not have.
 */
export async function openTorch(file: ByteSource, state: string | undefined): Promise<TorchFile> {
  const { name } = file;
  const refuse: Refuse = (found) => {
    throw new Error(`torch: "${name}" ${found}`);
  };
  const first = new Uint8Array(2);
  await file.read(first, 0);
  const opened = await (first[0] === 0x50 ? openArchive : openPickles)(file, refuse);
  const { keys, tensors } = findState(opened.root, state, refuse);
  return { ...layOut(file, tensors, opened, refuse), state: keys };
}

/** What reads a pickle of torch.save. */
const readerOf = (refuse: Refuse) => ({
  global: createGlobals(refuse),
  persistent: (id: Value) => storageOf(id, refuse),
  refuse: (found: string) => refuse(`must have a whole pickle of torch.save; it ${found}`),
});

/** The zip of PyTorch 1.6 and later: ROOT/data.pkl, ROOT/data/KEY, ROOT/byteorder. */
async function openArchive(file: ByteSource, refuse: Refuse): Promise<Opened> {
  const entries = await readDirectory(file, refuse);
  const claimed = entries.reduce((sum, { size }) => sum + size, 0);
  checkExpansion(claimed, file.size, refuse);
  const pickles = entries.filter(({ name }) => /(^|\/)data\.pkl$/.test(name));
  if (pickles.length > 1) refuse(`must have one data.pkl; it has ${pickles.length}`);
  const [pickle] = pickles;
  if (!pickle) return refuse("must have a data.pkl, as the zips of torch.save have, or be an .npz; it is neither");
  const root = pickle.name.slice(0, -"data.pkl".length);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  if (byName.has(`${root}constants.pkl`) || byName.has(`${root}bytecode.pkl`)) {
    refuse(
      "must be of torch.save; it is a TorchScript archive: in Python, safetensors.torch.save_file(" +
        "torch.jit.load(path, map_location='cpu').state_dict(), 'model.safetensors')",
    );
  }
  if (pickle.size > MAX_PICKLE) refuse(`must have a pickle of at most ${MAX_PICKLE} bytes; it has ${pickle.size}`);
  const bytes = await readEntry(file, pickle, refuse);
  if (pickle.crc !== 0 && crc32(bytes) !== pickle.crc)
    refuse("must have the pickle that its directory says; its CRC differs");
  const order = byName.get(`${root}byteorder`);
  const isBigEndian = order?.size === 3 && new TextDecoder().decode(await readEntry(file, order, refuse)) === "big";
  const record = createRecords(file, refuse);
  return {
    root: unpickle(bytes, 0, readerOf(refuse)).value,
    isBigEndian,
    record({ key }) {
      const entry = byName.get(`${root}data/${key}`);
      return entry ? record(entry) : refuse(`must have the storages that it refers to; there is no data/${key}`);
    },
  };
}

function checkExpansion(claimed: number, size: number, refuse: Refuse): void {
  const most = Math.max(MAX_EXPANSION * size, FREE_EXPANSION);
  if (claimed > most) refuse(`of ${size} bytes may unpack to ${most} at most; it claims ${claimed}`);
}

/** Entries as records; of those that are deflated, the last one is kept while its tensors are read. */
function createRecords(file: ByteSource, refuse: Refuse): (entry: ZipEntry) => StorageRecord {
  const stored = new Set<ZipEntry>();
  let held: { readonly entry: ZipEntry; readonly bytes: Uint8Array } | undefined;
  let begins: Promise<Map<ZipEntry, number>> | undefined;
  /** All at once, as each takes a small read before its data. */
  async function findBegins(): Promise<Map<ZipEntry, number>> {
    const all = [...stored].map(async (entry) => [entry, await beginOf(file, entry, refuse)] as const);
    return new Map(await Promise.all(all));
  }
  return (entry) => {
    if (!entry.deflated) stored.add(entry);
    return {
      length: entry.size,
      order: entry.begin,
      async read(target, at) {
        if (!entry.deflated) {
          begins ??= findBegins();
          return file.read(target, (await begins).get(entry)! + at);
        }
        if (held?.entry !== entry) {
          held = undefined;
          held = { entry, bytes: await readEntry(file, entry, refuse) };
        }
        target.set(held.bytes.subarray(at, at + target.length));
      },
    };
  };
}

/** What files before PyTorch 1.6 begin with (torch/serialization.py), and the version that follows. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;

/**
 * Files before PyTorch 1.6: pickles of a magic number, a version, the machine's sizes, the value and the keys of storages, then
 * each storage, with its number of elements before it.
 */
async function openPickles(file: ByteSource, refuse: Refuse): Promise<Opened> {
  const storages = new Map<string, Storage>();
  const reader = readerOf(refuse);
  const persistent = (id: Value) => {
    const storage = reader.persistent(id) as Storage;
    const known = storages.get(storage.key);
    if (known && known.whole !== storage.whole) refuse(`must give the storage ${storage.key} one size; it has two`);
    storages.set(storage.key, known ?? storage);
    return storage;
  };
  const cut = new Error();
  for (let length = FIRST_PICKLES; ; length = Math.min(4 * length, MAX_PICKLE)) {
    const bytes = new Uint8Array(Math.min(length, file.size));
    await file.read(bytes, 0);
    const isAll = bytes.length === file.size || length === MAX_PICKLE;
    let at = 0;
    const next = (): Value => {
      const { value, end } = unpickle(bytes, at, {
        ...reader,
        persistent,
        refuse(found) {
          if (found === CUT && !isAll) throw cut;
          return reader.refuse(found);
        },
      });
      at = end;
      return value;
    };
    try {
      if (next() !== MAGIC)
        refuse("must be of torch.save; it is a pickle of something else: in Python, torch.save it as a state_dict");
      const version = next();
      if (version !== VERSION) refuse(`must be of version ${VERSION} of torch.save; it is of another`);
      const system = next();
      const root = next();
      const keys = next();
      const isBigEndian = system instanceof Map && system.get("little_endian") === false;
      const records = await recordsOf(file, at, keys, storages, refuse);
      return {
        root,
        isBigEndian,
        record: ({ key }) => records.get(key) ?? refuse(`must have the storages that it refers to; there is no ${key}`),
      };
    } catch (error) {
      if (error !== cut) throw error;
      storages.clear();
    }
  }
}

/** Where storages lie behind the pickles. */
async function recordsOf(
  file: ByteSource,
  begin: number,
  keys: Value,
  storages: ReadonlyMap<string, Storage>,
  refuse: Refuse,
): Promise<Map<string, StorageRecord>> {
  if (!Array.isArray(keys)) return refuse("must list the keys of its storages; it does not");
  const records = new Map<string, StorageRecord>();
  let at = begin;
  for (const key of keys) {
    const storage = storages.get(String(key)) ?? refuse("must list the storages that it refers to; it lists another");
    if (records.has(storage.key)) refuse(`must list each storage once; it lists ${storage.key} twice`);
    const length = storage.whole;
    const order = at + 8;
    if (order + length > file.size) refuse(`must have the ${length} bytes of storage ${storage.key}; it is cut short`);
    const count = new DataView(new ArrayBuffer(8));
    await file.read(new Uint8Array(count.buffer), at);
    // In the byte order of the machine that wrote it.
    const elements = [true, false].map((isLittle) => Number(count.getBigInt64(0, isLittle)) * storage.unit);
    if (!elements.includes(length)) refuse(`must say one size of storage ${storage.key}; it says two`);
    records.set(storage.key, { length, order, read: (target, offset) => file.read(target, order + offset) });
    at = order + length;
  }
  return records;
}

/** A tensor with its bytes, in the order of a C array, at `begin` of all. */
interface Piece {
  readonly view: View;
  readonly size: number;
  readonly record: StorageRecord;
  /** Of the first element, in the record. */
  readonly first: number;
  readonly begin: number;
  readonly end: number;
}

/** Tensors end to end, as if a safetensors file held them, in the order of their bytes in the file. */
function layOut(
  file: ByteSource,
  tensors: States,
  { record: recordOf, isBigEndian }: Opened,
  refuse: Refuse,
): Omit<TorchFile, "state"> {
  const pieces: (Omit<Piece, "begin" | "end"> & { name: string; bytes: number })[] = [];
  const infos: TensorInfo[] = [];
  for (const [name, view] of tensors) {
    const { type, shape, at } = view;
    const size = (elementBits(type) ?? 0) / 8;
    if (!at) {
      infos.push({ name, dtype: type, shape, begin: 0, end: 0, file: file.name });
      continue;
    }
    const { storage, offset } = at;
    const record = recordOf(storage);
    if (record.length !== storage.whole) {
      refuse(`must have ${storage.whole} bytes in storage ${storage.key}; it has ${record.length}`);
    }
    const bytes = shape.reduce((product, n) => product * n, size);
    pieces.push({ name, view, size, record, first: storage.begin + offset * size, bytes });
  }
  pieces.sort((a, b) => a.record.order - b.record.order || a.first - b.first);
  let end = 0;
  const placed = pieces.map(({ name, bytes, ...piece }): Piece => {
    const begin = end;
    end += bytes;
    const { type, shape } = piece.view;
    infos.push({ name, dtype: type, shape, begin, end, file: file.name });
    return { ...piece, begin, end };
  });
  checkExpansion(end, file.size, refuse);
  const source: ByteSource = {
    name: file.name,
    size: end,
    read: createReading(placed, isBigEndian),
    finish: async () => {},
    close: async () => {},
  };
  return { source, tensors: infos, end };
}

/** Reads from pieces, in each of which the target has to lie. */
function createReading(pieces: readonly Piece[], isBigEndian: boolean): ByteSource["read"] {
  let held: { readonly piece: Piece; readonly bytes: Uint8Array } | undefined;
  return async (target, position) => {
    const piece = pieceAt(pieces, position);
    const { view, size, record, first, begin } = piece;
    const at = position - begin;
    if (isContiguous(view)) {
      await record.read(target, first + at);
    } else {
      // Rows of a matrix that is stored by columns have elements everywhere in it.
      if (held?.piece !== piece) {
        held = undefined;
        const bytes = new Uint8Array(spanOf(view) * size);
        await record.read(bytes, first);
        held = { piece, bytes };
      }
      gather(held.bytes, view, size, at / size, target);
      if (position + target.length === piece.end) held = undefined;
    }
    if (isBigEndian) swap(target, size);
  };
}

/** The piece that has the byte at `position`. */
function pieceAt(pieces: readonly Piece[], position: number): Piece {
  let [low, high] = [0, pieces.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle]!.end <= position) low = middle + 1;
    else high = middle;
  }
  return pieces[low]!;
}

/** Whether elements lie in the order of a C array, without gaps. */
function isContiguous({ shape, at }: View): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && at!.strides[i] !== step) return false;
    step *= shape[i]!;
  }
  return true;
}

/** Elements of the storage from the first to the last one of a tensor. */
const spanOf = ({ shape, at }: View): number =>
  shape.reduce((last, size, i) => last + (size - 1) * at!.strides[i]!, 0) + 1;

/** Fills `target` with a tensor's elements from the `start`-th on, in the order of a C array. */
function gather(bytes: Uint8Array, { shape, at }: View, size: number, start: number, target: Uint8Array): void {
  // Eight bytes are two words of four.
  const word = Math.min(size, 4);
  const words = size / word;
  const Words = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[word as 1 | 2 | 4];
  const from = new Words(bytes.buffer as ArrayBuffer);
  const isAligned = target.byteOffset % word === 0;
  const to = isAligned
    ? new Words(target.buffer as ArrayBuffer, target.byteOffset, target.length / word)
    : new Words(target.length / word);
  const { strides } = at!;
  const last = shape.length - 1;
  const index = new Array<number>(shape.length);
  let rest = start;
  let begin = 0;
  for (let i = last; i >= 0; i--) {
    index[i] = rest % shape[i]!;
    rest = Math.floor(rest / shape[i]!);
    begin += index[i]! * strides[i]!;
  }
  const step = strides[last]!;
  for (let next = 0; next < to.length; ) {
    const run = Math.min(shape[last]! - index[last]!, (to.length - next) / words);
    for (let i = 0, position = begin; i < run; i++, position += step) {
      for (let j = 0; j < words; j++) to[next++] = from[position * words + j]!;
    }
    // The next row: the last index that can be counted up, and zeros behind it.
    begin -= index[last]! * step;
    index[last] = 0;
    for (let i = last - 1; i >= 0; i--) {
      begin += strides[i]!;
      if (++index[i]! < shape[i]!) break;
      begin -= shape[i]! * strides[i]!;
      index[i] = 0;
    }
  }
  if (!isAligned) target.set(new Uint8Array(to.buffer));
}

/** Turns the bytes of each element around. */
function swap(bytes: Uint8Array, size: number): void {
  for (let at = 0; size > 1 && at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}
