/**
 * Leases on jobs, kept in the store: who has one writes a number that rises (a heartbeat), and whoever has seen the same number for
 * as long as a lease lasts, by its own clock, may take the job over. No two clocks are ever compared, and the store's is not asked.
 *
 *     leases/0001-HASH.0          the first holder's heartbeat; .1 is that of the one who took over from it, and so on
 *
 * Each is created where it is not there yet, so that one of all that want a job has it. A holder that was only slow goes on and may
 * be the first to write the shard, which is created once as well: however short a lease is, every round brings the work to an end.
 */
import type { Objects } from "../io/objects.js";
import { diskTools } from "../platform/files.js";
import { every } from "../waiting.js";

export interface Lease {
  /** How often the job was taken over before. */
  readonly generation: number;
  /** Ends the lease; the job is free, or done. */
  release(): Promise<void>;
}

export interface Leases {
  /** Leases a job that nobody has; undefined when somebody has it. */
  claim(name: string): Promise<Lease | undefined>;
  /** Looks at all leases, and takes over the first whose holder has shown no sign of life for as long as a lease lasts. */
  takeOver(among: ReadonlySet<string>): Promise<(Lease & { readonly name: string }) | undefined>;
}

/** Most bytes of a lease. */
const MAX_BYTES = 4096;

/** Jobs that somebody has, or had when it died. */
export const leasedIn = async (objects: Objects): Promise<Set<string>> =>
  new Set((await objects.list("leases")).map((file) => file.replace(/\.\d+$/, "")));

/** @param duration milliseconds. */
export function createLeases(objects: Objects, duration: number): Leases {
  const owner = diskTools().crypto.randomUUID();
  /** Heartbeats of others as they were last seen, and when they were first seen so. */
  const seen = new Map<string, { readonly beat: string; readonly since: number }>();
  const at = (name: string, generation: number) => `leases/${name}.${generation}`;
  const decoder = new TextDecoder();

  async function hold(name: string, generation: number): Promise<Lease | undefined> {
    let beat = 0;
    const text = () => JSON.stringify({ owner, beat: beat++ });
    if (!(await objects.create(at(name, generation), text()))) return undefined;
    let beating: Promise<void> = Promise.resolve();
    const end = every(duration / 4, () => {
      // One after the other; one that fails is one heartbeat less.
      beating = beating.then(() => objects.write(at(name, generation), text())).catch(() => {});
    });
    return {
      generation,
      async release() {
        end();
        await beating;
        // Who has taken it over removes all.
        if (await objects.has(at(name, generation + 1))) return;
        for (let i = generation; i >= 0; i--) await objects.remove(at(name, i));
      },
    };
  }

  return {
    claim: (name) => hold(name, 0),
    async takeOver(among) {
      const latest = new Map<string, number>();
      for (const file of await objects.list("leases")) {
        const [, name, generation] = /^(.+)\.(\d+)$/.exec(file) ?? [];
        if (name === undefined || !among.has(name)) continue;
        latest.set(name, Math.max(latest.get(name) ?? 0, Number(generation)));
      }
      for (const name of seen.keys()) if (!latest.has(name)) seen.delete(name);
      for (const [name, generation] of latest) {
        const bytes = await objects.read(at(name, generation), MAX_BYTES);
        // Released meanwhile.
        if (!bytes) continue;
        const beat = `${generation} ${decoder.decode(bytes)}`;
        const now = performance.now();
        const before = seen.get(name);
        if (before?.beat !== beat) seen.set(name, { beat, since: now });
        else if (now - before.since >= duration) {
          const lease = await hold(name, generation + 1);
          if (lease) return { ...lease, name };
        }
      }
      return undefined;
    },
  };
}
