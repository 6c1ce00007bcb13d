/** The common ground of both formats of torch.save: a value that names tensors, and the bytes of their storages. */
import type { Value } from "../pickle.js";
import { createGlobals, type Refuse, type Storage, storageOf } from "./globals.js";

/**
 * How many times a file's bytes its tensors may take, and how many bytes they may in any case: those that repeat elements, or
 * share or deflate them, claim more than there is.
 */
const MAX_EXPANSION = 8;
const FREE_EXPANSION = 2 ** 24;

export function checkExpansion(claimed: number, size: number, refuse: Refuse): void {
  const most = Math.max(MAX_EXPANSION * size, FREE_EXPANSION);
  if (claimed > most) refuse(`of ${size} bytes may unpack to ${most} at most; it claims ${claimed}`);
}

/** Most bytes of a pickle: that of 1,500 tensors and their optimizer's state has 1 MB. */
export const MAX_PICKLE = 2 ** 24;

/** The bytes of a storage. */
export interface StorageRecord {
  readonly length: number;
  /** Where they lie among all, so that they can be read in turn. */
  readonly order: number;
  read(target: Uint8Array, at: number): Promise<void>;
}

export interface Opened {
  readonly root: Value;
  readonly record: (storage: Storage) => StorageRecord;
  /** True if elements have their bytes in the other order than here. */
  readonly isBigEndian: boolean;
}

/** A reader of pickles of torch.save. */
export const readerOf = (refuse: Refuse) => ({
  global: createGlobals(refuse),
  persistent: (id: Value) => storageOf(id, refuse),
  refuse: (found: string) => refuse(`must have a whole pickle of torch.save; it ${found}`),
});
