/** Pickles and archives made by hand: every opcode of Python's pickletools, every limit, and what a zip can lie about. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { readCheckpoint } from "./tensors.js";
import { type Member, zip } from "./zip.js";

/** Characters up to 255 as bytes. */
const bytes = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
const number4 = (n: number) => String.fromCharCode(n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >>> 24) & 255);
const number8 = (n: bigint) => number4(Number(n & 0xffffffffn)) + number4(Number(n >> 32n));
/** BINUNICODE, and GLOBAL. */
const text = (value: string) => `X${number4(value.length)}${value}`;
const global = (module: string, name: string) => `c${module}\n${name}\n`;

/** What of a tensor and its storage a pickle says. */
interface Says {
  readonly id?: string;
  readonly kind?: string;
  readonly key?: string;
  readonly elements?: string;
  readonly offset?: string;
  readonly shape?: string;
  readonly strides?: string;
}

/** A tensor of four floats, as torch.save writes it. */
function tensor({ kind = global("torch", "FloatStorage"), key = text("0"), ...says }: Says = {}): string {
  const { elements = "K\x04", offset = "K\x00", shape = "(K\x04t", strides = "(K\x01t" } = says;
  const id = says.id ?? `(${text("storage")}${kind}${key}${text("cpu")}${elements}t`;
  const hooks = `${global("collections", "OrderedDict")})R`;
  return `${global("torch._utils", "_rebuild_tensor_v2")}(${id}Q${offset}${shape}${strides}\x89${hooks}tR`;
}

/** A pickle of {"x": a tensor, "y": a value}. */
const pickleOf = (value: string, x = tensor()) => `\x80\x02}${text("x")}${x}s${text("y")}${value}s.`;

const DATA = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer);

const membersOf = (pickle: string): Member[] => [
  { name: "archive/data.pkl", data: bytes(pickle) },
  { name: "archive/data/0", data: DATA },
];

const read = (file: Uint8Array) => readCheckpoint({ weights: file });

/** Reads an archive whose "x" must be there. */
async function readX(members: readonly Member[]): Promise<void> {
  const tensors = await read(zip(members));
  assert.deepEqual(Buffer.from(tensors.get("x")!.bytes), Buffer.from(DATA));
}

const refused = (file: Uint8Array, message: RegExp, what: string) =>
  assert.rejects(read(file), (error: Error) => {
    assert.equal(error.name, "Error", `${what}: ${error.stack}`);
    assert.match(error.message, /^torch: "weights" [^\n]{1,400}$/, what);
    assert.match(error.message, message, what);
    return true;
  });

