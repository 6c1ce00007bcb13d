/**
 * The names that a pickle of torch.save may import, as torch.load allows them with weights_only=True
 * (torch/_weights_only_unpickler.py), and a few plain objects that training scripts save beside the weights. Nothing else is run,
 * and of these only what makes tensors.
 */
import { excerpt } from "../../json.js";
import { Global, type Key, Opaque, type Value } from "../pickle.js";
import { elementBits, type TensorInfo } from "../safetensors.js";

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
export class Storage {
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
export class View {
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
export type Refuse = (found: string) => never;

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Finds what a pickle of torch.save may import; nothing else is run, whatever its name. */
export function createGlobals(refuse: Refuse): (name: string) => Global {
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
          : new Opaque("a numpy.dtype of objects", true),
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
export function storageOf(id: Value, refuse: Refuse): Storage {
  const [tag, kind, key, , elements, part] = Array.isArray(id) ? id : [];
  if (tag !== "storage" || !(kind instanceof StorageClass) || !isSize(elements)) {
    return refuse("must refer to storages with their class, key and size; it refers to something else");
  }
  if (typeof key !== "string" || !/^\w{1,40}$/.test(key)) {
    return refuse(`must name storages by letters and digits; got ${excerpt(key)}`);
  }
  const whole = elements * kind.unit;
  if (part === undefined || part === null) return new Storage(key, kind.type, kind.unit, 0, whole, whole);
  const [, offset, length] = Array.isArray(part) ? part : [];
  if (!isSize(offset) || !isSize(length) || offset + length > elements) {
    return refuse("must have parts of storages within them; one is not");
  }
  return new Storage(key, kind.type, kind.unit, offset * kind.unit, length * kind.unit, whole);
}
