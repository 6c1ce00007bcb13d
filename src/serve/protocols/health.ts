/** The state of the server: for what starts and stops it, and for Prometheus. */
import { memoryOfProcess } from "../../platform/host.js";
import type { Call } from "../call.js";
import type { Gauge } from "../metrics.js";
import { plainFailure, type Route } from "../protocol.js";
import { Refusal } from "../refusal.js";

function health({ server }: Call): Response {
  if (server.closing) throw new Refusal(503, "the server is closing");
  return Response.json({ status: "ok" });
}

function counts({ server: { metrics, queue, pool } }: Call): Response {
  const memory = memoryOfProcess();
  const gauges: Gauge[] = [
    ["vitrail_requests", "Requests that run or wait.", () => queue.size],
    ["vitrail_turns", "Images and texts that are being worked on.", () => queue.running],
    ["vitrail_model_bytes", "Memory of each model that is loaded.", () => pool.bytes],
    ...(memory === undefined
      ? []
      : [["process_resident_memory_bytes", "Resident memory of the process.", () => memory] satisfies Gauge]),
  ];
  return new Response(metrics.text(gauges), {
    headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
  });
}

export const state: readonly Route[] = [
  { method: "GET", path: "/health", open: true, answer: health, failure: plainFailure },
  { method: "GET", path: "/metrics", answer: counts, failure: plainFailure },
];