/** Expressions of one value, by the opcodes that they are there for. */
const VALUES: Readonly<Record<string, string>> = {
  "MARK TUPLE": "(K\x01K\x02t",
  "MARK LIST": "(K\x01l",
  "MARK DICT": `(${text("a")}K\x01d`,
  POP: "K\x01K\x020",
  POP_MARK: "K\x01(K\x02K\x031",
  DUP: "(N2t",
  FLOAT: "F0.5\n",
  BINFLOAT: "G\x3f\xe0\0\0\0\0\0\0",
  "INT, also of booleans": "(I-7\nI01\nI00\nt",
  BININT: "J\xff\xff\xff\xff",
  BININT1: "K\x07",
  BININT2: "M\x07\x01",
  LONG: "L123L\n",
  LONG1: "\x8a\x02\xff\x7f",
  LONG4: `\x8b${number4(9)}${"\xff".repeat(9)}`,
  NONE: "N",
  NEWTRUE: "\x88",
  NEWFALSE: "\x89",
  STRING: "S'a\\n\\x41'\n",
  BINSTRING: `T${number4(2)}a\xff`,
  SHORT_BINSTRING: "U\x02a\xff",
  UNICODE: "Va\\u00e9\n",
  SHORT_BINUNICODE: "\x8c\x02\xc3\xa9",
  BINUNICODE: text("abc"),
  BINUNICODE8: `\x8d${number8(3n)}abc`,
  SHORT_BINBYTES: "C\x02\0\xff",
  BINBYTES: `B${number4(2)}\0\xff`,
  BINBYTES8: `\x8e${number8(2n)}\0\xff`,
  BYTEARRAY8: `\x96${number8(2n)}\0\xff`,
  EMPTY_TUPLE: ")",
  TUPLE1: "K\x01\x85",
  TUPLE2: "K\x01K\x02\x86",
  TUPLE3: "K\x01K\x02K\x03\x87",
  "EMPTY_LIST APPEND": "]K\x01a",
  APPENDS: "](K\x01K\x02e",
  "EMPTY_DICT SETITEM": `}${text("a")}K\x01s`,
  SETITEMS: `}(${text("a")}K\x01K\x02Nu`,
  "EMPTY_SET ADDITEMS": "\x8f(K\x01\x90",
  FROZENSET: "(K\x01\x91",
  "PUT GET": "Np9\n0g9\n",
  "BINPUT BINGET": "Nq\x090h\x09",
  "LONG_BINPUT LONG_BINGET": `Nr${number4(-1)}0j${number4(-1)}`,
  MEMOIZE: "N\x940h\0",
  GLOBAL: global("torch", "float32"),
  STACK_GLOBAL: `${text("torch")}${text("float32")}\x93`,
  REDUCE: `${global("torch", "Size")}(K\x01t\x85R`,
  "NEWOBJ BUILD": `${global("argparse", "Namespace")})\x81}b`,
  NEWOBJ_EX: `${global("argparse", "Namespace")})}\x92`,
  INST: "(iargparse\nNamespace\n",
  OBJ: `(${global("argparse", "Namespace")}o`,
  BINPERSID: `(${text("storage")}${global("torch", "LongStorage")}${text("0")}${text("cpu")}K\x02tQ`,
  FRAME: `\x95${number8(1n)}N`,
  PROTO: "\x80\x05N",
};

const NAMED_TWICE = { MARK: 1, STOP: 1 };
/** All of CPython's Lib/pickletools.py; those that are not read have a refusal below. */
const OPCODES =
  "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 " +
  "BYTEARRAY8 NEXT_BUFFER READONLY_BUFFER NONE NEWTRUE NEWFALSE UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT " +
  "BINFLOAT EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS " +
  "EMPTY_SET ADDITEMS FROZENSET POP DUP MARK POP_MARK GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE EXT1 EXT2 " +
  "EXT4 GLOBAL STACK_GLOBAL REDUCE BUILD INST OBJ NEWOBJ NEWOBJ_EX PROTO STOP FRAME PERSID BINPERSID";

const PICKLE = /must have a whole pickle of torch.save; it /;

