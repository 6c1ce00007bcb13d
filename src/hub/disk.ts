/**
 * The cache on disk, in the layout of huggingface_hub, which its documentation describes for others to follow
 * (https://huggingface.co/docs/hub/local-cache): what either downloaded, both find.
 *
 *     models--owner--name/blobs/ETAG                       the bytes; ETAG.incomplete while they arrive
 *     models--owner--name/snapshots/COMMIT/NAME            a relative link to them
 *     models--owner--name/refs/REVISION                    the commit
 *     models--owner--name/.no_exist/COMMIT/NAME            an empty file: there is no such file
 *     .locks/models--owner--name/ETAG.vitrail.lock         while one process downloads it
 */

import { fromFile } from "../io/source.js";
import { type DiskTools, diskTools, readNote } from "../platform/files.js";
import { locked } from "../platform/lock.js";
import { createDigest } from "./digest.js";
import { isCommit } from "./reference.js";
import type { CachedRepository } from "./settings.js";
import { type Arrive, type HubFile, type Keeping, type KnownFile, type Store, wrongBytes } from "./store.js";

/** Bytes that are read at once of a part that is there. */
const CHUNK = 2 ** 20;

export async function diskStore(root: string): Promise<Store> {
  const tools = diskTools();
  const { fs, path } = tools;
  const cache = `the cache "${root}"`;

  const folderName = (repo: string) => `models--${repo.replace("/", "--")}`;
  const folderOf = (repo: string) => path.join(root, folderName(repo));
  const refOf = (repo: string, revision: string) => path.join(folderOf(repo), "refs", ...revision.split("/"));
  const locksOf = (repo: string) => path.join(root, ".locks", folderName(repo));
  const pointerOf = ({ repo, commit, name }: HubFile) => path.join(folderOf(repo), "snapshots", commit, name);
  const blobOf = ({ repo, digest }: KnownFile) => path.join(folderOf(repo), "blobs", digest);

  /** Tells whether a file, or what a link leads to, is there and as large as it must be. */
  async function isWhole(at: string, size: number | undefined): Promise<boolean> {
    const stats = await fs.stat(at).catch(() => undefined);
    return Boolean(stats?.isFile() && (size === undefined || stats.size === size));
  }

  const namesIn = (folder: string): Promise<string[]> => fs.readdir(folder).catch(() => []);
  /** Files in it and in its folders, with slashes. */
  const filesIn = async (folder: string): Promise<string[]> => {
    const names = await fs.readdir(folder, { recursive: true }).catch(() => []);
    return names.map((name) => name.replaceAll("\\", "/"));
  };

  /** Makes one sentence of what the system says when it cannot write. */
  async function writing<T>(what: string, task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      const { code = "", syscall, message } = Object(error) as NodeJS.ErrnoException;
      if (!syscall) throw error;
      const why = { ENOSPC: "is full", EDQUOT: "is full", EROFS: "is read-only", EACCES: "may not be written" }[code];
      throw new Error(`hub: ${cache} ${why ?? "cannot be written"}, so ${what} is not downloaded: ${message}`, {
        cause: error,
      });
    }
  }

  /** Writes what is a hint to later loads, if it can be written. */
  async function note(at: string, text: string): Promise<void> {
    if ((await readNote(at)) === text) return;
    const { crypto } = tools;
    const whole = `${at}.${crypto.randomUUID()}.tmp`;
    try {
      await fs.mkdir(path.dirname(at), { recursive: true });
      await fs.writeFile(whole, text);
      await fs.rename(whole, at);
    } catch {
      await fs.rm(whole, { force: true }).catch(() => {});
    }
  }

  async function keep(file: KnownFile, arrive: Arrive, keeping: Keeping): Promise<void> {
    const [blob, pointer] = [blobOf(file), pointerOf(file)];
    const isThere = async () => (await isWhole(pointer, file.size)) || (await isWhole(blob, file.size));
    await writing(`"${file.name}" of "${file.repo}"`, async () => {
      for (const folder of [path.dirname(blob), path.dirname(pointer), locksOf(file.repo)]) {
        await fs.mkdir(folder, { recursive: true });
      }
      const lock = path.join(locksOf(file.repo), `${file.digest}.vitrail.lock`);
      await locked(lock, keeping.signal, async (mine) => {
        if (!(await isThere())) await fill(tools, blob, file, arrive, keeping, mine);
        if (!(await isWhole(pointer, file.size))) await link(tools, blob, pointer);
      });
    });
    keeping.report(file.size);
  }

  async function list(): Promise<CachedRepository[]> {
    const found: CachedRepository[] = [];
    for (const name of (await namesIn(root)).sort()) {
      const [, owner, model] = /^models--(.+?)--(.+)$/.exec(name) ?? [];
      if (owner === undefined) continue;
      const folder = path.join(root, name);
      const refs = await filesUnder(tools, path.join(folder, "refs"));
      const files = await filesUnder(tools, folder);
      found.push({
        repo: `${owner}/${model}`,
        revisions: refs.map(({ at }) => path.relative(path.join(folder, "refs"), at).split(path.sep).join("/")).sort(),
        commits: (await namesIn(path.join(folder, "snapshots"))).sort(),
        bytes: files.filter((file) => !refs.some(({ at }) => at === file.at)).reduce((sum, { size }) => sum + size, 0),
      });
    }
    return found;
  }

  return {
    name: cache,
    async commitOf(repo, revision) {
      const text = (await readNote(refOf(repo, revision)))?.trim() ?? "";
      return isCommit(text) ? text : undefined;
    },
    remember: (repo, revision, commit) => note(refOf(repo, revision), commit),
    async known(repo, commit) {
      const known = new Map<string, boolean>();
      for (const name of await filesIn(path.join(folderOf(repo), ".no_exist", commit))) known.set(name, false);
      for (const name of await filesIn(path.join(folderOf(repo), "snapshots", commit))) {
        if (await isWhole(pointerOf({ repo, commit, name }), undefined)) known.set(name, true);
      }
      return known;
    },
    markAbsent: ({ repo, commit, name }) => note(path.join(folderOf(repo), ".no_exist", commit, name), ""),
    has: (file) => isWhole(pointerOf(file), file.size),
    open: (file) => fromFile(pointerOf(file)),
    keep,
    list,
    async remove(repo) {
      if (repo === undefined) {
        throw new RangeError(`hub: ${cache} may hold other programs' models, so that one must be named to be removed`);
      }
      for (const folder of [folderOf(repo), locksOf(repo)]) await fs.rm(folder, { recursive: true, force: true });
    },
  };
}

