/**
 * `npm run build && node dist/bench/serve.js`: `vitrail serve` under load. HELP says what is measured; `npm run bench` has a part of it.
 * Keep the machine idle meanwhile.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { environment } from "./environment.js";
import { PHOTO } from "./files.js";
import { enterPeaks } from "./race.js";
import { loadTable } from "./report.js";
import type { Load } from "./serve-load.js";
import {
  MODELS,
  type ModelName,
  measureServe,
  prepareModels,
  residentOf,
  run,
  SERVERS,
  type ServeResults,
  type ServerLoad,
  startVitrail,
} from "./serve-measure.js";
import { readResults, writeResults } from "./written.js";

const HELP = `node dist/bench/serve.js [--seconds 60] [--connections 1,8,64,512] [--models ViT-Ti,B/32] [--python python3] [--write]
node dist/bench/serve.js --idle 10000

Prints images a second, the median and the 99th percentile of milliseconds, and the resident memory after each. --python also
measures a server of FastAPI with timm and transformers. --write puts the rows into bench/results.json, in the place of those of
the same model, server and number of connections, and into bench/RESULTS.md. --idle only opens as many connections that say
nothing, and asks beside them.`;

/** Puts loads into the results, in the place of earlier ones of the same kind. */
async function write({ loads }: ServeResults): Promise<void> {
  const peaks = enterPeaks();
  try {
    const results = readResults();
    const keyOf = ({ model, server, connections }: ServerLoad) =>
      `${model} ${server} ${String(connections).padStart(6)}`;
    const rows = new Map([...(results.serve?.loads ?? []), ...loads].map((load) => [keyOf(load), load]));
    const order = Object.keys(MODELS);
    const all = [...rows.values()].sort(
      (a, b) =>
        order.indexOf(a.model) - order.indexOf(b.model) ||
        SERVERS.indexOf(a.server) - SERVERS.indexOf(b.server) ||
        a.connections - b.connections,
    );
    writeResults({ ...results, serve: { environment: await environment(peaks), loads: all } });
  } finally {
    for (const { process } of peaks) process.stop();
  }
}

/** Connections that say nothing, and how long an image takes beside them; they are closed by the server in the end. */
async function idle(count: number): Promise<void> {
  prepareModels(["ViT-Ti"]);
  const server = await startVitrail(MODELS["ViT-Ti"].folder, "/");
  const load = (): Load => run("serve-load.js", server.url, 1, 3, PHOTO);
  const state = () => {
    const { p50 } = load();
    return `p50 ${p50.toFixed(0)} ms, ${((residentOf(server.process) ?? Number.NaN) / 1e6).toFixed(0)} MB resident`;
  };
  console.log(`without: ${state()}`);
  const { port } = new URL(server.url);
  const sockets: Socket[] = [];
  let [open, failed] = [0, 0];
  for (let i = 0; i < count; i++) {
    // Reading, or else it would not see that it was closed.
    const socket = connect(Number(port), "127.0.0.1").resume();
    socket.on("connect", () => open++);
    socket.on("close", () => open--);
    socket.on("error", () => failed++);
    sockets.push(socket);
    if (i % 100 === 0) await setTimeout(10);
  }
  await setTimeout(500);
  console.log(`with ${open} open (${failed} failed): ${state()}`);
  await setTimeout(15_000);
  console.log(`15 s later ${open} are open: ${state()}`);
  for (const socket of sockets) socket.destroy();
  server.process.kill("SIGTERM");
  const [status] = await once(server.process, "exit");
  console.log(`SIGTERM: exit status ${status}`);
}

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    connections: { type: "string", default: "1,8,64,512" },
    models: { type: "string", default: Object.keys(MODELS).join() },
    python: { type: "string" },
    write: { type: "boolean" },
    idle: { type: "string" },
    help: { type: "boolean" },
  },
});
if (values.help) console.log(HELP);
else if (values.idle) await idle(Number(values.idle));
else {
  const { seconds, connections, models, python } = values;
  const measured = await measureServe({
    models: models.split(",") as ModelName[],
    connections: connections.split(",").map(Number),
    seconds: Number(seconds),
    python,
  });
  console.log(loadTable(measured.loads));
  if (values.write) await write(measured);
}