/** Pickles that are refused, and why. */
const REFUSED: Readonly<Record<string, readonly [value: string, message: RegExp]>> = {
  EXT1: ["\x82\x01", /opcode EXT1/],
  EXT2: ["\x83\x01\0", /opcode EXT2/],
  EXT4: [`\x84${number4(1)}`, /opcode EXT4/],
  PERSID: ["P0\n", /opcode PERSID/],
  NEXT_BUFFER: ["\x97", /opcode NEXT_BUFFER/],
  READONLY_BUFFER: ["N\x98", /opcode READONLY_BUFFER/],

  "a text that goes on behind the end": [`X${number4(1000)}a`, /cut short/],
  "a text of 2^63 bytes": [`\x8d${number8(2n ** 63n - 1n)}a`, /cut short/],
  "an integer of 2^31 bytes": [`\x8b${number4(2 ** 31 - 1)}a`, /cut short/],
  "an integer of 257 bytes": [`\x8b${number4(257)}${"\x01".repeat(257)}`, /integer of 257 bytes; at most 256/],
  "an integer of a million digits": [`L${"1".repeat(1e6)}L\n`, /line of more than 1000 bytes/],
  "an integer of letters": ["Iabc\n", /a number that is none/],
  "a frame of 2^62 bytes": [`\x95${number8(2n ** 62n)}N`, /cut short/],
  "protocol 6": ["\x80\x06N", /protocol 6; 5 is the highest/],
  "a line without an end": [`c${"a".repeat(100)}`, /cut short/],
  "a text that is not UTF-8": [`X${number4(1)}\xff`, /not UTF-8/],
  "a text without quotes": ["Sabc\n", /without quotes/],
  "a value that is not there": ["0000000000N", /takes a value that is not there/],
  "a tuple across a mark": ["(K\x01\x87", /takes a value that is not there/],
  "marks without an end": ["((((N", /takes a value that is not there/],
  "values up to no mark": ["t", /a mark that is not there/],
  "a value that was not kept": ["h\x63", /recalls a value that was not kept/],
  "a key without a value": ["}(K\x01u", /a key without a value/],
  "items of a list": ["]K\x01K\x02s", /sets items of what is no dict/],
  "appending to a text": [`${text("a")}K\x01a`, /appends to what is no list/],
  "adding to a dict": ["}(K\x01\x90", /adds to what is no set/],
  "a key that is a list": ["}]K\x01s", /key is no text or number/],
  "attributes of a number": ["K\x01}b", /sets attributes of what has none/],
  "attributes of a name": [`${global("torch", "float32")}}b`, /sets attributes of what has none/],
  "a call of a text": [`${text("a")})R`, /calls what is no function/],
  "a call of a name": [`${global("torch", "float32")})R`, /calls torch.float32, which is a name only/],
  "a call without arguments": [`${global("torch", "Size")}NR`, /with what are no arguments/],
  "a name that is none": ["K\x01K\x02\x93", /imports what is no name/],
  "an opcode that does not exist": ["\xff", /the opcode 255, which does not exist/],
  "a value too many": ["NNN", /ends with more than one value|sets items/],
  "lists in lists without end": ["]".repeat(2 ** 17 + 1), /makes more than 131072 lists and dicts/],
  "steps without end": [`${"N0".repeat(2 ** 19)}N`, /takes more than 1048576 steps/],
  "memory without end": [`N${"\x94".repeat(2 ** 18 + 1)}`, /keeps more than 262144 values/],
};

test("every opcode is read, or refused by its name", async (t) => {
  for (const [what, value] of Object.entries(VALUES)) {
    await t.test(what, () => readX(membersOf(pickleOf(value))));
  }
  const tested = [...Object.keys(VALUES), ...Object.keys(REFUSED), ...Object.keys(NAMED_TWICE)].join(" ");
  const missing = OPCODES.split(" ").filter((name) => !new RegExp(`\\b${name}\\b`).test(tested));
  assert.deepEqual(missing, []);
  assert.equal(new Set(OPCODES.split(" ")).size, 68);
});

test("opcodes that Python does not have are refused", async () => {
  const known =
    "(.0123FIJKLMNPQRSTUVX]abcdeghijloprqstu})GBC\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f";
  const all = new Set(bytes(known + "\x90\x91\x92\x93\x94\x95\x96\x97\x98".concat("2")));
  for (let opcode = 0; opcode < 256; opcode++) {
    if (all.has(opcode) && opcode !== 0x33) continue;
    const file = zip(membersOf(pickleOf(String.fromCharCode(opcode))));
    await refused(file, /which does not exist/, `opcode ${opcode}`);
  }
});

test("pickles that are broken or too much are refused in one sentence", async (t) => {
  for (const [what, [value, message]] of Object.entries(REFUSED)) {
    await t.test(what, async () => {
      const file = zip(membersOf(pickleOf(value)));
      await refused(file, message, what);
      await refused(file, PICKLE, what);
    });
  }
});

