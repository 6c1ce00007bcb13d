/** Files of PyTorch 1.6 and later: a zip of a pickle and an entry a storage. */
import { excerpt } from "../../json.js";
import { unpickle } from "../pickle.js";
import type { ByteSource } from "../source.js";
import { beginOf, checkExpansion, crc32, readDirectory, readEntry, type ZipEntry } from "../zip.js";
import type { Refuse } from "./globals.js";
import { MAX_PICKLE, type Opened, readerOf, type StorageRecord } from "./opened.js";

/** The zip of PyTorch 1.6 and later: ROOT/data.pkl, ROOT/data/KEY, ROOT/byteorder. */
export async function openArchive(file: ByteSource, refuse: Refuse): Promise<Opened> {
  const entries = await readDirectory(file, refuse);
  const claimed = entries.reduce((sum, { size }) => sum + size, 0);
  checkExpansion(claimed, file.size, refuse);
  const pickles = entries.filter(({ name }) => /(^|\/)data\.pkl$/.test(name));
  if (pickles.length > 1) refuse(`must have one data.pkl; it has ${pickles.length}`);
  const [pickle] = pickles;
  if (entries.some(({ name }) => /(^|\/)(archive_format|serialized_exported_program\.json)$/.test(name))) {
    refuse("must be of torch.save; it is a program of torch.export: in Python, save the model's state_dict()");
  }
  if (!pickle) {
    const held = entries.find(({ name }) => /\.(bin|pth?|ckpt|safetensors)$/.test(name)) ?? entries[0];
    const found = held
      ? `it holds ${excerpt(held.name)}, which must be unpacked first if it has the weights`
      : "it is empty";
    return refuse(`must have a data.pkl, as the zips of torch.save have, or be an .npz; ${found}`);
  }
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
