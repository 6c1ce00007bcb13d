/**
 * Python's pickle, all protocols (CPython's Lib/pickletools.py), as data: a stack machine that makes lists, dicts, texts and
 * numbers, and calls nothing but what its reader names. What means nothing to weights (floats, bytes, sets) is made a mark of
 * its kind. Nothing is walked by recursion, so that no depth overflows the stack, and every step takes its bytes' time.
 */

import { excerpt } from "../json.js";
import { latin1 } from "../platform/bytes.js";

/** A value of Python that is only known to be one. */
export class Opaque {
  /**
   * @param kind of which it is, for messages.
   * @param isRefused says that a pickle may not have it. It is read to its end all the same, as what else it has may say more.
   */
  constructor(
    readonly kind: string,
    readonly isRefused = false,
  ) {}
}

/** A name that a pickle imports. */
export class Global {
  /** @param call what it gives when it is called; undefined where it is a name only. */
  constructor(
    readonly name: string,
    readonly call?: (args: readonly Value[]) => Value,
  ) {}
}

/** Lists and tuples are arrays, dicts of all kinds are maps; `object` is what a reader makes, of classes of its own. */
export type Value = null | boolean | number | bigint | string | Value[] | Map<Key, Value> | Opaque | Global | object;
export type Key = null | boolean | number | bigint | string | Opaque;

export interface PickleReader {
  /** Finds out what a name means. @throws for a name that is not allowed. */
  global(name: string): Global;
  /** Finds out what a persistent id stands for. @throws for one that is wrong. */
  persistent(id: Value): Value;
  /** Makes an error of a sentence's end. */
  refuse(found: string): never;
}

/**
 * Most steps, and of them those that make a list or a dict, which take more memory than bytes. A training checkpoint of 1,500
 * tensors has 200,000 and 20,000.
 */
const MAX_STEPS = 2 ** 20;
const MAX_CONTAINERS = 2 ** 17;

/** Most values that are kept to be recalled: the same checkpoint keeps 40,000. */
const MAX_KEPT = 2 ** 18;

/** Most bytes of an integer, and of a line of protocol 0: longer ones take the square of their length to read. */
const MAX_INTEGER = 256;
const MAX_LINE = 1000;

/** Made once: a pickle has thousands of texts. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const HIGHEST_PROTOCOL = 5;

/** The end of the sentence on a pickle that goes on behind its bytes. */
export const CUT = "is cut short";

/** Opcodes that are named when they are refused. */
const REFUSED = new Map([
  [0x50, "PERSID"],
  [0x82, "EXT1"],
  [0x83, "EXT2"],
  [0x84, "EXT4"],
  [0x97, "NEXT_BUFFER"],
  [0x98, "READONLY_BUFFER"],
]);