/** What is imported that is not torch.save's, and calls of what is with other arguments. */
const IMPORTS: Readonly<Record<string, readonly [value: string, message: RegExp]>> = {
  "os.system": [`${global("posix", "system")}(${text("true")}tR`, /imports posix\.system, which is not run/],
  eval: [global("builtins", "eval"), /imports builtins\.eval/],
  "eval of Python 2": [global("__builtin__", "eval"), /imports __builtin__\.eval/],
  "a name with dots": [global("torch.serialization", "os.system"), /imports torch\.serialization\.os\.system/],
  "a name of JavaScript": [global("constructor", "constructor"), /imports constructor\.constructor/],
  __proto__: [global("__proto__", "__proto__"), /imports __proto__\.__proto__/],
  "a storage that is none": [global("torch", "FooStorage"), /imports torch\.FooStorage/],
  "a pickle in bytes": [global("torch.storage", "_load_from_bytes"), /imports torch\.storage\._load_from_bytes/],
  "a whole module": [global("torch.nn.modules.container", "Sequential"), /imports torch\.nn\.modules.*state_dict/],
  "INST of another class": ["(iposix\nsystem\n", /imports posix\.system/],
  "STACK_GLOBAL of another": [`${text("posix")}${text("system")}\x93`, /imports posix\.system/],
  "another codec": [`${global("_codecs", "encode")}(${text("a")}${text("hex")}tR`, /latin1 or utf-8 alone/],
  "bytes of a number": [`${global("builtins", "bytearray")}(J${number4(2 ** 30)}tR`, /no bytes of a number/],
  "objects of numpy": [`${global("numpy", "dtype")}(${text("O8")}\x89\x88tR`, /a numpy\.dtype of objects/],
  "objects of numpy, and a function": [
    `(${global("numpy", "dtype")}(${text("O8")}\x89\x88tR${global("posix", "system")}t`,
    /imports posix\.system/,
  ],
  "a tensor of another function": [
    `${global("torch._tensor", "_rebuild_from_type_v2")}(${global("collections", "OrderedDict")}${global("torch", "Tensor")})}tR`,
    /by functions that are known/,
  ],
  "a type that is none": [
    `${global("torch._utils", "_rebuild_tensor_v3")}((${text("storage")}${global("torch.storage", "UntypedStorage")}${text("0")}${text("cpu")}K\x10tQK\0(K\x04t(K\x01t\x89NNtR`,
    /a torch\.dtype; one has something else/,
  ],
  "a dict of no pairs": [`${global("collections", "OrderedDict")}(K\x01tR`, /of pairs of a text and a value/],
};

test("nothing is run that is not torch.save's", async (t) => {
  for (const [what, [value, message]] of Object.entries(IMPORTS)) {
    await t.test(what, () => refused(zip(membersOf(pickleOf(value))), message, what));
  }
});

