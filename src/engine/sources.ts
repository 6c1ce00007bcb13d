/** From what `load` is given to the files that it means, and the tensors in them. */
import type { ConfigOverrides } from "../checkpoint/config.js";
import type { ProbeOptions, ReadProbe } from "../checkpoint/probe.js";
import { parseConfig } from "../checkpoint/recognize.js";
import { withTags } from "../checkpoint/tags.js";
import { faultOfStrangers, wrapperOf } from "../checkpoint/wrappers.js";
import { parseReference } from "../hub/reference.js";
import type { OpenOptions } from "../hub/settings.js";
import { beside, type Checkpoint, isFolder, openCheckpoint, renamed } from "../io/checkpoint.js";
import { checkSubfolder, type Folder, openFolder, type Waiting } from "../io/folder.js";
import type { CheckpointParts, Head, HeadOptions } from "../io/parts.js";
import type { Bytes } from "../io/source.js";
import { excerpt } from "../json.js";
import { isDirectory, pathExists } from "../platform/files.js";
import { hasFileSystem } from "../platform/host.js";
import { nameOf, parseAddress } from "../platform/web.js";
import { type Adapter, adapterWeights, isAdapted } from "./adapted.js";

export type Source = string | URL | CheckpointParts | Folder;

/**
 * Opens a source. The Hub is asked at once for a name of its own, so that the commit is known; files are brought when
 * they are needed.
 */
export async function openSource(
  source: Source,
  { subfolder, base, ...options }: OpenOptions & { readonly subfolder?: string; readonly base?: string | URL } = {},
): Promise<CheckpointParts | Folder> {
  if (isOpened(source)) return source;
  const path = subfolder === undefined ? undefined : checkSubfolder("load: subfolder", subfolder);
  const whole = await openWhole(source, options);
  if (path !== undefined && !isFolder(whole)) {
    throw new RangeError("load: subfolder needs a folder or a repository; got what is in memory");
  }
  const opened = isFolder(whole) && path !== undefined ? await whole.within(path) : whole;
  const weights = isFolder(opened) ? await adapterWeights(opened, options.signal) : undefined;
  if (isFolder(opened) && weights !== undefined) {
    const { adapted, openAdapter } = await import("./adapters.js");
    const adapter = await openAdapter(opened, weights, options.signal);
    return adapted(adapter, await openBase(adapter, base, options));
  }
  if (base !== undefined) throw new RangeError("load: base needs an adapter; got a model");
  return opened;
}

/**
 * The base of an adapter: the one that is given; else the one that its config names, a folder beside an adapter that is on disk,
 * or here, or a repository of the Hub.
 */
async function openBase(
  { folder, config, kind }: Adapter,
  given: string | URL | undefined,
  { revision: _, ...options }: OpenOptions,
): Promise<Folder> {
  const { base_model_name_or_path: named, revision } = config;
  const what = `"${folder.name}" is a ${kind} adapter of ${named ? excerpt(named, 200) : "a model that it does not name"}`;
  try {
    if (given !== undefined) return (await openWhole(given, options)) as Folder;
    if (typeof named !== "string" || named === "") throw new Error("the option base must name that");
    const beside = folder.disk === undefined ? [] : placesOf(folder.disk, named);
    for (const place of beside) if (await isDirectory(place)) return await openFolder(place);
    const reference = parseReference(named);
    if (!reference) throw new Error("there is no such folder here, and the option base may name another");
    const { openRepository } = await import("../hub/repository.js");
    const at = typeof revision === "string" && reference.revision === undefined ? { revision } : {};
    return await openRepository(reference, { ...options, ...at });
  } catch (error) {
    options.signal?.throwIfAborted();
    throw new Error(`load: ${what}: ${(error as Error).message}`, { cause: error });
  }
}

/** Places of a path on disk: in a folder, beside it, and here. */
function placesOf(folder: string | URL, path: string): (string | URL)[] {
  if (/^([/\\]|\w:)/.test(path)) return [path];
  if (folder instanceof URL) {
    const at = new URL(folder.href.replace(/\/?$/, "/"));
    return [new URL(path, at), new URL(`../${path}`, at), path];
  }
  return [`${folder}/${path}`, `${folder}/../${path}`, path];
}

async function openWhole(source: Exclude<Source, Folder>, options: OpenOptions): Promise<CheckpointParts | Folder> {
  const reference = typeof source === "string" ? parseReference(source) : undefined;
  if (reference && (reference.certain || !(await pathExists(source as string)))) {
    const { openRepository } = await import("../hub/repository.js");
    return openRepository(reference, options);
  }
  if (options.revision !== undefined) {
    const got = typeof source === "string" || source instanceof URL ? `"${nameOf(source)}"` : "what is in memory";
    throw new RangeError(`load: revision needs a repository of the Hub; got ${got}`);
  }
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  const address = addressOf(source);
  return address ? (await import("../hub/web.js")).webFolder(address, options.fetch) : openFolder(source);
}

/** Options by which the tensors of a model are found among others. */
export interface NamesOptions {
  /** Beginning of the names of the model's tensors, where they are a part of a larger one: "vision_tower.". */
  readonly prefix?: string;
  /** Tensors that may be left over, by their names. */
  readonly ignore?: RegExp;
  /** Key of the state dict that is the model, in a training checkpoint of several. */
  readonly state?: string;
  /** A head in a file of its own, in the place of the model's. */
  readonly head?: Head;
}

const isHeadOptions = (head: Head): head is HeadOptions => typeof head === "object" && "file" in head;

