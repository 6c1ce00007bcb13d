/** Files before PyTorch 1.6: pickles, and storages behind them. */
import { CUT, unpickle, type Value } from "../pickle.js";
import type { ByteSource } from "../source.js";
import type { Refuse, Storage } from "./globals.js";
import { MAX_PICKLE, type Opened, readerOf, type StorageRecord } from "./opened.js";

/** Bytes of a file before PyTorch 1.6 that are read at first for its pickles. */
const FIRST_PICKLES = 2 ** 18;

/** The number that files before PyTorch 1.6 begin with (torch/serialization.py), and the version that follows. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;

/**
 * Files before PyTorch 1.6: pickles of a magic number, a version, the machine's sizes, the value and the keys of storages, then
 * each storage, with its number of elements before it.
 */
export async function openPickles(file: ByteSource, refuse: Refuse): Promise<Opened> {
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
      const records = recordsOf(file, at, keys, storages, refuse);
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

/** Where storages lie behind the pickles. Their own lengths are read with them: a file far away may have hundreds of storages. */
function recordsOf(
  file: ByteSource,
  begin: number,
  keys: Value,
  storages: ReadonlyMap<string, Storage>,
  refuse: Refuse,
): Map<string, StorageRecord> {
  if (!Array.isArray(keys)) return refuse("must list the keys of its storages; it does not");
  const records = new Map<string, StorageRecord>();
  let at = begin;
  for (const key of keys) {
    const storage = storages.get(String(key)) ?? refuse("must list the storages that it refers to; it lists another");
    if (records.has(storage.key)) refuse(`must list each storage once; it lists ${storage.key} twice`);
    const length = storage.whole;
    const order = at + 8;
    if (order + length > file.size) refuse(`must have the ${length} bytes of storage ${storage.key}; it is cut short`);
    let checked: Promise<void> | undefined;
    const read = async (target: Uint8Array, offset: number) => {
      checked ??= checkCount(storage.key, length, order - 8);
      await checked;
      return file.read(target, order + offset);
    };
    records.set(storage.key, { length, order, read });
    at = order + length;
  }

  async function checkCount(key: string, length: number, position: number): Promise<void> {
    const count = new DataView(new ArrayBuffer(8));
    await file.read(new Uint8Array(count.buffer), position);
    // In the byte order of the machine that wrote it.
    const lengths = [true, false].map((isLittle) => Number(count.getBigInt64(0, isLittle)) * storages.get(key)!.unit);
    if (!lengths.includes(length)) refuse(`must say one size of storage ${key}; it says two`);
  }
  return records;
}
