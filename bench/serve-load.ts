/**
 * Run by serve.ts in a process of its own: clients that post an image over and over, each on a connection of its own, and prints how
 * long they waited: URL CONNECTIONS SECONDS FILE.
 */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";

export interface Load {
  /** Answers of status 200 a second. */
  readonly perSecond: number;
  /** Of all that were answered, milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Answers of other statuses, by status; 0 of requests that were not answered. */
  readonly others: Readonly<Record<number, number>>;
}

const [url, connections, seconds, file] = process.argv.slice(2) as [string, string, string, string];
const agent = new Agent({ keepAlive: true, maxSockets: Number(connections) });
const body = readFileSync(file);
const times: number[] = [];
const others: Record<number, number> = {};
const begin = performance.now();
const end = begin + 1000 * Number(seconds);

const post = () =>
  new Promise<number>((resolve) => {
    const sent = request(url, { method: "POST", agent, headers: { "content-length": body.length } }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode!));
    });
    sent.on("error", () => resolve(0));
    sent.end(body);
  });

async function ask(): Promise<void> {
  while (performance.now() < end) {
    const start = performance.now();
    const status = await post();
    if (status === 200) times.push(performance.now() - start);
    else others[status] = (others[status] ?? 0) + 1;
  }
}

await Promise.all(Array.from({ length: Number(connections) }, ask));
const elapsed = (performance.now() - begin) / 1000;
times.sort((a, b) => a - b);
const at = (part: number) => times[Math.min(Math.floor(part * times.length), times.length - 1)] ?? Number.NaN;
const load: Load = { perSecond: times.length / elapsed, p50: at(0.5), p99: at(0.99), others };
console.log(JSON.stringify(load));