/** Tensors and storages that are not as they say. */
const TENSORS: Readonly<Record<string, readonly [says: Says, message: RegExp]>> = {
  "more elements than the storage": [{ shape: "(K\x05t" }, /within their storages; one of \[5\] reaches beyond/],
  "an offset beyond": [{ offset: "K\x03", shape: "(K\x02t" }, /reaches beyond/],
  "a stride beyond": [{ shape: "(K\x02t", strides: "(K\x04t" }, /reaches beyond/],
  "a negative size": [{ shape: "(J\xfc\xff\xff\xfft" }, /whole numbers; one has others/],
  "a negative stride": [{ strides: "(J\xff\xff\xff\xfft" }, /whole numbers; one has others/],
  "a negative offset": [{ offset: "J\xff\xff\xff\xff" }, /whole numbers; one has others/],
  "a size of 4.0": [{ shape: "(G\x40\x10\0\0\0\0\0\0t" }, /whole numbers; one has others/],
  "a size that is true": [{ shape: "(\x88t" }, /whole numbers; one has others/],
  "two sizes and a stride": [{ shape: "(K\x02K\x02t" }, /as many strides/],
  "2^62 elements": [{ shape: `(\x8a\x08${number8(2n ** 62n)}t`, strides: "(K\0t" }, /whole numbers; one has others/],
  "2^66 elements": [
    { shape: `(${`\x8a\x05${number8(2n ** 33n).slice(0, 5)}`.repeat(2)}t`, strides: "(K\0K\0t" },
    /that fit a file; one is of/,
  ],
  "elements that are repeated to 2 GB": [
    { shape: `(J${number4(2 ** 29)}t`, strides: "(K\0t" },
    /of \d+ bytes may unpack to 16777216 at most; it claims 2147483648/,
  ],
  "65 dimensions": [{ shape: `(${"K\x01".repeat(65)}t`, strides: `(${"K\x01".repeat(65)}t` }, /at most 64 dimensions/],
  "a storage that is said to be larger": [{ elements: "M\x90\x01" }, /must have 1600 bytes in storage 0; it has 16/],
  "a storage of another type": [
    { kind: global("torch", "DoubleStorage") },
    /must have 32 bytes in storage 0; it has 16/,
  ],
  "a storage that is not there": [{ key: text("17") }, /there is no data\/17/],
  "a key that leads elsewhere": [{ key: text("../0") }, /by letters and digits/],
  "a key that is a list": [{ key: "]" }, /by letters and digits/],
  "a key that is a list of one": [{ key: `]${text("0")}a` }, /by letters and digits/],
  "a negative number of elements": [
    { elements: "J\xff\xff\xff\xff" },
    /refer to storages with their class, key and size/,
  ],
  "an id that is a text": [{ id: text("0") }, /refer to storages with their class, key and size/],
  "an id of a module": [
    { id: `(${text("module")}${global("torch", "FloatStorage")}${text("0")}${text("cpu")}K\x04t` },
    /refer to storages with their class/,
  ],
  "a class that is none": [{ kind: global("torch", "float32") }, /refer to storages with their class/],
  "bytes of no type": [
    { kind: global("torch.storage", "UntypedStorage"), elements: "K\x10" },
    /of a type; one is of bytes/,
  ],
};

