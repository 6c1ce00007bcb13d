/** One writer at a time among processes, by a file that names the one and is touched while it lives. */
import { every, sleep } from "../waiting.js";
import { diskTools, readNote } from "./files.js";
import { isRunning, processId } from "./host.js";

/** Milliseconds: how often the file is touched, how old it is when its owner is taken for dead, how often others look. */
const [TOUCH, STALE, LOOK] = [5_000, 60_000, 100];

/**
 * Runs a task when no other process runs one under the same path. An owner that ended without removing its file, or sleeps, is
 * followed by another: `mine` tells whether that has happened.
 * @throws what the system says of a file that it cannot write.
 * @param busy is told who has it, and may throw; without it the other one is waited for.
 */
export async function locked<T>(
  path: string,
  signal: AbortSignal | undefined,
  task: (mine: () => Promise<boolean>) => Promise<T>,
  busy: (owner: string) => void = () => {},
): Promise<T> {
  const { fs, os, crypto } = diskTools();
  const own = JSON.stringify({ host: os.hostname(), pid: processId(), id: crypto.randomUUID() });
  const read = () => readNote(path);

  async function isDead(owner: string): Promise<boolean> {
    const stats = await fs.stat(path).catch(() => undefined);
    if (!stats) return false;
    if (Date.now() - stats.mtimeMs > STALE) return true;
    try {
      const { host, pid } = JSON.parse(owner);
      return host === os.hostname() && !isRunning(pid);
    } catch {
      // Not written yet.
      return false;
    }
  }

  for (;;) {
    signal?.throwIfAborted();
    try {
      await fs.writeFile(path, own, { flag: "wx" });
      break;
    } catch (error) {
      if ((error as { code?: string }).code !== "EEXIST") throw error;
    }
    const owner = await read();
    if (owner !== undefined && (await isDead(owner))) {
      // Moved before it is removed: if another process was faster, what is moved is that one's, and goes back.
      const aside = `${path}.${crypto.randomUUID()}`;
      await fs.rename(path, aside).catch(() => {});
      if (((await readNote(aside)) ?? owner) !== owner) await fs.link(aside, path).catch(() => {});
      await fs.rm(aside, { force: true });
      continue;
    }
    if (owner !== undefined) busy(owner);
    await sleep(LOOK, signal);
  }
  const end = every(TOUCH, () => {
    const now = new Date();
    fs.utimes(path, now, now).catch(() => {});
  });
  const mine = async () => (await read()) === own;
  try {
    return await task(mine);
  } finally {
    end();
    if (await mine()) await fs.rm(path, { force: true });
  }
}
