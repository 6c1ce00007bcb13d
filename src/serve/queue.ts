/**
 * The queue of all requests. A request has a place in it, and its images and texts have a turn each. Few turns run at once, as
 * many as keep every processor busy: images of calls that are made at once pass the model side by side, a thread each.
 *
 * Turns go round by clients, and of a client by its requests, so that neither a client with many requests nor a request with
 * many images keeps the others waiting.
 */
import { Refusal } from "./refusal.js";

/** A request's place. */
export interface Place {
  /** Runs a part of the request in its turn; rejects with the signal's reason if that comes first. */
  turn<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  leave(): void;
}

export interface Queue {
  /**
   * Gives a request a place.
   * @param pushedOut called with the reason if it has to make room for a client that has fewer requests, before its first turn.
   * @throws Refusal 503 with Retry-After if there is none.
   */
  enter(client: string, pushedOut: (reason: Refusal) => void): Place;
  /** Throws as `enter` does, without taking a place. */
  check(client: string): void;
  /** Requests that have a place. */
  readonly size: number;
  /** Turns that run. */
  readonly running: number;
}

interface Entry {
  /** Turns that wait, first come first. */
  readonly waiting: (() => void)[];
  begun: boolean;
  readonly pushedOut: (reason: Refusal) => void;
}

/** The share of the last turn in the mean time between two, by which Retry-After is estimated. */
const RECENT = 0.1;
/** Most seconds that a client is told to wait. */
const LONGEST = 60;

/**
 * @param atOnce turns that run at the same time.
 * @param most requests that have a place.
 */
export function createQueue(atOnce: number, most: number): Queue {
  /** In the order in which they have their next turns, clients as well as the requests of each. */
  const clients = new Map<string, Set<Entry>>();
  let size = 0;
  let running = 0;
  /** Seconds between the ends of turns, on average. */
  let pace = 0;
  let ended = 0;

  /** The next request that has a turn waiting; it and its client go behind the others. */
  function next(): Entry | undefined {
    for (const [client, entries] of clients) {
      for (const entry of entries) {
        if (entry.waiting.length === 0) continue;
        entries.delete(entry);
        entries.add(entry);
        clients.delete(client);
        clients.set(client, entries);
        return entry;
      }
    }
    return undefined;
  }

  function begin(): void {
    while (running < atOnce) {
      const entry = next();
      if (!entry) return;
      running++;
      entry.begun = true;
      entry.waiting.shift()!();
    }
  }

  function end(): void {
    const now = performance.now() / 1000;
    // What nobody waited for says nothing about the pace.
    if (running === atOnce && ended > 0) pace += RECENT * (now - ended - pace);
    ended = now;
    running--;
    begin();
  }

  function full(): Refusal {
    const seconds = Math.min(Math.max(Math.ceil(size * pace), 1), LONGEST);
    return new Refusal(503, "the server has as many requests as it takes; try again later", {
      "retry-after": String(seconds),
    });
  }

  /** The newest request of the client with the most of them that has not begun, if `client` has fewer still with one more. */
  function lastOfBusiest(client: string): Entry | undefined {
    const counted = [...clients.values()].sort((a, b) => b.size - a.size)[0];
    if (!counted || counted.size <= (clients.get(client)?.size ?? 0) + 1) return undefined;
    return [...counted].reverse().find(({ begun }) => !begun);
  }

  function leave(entry: Entry): void {
    for (const [client, entries] of clients) {
      if (!entries.delete(entry)) continue;
      size--;
      if (entries.size === 0) clients.delete(client);
      return;
    }
  }

  return {
    get size() {
      return size;
    },
    get running() {
      return running;
    },
    check(client) {
      if (size >= most && !lastOfBusiest(client)) throw full();
    },
    enter(client, pushedOut) {
      if (size >= most) {
        const last = lastOfBusiest(client);
        if (!last) throw full();
        leave(last);
        last.pushedOut(full());
      }
      const entry: Entry = { waiting: [], begun: false, pushedOut };
      const entries = clients.get(client);
      if (entries) entries.add(entry);
      else clients.set(client, new Set([entry]));
      size++;
      return {
        async turn(work, signal) {
          signal.throwIfAborted();
          await new Promise<void>((resolve, reject) => {
            const start = () => {
              signal.removeEventListener("abort", stop);
              resolve();
            };
            const stop = () => {
              entry.waiting.splice(entry.waiting.indexOf(start), 1);
              reject(signal.reason);
            };
            signal.addEventListener("abort", stop, { once: true });
            entry.waiting.push(start);
            begin();
          });
          try {
            return await work();
          } finally {
            end();
          }
        },
        leave: () => leave(entry),
      };
    },
  };
}