/** The first value of a pickle, and where the byte after its STOP lies; what follows is not looked at. */
export function unpickle(bytes: Uint8Array, begin: number, reader: PickleReader): { value: Value; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { refuse } = reader;
  const stack: Value[] = [];
  /** Heights of the stack. */
  const marks: number[] = [];
  const memo = new Map<number, Value>();
  let at = begin;
  let containers = 0;

  /** Goes on by `length` bytes, and says where they begin. */
  function take(length: number): number {
    if (!(length <= bytes.length - at)) refuse(CUT);
    at += length;
    return at - length;
  }

  function line(): string {
    const end = bytes.subarray(at, at + MAX_LINE + 1).indexOf(0x0a);
    if (end < 0) refuse(bytes.length - at > MAX_LINE ? `has a line of more than ${MAX_LINE} bytes` : CUT);
    const text = utf8(at, end);
    at += end + 1;
    return text;
  }

  function utf8(from: number, length: number): string {
    try {
      return UTF8.decode(bytes.subarray(from, from + length));
    } catch {
      return refuse("has a text that is not UTF-8");
    }
  }

  /** Python 2's strings, which are names. */
  const latin = (from: number, length: number) => latin1(bytes.subarray(from, from + length));

  const length8 = () => Number(view.getBigUint64(take(8), true));
  const length4 = () => view.getUint32(take(4), true);
  const length1 = () => bytes[take(1)]!;

  /** Little-endian two's complement. */
  function integer(length: number): number | bigint {
    const from = take(length);
    if (length > MAX_INTEGER) refuse(`has an integer of ${length} bytes; at most ${MAX_INTEGER} are read`);
    let value = 0n;
    for (let i = from + length - 1; i >= from; i--) value = value * 256n + BigInt(bytes[i]!);
    return plain(length > 0 && bytes[from + length - 1]! > 127 ? value - (1n << BigInt(8 * length)) : value);
  }

  function decimal(text: string): number | bigint {
    if (!/^[+-]?\d{1,600}$/.test(text)) refuse("has a number that is none");
    return plain(BigInt(text));
  }

  const plain = (value: bigint) => (BigInt.asIntN(53, value) === value ? Number(value) : value);

  let refused: Opaque | undefined;

  function pop(): Value {
    if (stack.length <= (marks.at(-1) ?? 0)) refuse("takes a value that is not there");
    return stack.pop()!;
  }

  function top(): Value {
    if (stack.length <= (marks.at(-1) ?? 0)) refuse("takes a value that is not there");
    return stack.at(-1)!;
  }

  /** Values above the last mark, which goes with them. */
  function popMarked(): Value[] {
    const mark = marks.pop() ?? refuse("takes values up to a mark that is not there");
    return stack.splice(mark);
  }

  function made<T extends Value[] | Map<Key, Value>>(container: T): T {
    if (++containers > MAX_CONTAINERS) refuse(`makes more than ${MAX_CONTAINERS} lists and dicts`);
    return container;
  }

  const tuple = (length: number): Value[] => {
    const values: Value[] = [];
    for (let i = 0; i < length; i++) values.unshift(pop());
    return made(values);
  };

  function append(values: readonly Value[]): void {
    const list = top();
    if (!Array.isArray(list)) {
      // A set's and a deque's, which mean nothing.
      if (!(list instanceof Opaque)) refuse("appends to what is no list");
      return;
    }
    for (const value of values) list.push(value);
  }

  function setItems(values: readonly Value[]): void {
    const dict = top();
    if (values.length % 2 !== 0) refuse("sets a key without a value");
    if (!(dict instanceof Map)) {
      if (!(dict instanceof Opaque)) refuse("sets items of what is no dict");
      return;
    }
    for (let i = 0; i < values.length; i += 2) {
      const key = values[i]!;
      if (typeof key === "object" && key !== null && !(key instanceof Opaque)) {
        refuse("has a dict whose key is no text or number");
      }
      dict.set(key as Key, values[i + 1]!);
    }
  }

  function dictOf(values: readonly Value[]): void {
    stack.push(made(new Map<Key, Value>()));
    setItems(values);
  }

  /** A name with dots in it leads to another module's, so that all of it has to be allowed. */
  const global = (module: Value, name: Value): Global => {
    if (typeof module !== "string" || typeof name !== "string") return refuse("imports what is no name");
    return reader.global(`${module}.${name}`);
  };

  function call(callee: Value, args: Value): Value {
    if (!(callee instanceof Global)) return refuse("calls what is no function");
    if (!Array.isArray(args)) return refuse(`calls ${callee.name} with what are no arguments`);
    if (!callee.call) return refuse(`calls ${callee.name}, which is a name only`);
    const value = callee.call(args);
    if (value instanceof Opaque && value.isRefused) refused ??= value;
    return value;
  }

  function keep(index: number): void {
    memo.set(index, top());
    if (memo.size > MAX_KEPT) refuse(`keeps more than ${MAX_KEPT} values`);
  }

  function recall(index: number): void {
    const value = memo.get(index);
    if (value === undefined) refuse("recalls a value that was not kept");
    stack.push(value!);
  }

  /** Attributes mean nothing: those of an OrderedDict, a parameter, an object that stands for another. */
  function build(): void {
    pop();
    const object = top();
    if (object instanceof Global || object === null || typeof object !== "object" || Array.isArray(object)) {
      refuse("sets attributes of what has none");
    }
  }

  for (let steps = 0; ; steps++) {
    if (steps > MAX_STEPS) refuse(`takes more than ${MAX_STEPS} steps`);
    const opcode = bytes[take(1)]!;
    switch (opcode) {
      case 0x80: {
        const protocol = length1();
        if (protocol > HIGHEST_PROTOCOL)
          refuse(`is of protocol ${protocol}; ${HIGHEST_PROTOCOL} is the highest that is read`);
        break;
      }
      case 0x95: {
        // FRAME: its bytes are those that follow.
        if (length8() > bytes.length - at) refuse(CUT);
        break;
      }
      case 0x2e /* STOP */:
        {
          const value = pop();
          if (stack.length > 0 || marks.length > 0) refuse("ends with more than one value");
          if (refused) refuse(`has ${refused.kind}`);
          return { value, end: at };
        }

      case 0x28 /* MARK */:
        marks.push(stack.length);
        break;
      case 0x30 /* POP */:
        if (stack.length === marks.at(-1)) marks.pop();
        else pop();
        break;
      case 0x31 /* POP_MARK */:
        popMarked();
        break;
      case 0x32 /* DUP */:
        stack.push(top());
        break;
      case 0x70 /* PUT */:
        keep(Number(decimal(line())));
        break;
      case 0x71 /* BINPUT */:
        keep(length1());
        break;
      case 0x72 /* LONG_BINPUT */:
        keep(length4());
        break;
      case 0x94 /* MEMOIZE */:
        keep(memo.size);
        break;
      case 0x67 /* GET */:
        recall(Number(decimal(line())));
        break;
      case 0x68 /* BINGET */:
        recall(length1());
        break;
      case 0x6a /* LONG_BINGET */:
        recall(length4());
        break;

      case 0x4e /* NONE */:
        stack.push(null);
        break;
      case 0x88 /* NEWTRUE */:
        stack.push(true);
        break;
      case 0x89 /* NEWFALSE */:
        stack.push(false);
        break;
      case 0x49 /* INT */:
        {
          const text = line();
          stack.push(text === "01" ? true : text === "00" ? false : decimal(text));
          break;
        }
      case 0x4a /* BININT */:
        stack.push(view.getInt32(take(4), true));
        break;
      case 0x4b /* BININT1 */:
        stack.push(length1());
        break;
      case 0x4d /* BININT2 */:
        stack.push(view.getUint16(take(2), true));
        break;
      case 0x4c /* LONG */:
        stack.push(decimal(line().replace(/L$/, "")));
        break;
      case 0x8a /* LONG1 */:
        stack.push(integer(length1()));
        break;
      case 0x8b /* LONG4 */:
        stack.push(integer(length4()));
        break;
      case 0x46 /* FLOAT */:
        line();
        stack.push(FLOAT);
        break;
      case 0x47 /* BINFLOAT */:
        take(8);
        stack.push(FLOAT);
        break;

      case 0x55 /* SHORT_BINSTRING */:
        {
          const length = length1();
          stack.push(latin(take(length), length));
          break;
        }
      case 0x54 /* BINSTRING */:
        {
          const length = length4();
          stack.push(latin(take(length), length));
          break;
        }
      case 0x53 /* STRING */:
        stack.push(quoted(line()) ?? refuse("has a text without quotes"));
        break;
      case 0x56 /* UNICODE */:
        stack.push(line().replace(/\\u([\da-f]{4})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16))));
        break;
      case 0x8c /* SHORT_BINUNICODE */:
        {
          const length = length1();
          stack.push(utf8(take(length), length));
          break;
        }
      case 0x58 /* BINUNICODE */:
        {
          const length = length4();
          stack.push(utf8(take(length), length));
          break;
        }
      case 0x8d /* BINUNICODE8 */:
        {
          const length = length8();
          stack.push(utf8(take(length), length));
          break;
        }
      case 0x43 /* SHORT_BINBYTES */:
        take(length1());
        stack.push(BYTES);
        break;
      case 0x42 /* BINBYTES */:
        take(length4());
        stack.push(BYTES);
        break;
      case 0x8e /* BINBYTES8 */:
      case 0x96 /* BYTEARRAY8 */:
        take(length8());
        stack.push(BYTES);
        break;

      case 0x29 /* EMPTY_TUPLE */:
      case 0x5d /* EMPTY_LIST */:
        stack.push(made([]));
        break;
      case 0x85 /* TUPLE1 */:
      case 0x86 /* TUPLE2 */:
      case 0x87 /* TUPLE3 */:
        stack.push(tuple(opcode - 0x84));
        break;
      case 0x74 /* TUPLE */:
      case 0x6c /* LIST */:
        stack.push(made(popMarked()));
        break;
      case 0x61 /* APPEND */:
        append([pop()]);
        break;
      case 0x65 /* APPENDS */:
        append(popMarked());
        break;
      case 0x7d /* EMPTY_DICT */:
        dictOf([]);
        break;
      case 0x64 /* DICT */:
        dictOf(popMarked());
        break;
      case 0x73 /* SETITEM */:
        {
          const value = pop();
          setItems([pop(), value]);
          break;
        }
      case 0x75 /* SETITEMS */:
        setItems(popMarked());
        break;
      case 0x8f /* EMPTY_SET */:
        stack.push(SET);
        break;
      case 0x90 /* ADDITEMS */:
        popMarked();
        if (!(top() instanceof Opaque)) refuse("adds to what is no set");
        break;
      case 0x91 /* FROZENSET */:
        popMarked();
        stack.push(SET);
        break;

      case 0x63 /* GLOBAL */:
        {
          const module = line();
          stack.push(global(module, line()));
          break;
        }
      case 0x93 /* STACK_GLOBAL */:
        {
          const name = pop();
          stack.push(global(pop(), name));
          break;
        }
      case 0x52 /* REDUCE */:
      case 0x81 /* NEWOBJ */:
        {
          const args = pop();
          stack.push(call(pop(), args));
          break;
        }
      case 0x92 /* NEWOBJ_EX */:
        {
          pop();
          const args = pop();
          stack.push(call(pop(), args));
          break;
        }
      case 0x69 /* INST */:
        {
          const module = line();
          const callee = global(module, line());
          stack.push(call(callee, made(popMarked())));
          break;
        }
      case 0x6f /* OBJ */:
        {
          const [callee, ...args] = popMarked();
          stack.push(call(callee ?? null, made(args)));
          break;
        }
      case 0x62 /* BUILD */:
        build();
        break;
      case 0x51 /* BINPERSID */:
        stack.push(reader.persistent(pop()));
        break;
      default: {
        const name = REFUSED.get(opcode);
        refuse(
          name
            ? `has the opcode ${name}, which files of weights have no use for`
            : `has the opcode ${opcode}, which does not exist`,
        );
      }
    }
  }
}

const FLOAT = new Opaque("float");
const BYTES = new Opaque("bytes");
const SET = new Opaque("set");

/** A text as Python's repr writes it. */
function quoted(line: string): string | undefined {
  const [, , text] = /^(['"])(.*)\1$/s.exec(line) ?? [];
  return text?.replace(/\\(x[\da-f]{2}|.)/gi, (_, code: string) =>
    code.length > 1
      ? String.fromCharCode(Number.parseInt(code.slice(1), 16))
      : ({ n: "\n", r: "\r", t: "\t" }[code] ?? code),
  );
}

/** Kind of a value, for messages. */
export function kindOfValue(value: Value): string {
  if (value === null) return "None";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Map) return "a dict";
  if (value instanceof Opaque) return value.kind;
  if (value instanceof Global) return excerpt(value.name);
  return typeof value === "object" ? "a tensor" : `a ${typeof value}`;
}
