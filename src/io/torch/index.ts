/**
 * Files of torch.save: a zip of a pickle and of one entry a storage, or, before PyTorch 1.6, pickles with the storages behind
 * them (torch/serialization.py). They are read as torch.load does with weights_only=True: the pickle names tensors, and nothing
 * that it imports is run but what makes them. Storages go past in chunks, as the tensors of a safetensors file.
 */
import type { ByteSource } from "../source.js";
import { openArchive } from "./archive.js";
import type { Refuse } from "./globals.js";
import { type LaidOut, layOut } from "./layout.js";
import { openPickles } from "./legacy.js";
import { findState } from "./state.js";

/** One file's tensors, and where in it they were found. */
export interface TorchFile extends LaidOut {
  /** Keys that lead to them; none where they are all that the file holds. */
  readonly state: readonly string[];
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