test("tensors beyond what there is are refused before memory is taken", async (t) => {
  for (const [what, [says, message]] of Object.entries(TENSORS)) {
    await t.test(what, async () => {
      const pickle = pickleOf("N", tensor(says));
      await assert.rejects(read(zip(membersOf(pickle))), (error: Error) => {
        assert.equal(error.name, "Error");
        assert.match(error.message, /^(torch|checkpoint): [^\n]*"weights"[^\n]*$/);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});

const GOOD = membersOf(pickleOf("N"));
const [PKL, STORAGE] = GOOD as [Member, Member];
const PKL_END = 30 + PKL.name.length + PKL.data.length;

/** Archives that two readers could understand differently, or that lie. */
const ARCHIVES: Readonly<Record<string, readonly [file: Uint8Array, message: RegExp]>> = {
  "no data.pkl": [zip([STORAGE]), /must have a data\.pkl/],
  "two of the same name": [zip([PKL, STORAGE, STORAGE]), /each entry once; it has "archive\/data\/0" twice/],
  "two pickles": [zip([...GOOD, { ...PKL, name: "other/data.pkl" }]), /one data\.pkl; it has 2/],
  "entries that share their bytes": [
    zip([PKL, STORAGE, { ...STORAGE, name: "archive/data/1", at: PKL_END }]),
    /must have room for the 16 bytes/,
  ],
  "an entry beyond the file": [zip([PKL, { ...STORAGE, at: 2 ** 31 }]), /must have room for the 16 bytes/],
  "an entry where nothing is": [zip([PKL, { ...STORAGE, at: PKL_END + 1 }]), /must have room|where its directory says/],
  "an entry in another": [
    zip([{ ...STORAGE, name: "archive/data/1" }, PKL, { ...STORAGE, at: 4 }]),
    /must have room for/,
  ],
  "an entry that is encrypted": [zip([PKL, { ...STORAGE, flags: 1 }]), /"archive\/data\/0" is encrypted/],
  "an entry by Zstandard": [zip([PKL, { ...STORAGE, method: 93 }]), /packed by method 93/],
  "a stored entry of two sizes": [zip([PKL, { ...STORAGE, size: 4096 }]), /claims 16 bytes packed and 4096 unpacked/],
  "a deflated entry that gives more": [
    zip([PKL, { ...STORAGE, data: new Uint8Array(4096), deflate: true, size: 16 }]),
    /must inflate "archive\/data\/0" to 16 bytes; it gives more/,
  ],
  "a deflated entry that gives less": [
    zip([PKL, { ...STORAGE, data: DATA.subarray(0, 8), deflate: true, size: 16 }]),
    /to 16 bytes; it gives 8/,
  ],
  "a deflated entry that is none": [
    zip([PKL, { ...STORAGE, data: new Uint8Array(16).fill(255), method: 8 }]),
    /must hold deflated bytes in "archive\/data\/0"; they are broken/,
  ],
  "48 MiB of zeros": [
    zip([PKL, { ...STORAGE, data: new Uint8Array(48 * 2 ** 20), deflate: true }]),
    /may unpack to 16777216 at most; it claims/,
  ],
  "a pickle of 16 MiB": [
    zip([{ ...PKL, data: new Uint8Array(2 ** 24 + 1) }, STORAGE]),
    /a pickle of at most 16777216 bytes; it has 16777217/,
  ],
  "a pickle with a wrong CRC": [zip([{ ...PKL, crc: 1 }, STORAGE]), /its CRC differs/],
  "an archive that is cut": [zip(GOOD).subarray(0, 300), /cut short or broken/],
  TorchScript: [
    zip([...GOOD, { name: "archive/constants.pkl", data: DATA }]),
    /a TorchScript archive.*torch\.jit\.load/,
  ],
};

test("archives that lie are refused", async (t) => {
  for (const [what, [file, message]] of Object.entries(ARCHIVES)) {
    await t.test(what, () => refused(file, message, what));
  }
});

test("archives that are only odd are read", async (t) => {
  const odd: Record<string, readonly Member[]> = {
    "as torch.save writes them": GOOD,
    "no CRC": [{ ...PKL, crc: 0 }, STORAGE],
    "a root without a name": [
      { ...PKL, name: "data.pkl" },
      { ...STORAGE, name: "data/0" },
    ],
    "a root with folders": [
      { ...PKL, name: "a/b c/data.pkl" },
      { ...STORAGE, name: "a/b c/data/0" },
    ],
    "names that would lead elsewhere": [...GOOD, { name: "../../evil.sh", data: DATA }, { name: "/etc/x", data: DATA }],
    "all of it deflated": GOOD.map((member) => ({ ...member, deflate: true })),
    "another pickle behind the first": [{ ...PKL, data: bytes(`${pickleOf("N")}cposix\nsystem\n.`) }, STORAGE],
  };
  for (const [what, members] of Object.entries(odd)) await t.test(what, () => readX(members));
  await t.test("a comment with the end of another archive in it", async () => {
    const comment = zip([STORAGE]).subarray(-22);
    const file = Buffer.concat([zip(GOOD), comment]);
    file.writeUInt16LE(comment.length, file.length - comment.length - 2);
    // The other's directory lies elsewhere than its bytes are, or the first is taken: no mixture of the two.
    await read(file).then(
      (tensors) => assert.deepEqual(Buffer.from(tensors.get("x")!.bytes), Buffer.from(DATA)),
      (error) => assert.match(error.message, /^torch: /),
    );
  });
});

test("names of Python that mean something in JavaScript change nothing", async () => {
  const names = ["__proto__", "constructor", "toString", "length", "then", ""];
  const pickle = `\x80\x02}(${names.map((name) => text(name) + tensor()).join("")}u.`;
  const tensors = await read(zip(membersOf(pickle)));
  assert.deepEqual([...tensors.keys()], names);
  await readX(membersOf(pickleOf(`}${text("__proto__")}}${text("polluted")}\x88ss}${text("polluted")}\x88sb`)));
  assert.equal((Object.prototype as { polluted?: unknown }).polluted, undefined);
});

test("what refers to itself or to much at once is walked once", async () => {
  // Each holds ten references to the one before, 24 times: 10^24 if all were walked.
  const chain = (empty: string, end: string, item: (recall: string, i: number) => string) => {
    const link = (level: number) => {
      const items = Array.from({ length: 10 }, (_, i) => item(`h${String.fromCharCode(level)}`, i));
      return `0${empty}(${items.join("")}${end}q${String.fromCharCode(level + 1)}`;
    };
    return `${empty}q\0${Array.from({ length: 24 }, (_, level) => link(level)).join("")}`;
  };
  await readX(membersOf(pickleOf(chain("]", "e", (recall) => recall))));
  await readX(membersOf(pickleOf(chain("}", "u", (recall, i) => text(`key ${i}`) + recall))));
  await readX(membersOf(pickleOf(`}q\0${text("self")}h\0s`)));
});

/** A dict of values, by their keys. */
const dict = (entries: Readonly<Record<string, string>>): string =>
  `}(${Object.entries(entries)
    .map(([key, value]) => text(key) + value)
    .join("")}u`;

test("of a training checkpoint, the part is taken that evaluation uses, or that is named; of equals none is guessed", async () => {
  const weights = dict({ x: tensor() });
  const optimizer = dict({ state: dict({ x: tensor() }), param_groups: "]" });
  const cases: [value: string, wanted: string | undefined, expected: string | RegExp | undefined][] = [
    [weights, undefined, undefined],
    [dict({ x: tensor(), config: dict({ y: "N" }) }), undefined, undefined],
    [dict({ model: weights, optimizer }), undefined, "model"],
    [dict({ my_model: weights, optimizer, epoch: "K\x01" }), undefined, "my_model"],
    [dict({ model: weights, model_ema: weights }), undefined, "model_ema"],
    [dict({ model: weights, model_ema: weights }), "model", "model"],
    [dict({ student: weights, teacher: weights }), undefined, "teacher"],
    [dict({ encoder: weights, predictor: weights, target_encoder: weights }), undefined, "target_encoder"],
    [dict({ ema: dict({ decay: "N", shadow: weights }), model: weights }), undefined, "ema/shadow"],
    [dict({ all: dict({ teacher: weights, student: weights }) }), "all/student", "all/student"],
    [dict({ "a/b": weights, c: weights }), "a/b", "a/b"],
    [dict({ one: weights, two: weights }), undefined, /the option state names one; it has "one", "two"$/],
    [dict({ all: dict({ one: weights, two: weights }) }), undefined, /it has "all\/one", "all\/two"$/],
    [dict({ all: dict({ one: weights, two: weights }) }), "all", /it has "all\/one", "all\/two"$/],
    [dict({ model: weights }), "teacher", /under the state "teacher"; its dicts are "model"$/],
    [dict({ model: weights }), "__proto__", /under the state "__proto__"; its dicts are "model"$/],
    [dict({ model: weights, n: "K\x01" }), "n", /under the state "n"; its dicts are "model"$/],
    [optimizer, undefined, /it holds an optimizer's state and no model$/],
    [dict({ epoch: "K\x01", lr: "N" }), undefined, /it holds a dict of "epoch", "lr"$/],
    [dict({ a: dict({ b: dict({ c: dict({ d: weights }) }) }) }), undefined, /it holds a dict of "a"$/],
    [tensor(), undefined, /it holds a tensor$/],
    ["]", undefined, /it holds a list$/],
  ];
  for (const [value, state, expected] of cases) {
    const opening = openCheckpoint({ weights: zip(membersOf(`\x80\x02${value}.`)) }, { state });
    if (expected instanceof RegExp) {
      await assert.rejects(opening, (error: Error) => {
        assert.match(error.message, /^torch: "weights" must hold /);
        assert.match(error.message, expected);
        return true;
      });
    } else {
      const checkpoint = await opening;
      assert.deepEqual([checkpoint.state, [...checkpoint.tensors.keys()]], [expected, ["x"]]);
    }
  }
});