/** Files in a folder and its folders, without links; nothing if there is none. */
async function filesUnder({ fs, path }: DiskTools, folder: string): Promise<{ at: string; size: number }[]> {
  const entries = await fs.readdir(folder, { withFileTypes: true }).catch(() => []);
  const found = entries.map(async (entry) => {
    const at = path.join(folder, entry.name);
    if (entry.isDirectory()) return filesUnder({ fs, path } as DiskTools, at);
    return entry.isFile() ? [{ at, size: (await fs.stat(at)).size }] : [];
  });
  return (await Promise.all(found)).flat();
}

/** Makes the blob of a file, going on with what an earlier download left. */
async function fill(
  { fs }: DiskTools,
  blob: string,
  file: KnownFile,
  arrive: Arrive,
  { report }: Keeping,
  mine: () => Promise<boolean>,
): Promise<void> {
  const partial = `${blob}.incomplete`;
  const handle = await fs.open(partial, "r+").catch(() => fs.open(partial, "w+"));
  try {
    for (;;) {
      const digest = await createDigest(file);
      let { size: at } = await handle.stat();
      if (at > file.size) {
        await handle.truncate(0);
        at = 0;
      }
      const resumed = at > 0;
      const buffer = new Uint8Array(Math.min(CHUNK, at));
      for (let done = 0; done < at; ) {
        const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, at - done), done);
        if (bytesRead === 0) break;
        digest.update(buffer.subarray(0, bytesRead));
        done += bytesRead;
      }
      report(at);
      for await (const chunk of arrive(at)) {
        digest.update(chunk);
        for (let done = 0; done < chunk.length; ) {
          const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, at + done);
          done += bytesWritten;
        }
        at += chunk.length;
        report(at);
      }
      const found = digest.hex();
      if (found === file.digest) break;
      await handle.truncate(0);
      // What was there may have been wrong; what has just arrived as a whole is the server's.
      if (!resumed) {
        await fs.rm(partial, { force: true });
        throw wrongBytes(file, found);
      }
    }
    await handle.sync();
    if (!(await mine()))
      throw new Error(`hub: another process took over the download of "${file.name}" of "${file.repo}"`);
  } finally {
    await handle.close();
  }
  await fs.rename(partial, blob);
}

/** Shows a blob under its name; where there are no links, the blob itself goes there. */
async function link({ fs, path }: DiskTools, blob: string, pointer: string): Promise<void> {
  await fs.rm(pointer, { force: true });
  try {
    await fs.symlink(path.relative(path.dirname(pointer), blob), pointer);
  } catch (error) {
    // Another file of the same bytes has another lock, another process the same one.
    if ((error as { code?: string }).code === "EEXIST") return;
    await fs.rename(blob, pointer);
  }
}