/** Opens the file of a head, as `openSource` does that of a model. */
export async function openHead(head: Head, options: OpenOptions): Promise<OpenedHead> {
  const { file, ...said } = isHeadOptions(head) ? head : { file: head };
  const { revision: _, ...others } = options;
  const place =
    typeof file === "string" || file instanceof URL ? await openWhole(file, others) : { weights: file as Bytes };
  return { place, said };
}

/** A head's file, or bytes, and what a user says of it. */
export interface OpenedHead {
  readonly place: CheckpointParts | Folder;
  readonly said: ProbeOptions;
}

/** A checkpoint whose tensors are named as in its library. */
export interface Found extends Checkpoint {
  /** The prefix that was looked through, "" without one. */
  readonly prefix: string;
  /** Number of tensors without it, which are left out. */
  readonly others: number;
  /** The head of a file of its own, whose tensors are among these. */
  readonly probe: ReadProbe | undefined;
}

/**
 * Opens a checkpoint, and finds the model's tensors in it: behind the prefix that is given, or one that DataParallel, torch.compile
 * and wrappers of training code leave. The config is then that of the part.
 * @throws Error: one sentence, also if no tensor has the prefix, or others than a trainer's lie beside one that is found.
 */
export async function openModel(
  source: CheckpointParts | Folder,
  options: Omit<NamesOptions, "head"> & { readonly head?: OpenedHead } = {},
  waiting: Waiting = {},
): Promise<Found> {
  const found = await openNamed(source, options, waiting);
  if (!options.head) return found;
  const { place, said } = options.head;
  const { PROBE, readNotes, readProbe } = await import("../checkpoint/probe.js");
  let head: Checkpoint | undefined;
  try {
    head = await openCheckpoint(place, waiting);
    const probe = { ...readProbe(head.name, head.tensors, said), notes: readNotes(head.name, head.metadata) };
    return {
      ...beside(
        found,
        renamed(head, (name) => PROBE + name),
      ),
      prefix: found.prefix,
      others: found.others,
      probe,
    };
  } catch (error) {
    await head?.close();
    await found.close();
    throw error;
  }
}

/** The config of what was found, with its labels: those of a tagger's list or of a head in a file of its own, where it has one. */
export async function readConfig(found: Found, waiting: Waiting, overrides?: ConfigOverrides) {
  const { name, config, tensors, probe } = found;
  const parsed = await withTags(await parseConfig(name, config, tensors, overrides), found, waiting);
  if (!probe) return parsed;
  const { withProbe } = await import("../checkpoint/probe.js");
  return { ...parsed, ...(await withProbe(name, parsed.config, probe)) };
}

async function openNamed(
  source: CheckpointParts | Folder,
  { prefix: given, ignore, state }: Omit<NamesOptions, "head">,
  waiting: Waiting,
): Promise<Found> {
  const opening = { ...waiting, state };
  const checkpoint = isAdapted(source)
    ? await (await import("./adapters.js")).openAdapted(source, opening)
    : await openCheckpoint(source, opening);
  // Without what it remembers between two texts.
  const left = ignore && new RegExp(ignore.source, ignore.flags.replace(/[gy]/g, ""));
  const kept = left ? renamed(checkpoint, (name) => (left.test(name) ? undefined : name)) : checkpoint;
  const prefix = given ?? wrapperOf(kept.tensors);
  if (prefix === "") return { ...kept, prefix, others: 0, probe: undefined };
  const fault = given === undefined ? faultOfStrangers(checkpoint.name, kept.tensors, prefix) : undefined;
  if (fault !== undefined) {
    await checkpoint.close();
    throw new Error(fault);
  }
  const found = renamed(kept, (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : undefined));
  if (found.tensors.size === 0) {
    await checkpoint.close();
    const first = [...kept.tensors.keys()].slice(0, 4).map((name) => excerpt(name));
    throw new Error(
      `load: prefix must begin the names of tensors of "${checkpoint.name}"; got ${excerpt(prefix)}, and they are ${first.join(", ")}`,
    );
  }
  const others = kept.tensors.size - found.tensors.size;
  return {
    ...found,
    prefix,
    others,
    probe: undefined,
    config: given === undefined ? found.config : visionOf(found.config),
  };
}

/** The config of a larger model's image tower, by the names that transformers has for it. */
function visionOf(config: unknown): unknown {
  const towers = ["vision_config", "encoder", "backbone_config"].map((key) => Object(config)[key] as unknown);
  return towers.find((tower) => typeof tower === "object" && tower !== null) ?? config;
}

const isOpened = (source: Source): source is Folder =>
  typeof source !== "string" && !(source instanceof URL) && isFolder(source);

/** Gives the address of a source on the web; without a file system, paths are relative to the page's address. */
function addressOf(source: string | URL): URL | undefined {
  if (/^https?:/i.test(String(source))) return parseAddress(source);
  const page = globalThis.location?.href;
  return page && !hasFileSystem() && /^\.{0,2}\//.test(String(source)) ? new URL(source, page) : undefined;
}

/** Key that tells the files of a source, and of a head, from later ones; undefined in memory. */
export async function keyOf(source: CheckpointParts | Folder, head?: OpenedHead): Promise<string | undefined> {
  const places = head ? [source, head.place] : [source];
  const keys = await Promise.all(places.map((place) => (isFolder(place) ? place.key() : undefined)));
  return keys.includes(undefined) ? undefined : keys.join("\n");
}
