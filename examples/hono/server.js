// POST an image, get its classes as JSON. Images that arrive within a few milliseconds go through the model as one list.
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { load } from "vitrail";

const WAIT_MS = 5;
// What is sent is an image in bytes, never a path or an address that would be opened here.
const vit = await load(undefined, { sources: ["bytes"] });

/** Those that wait for the next list. */
let waiting = [];

function classify(image) {
  return new Promise((resolve, reject) => {
    if (waiting.length === 0) setTimeout(flush, WAIT_MS);
    waiting.push({ image, resolve, reject });
  });
}

async function flush() {
  const batch = waiting;
  waiting = [];
  let results = [];
  let errors = [];
  try {
    results = await vit.classify(batch.map(({ image }) => image));
  } catch (error) {
    // Images that cannot be read fail alone: the results of the others are in the error.
    ({ results = [], errors = [error] } = error);
  }
  const failed = [...errors];
  for (const [i, { resolve, reject }] of batch.entries()) {
    if (results[i]) resolve(results[i]);
    else reject(failed.shift());
  }
}

const app = new Hono();
app.post("/", async (c) => c.json(await classify(await c.req.blob())));
app.onError((error, c) => c.json({ error: error.message }, 400));

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000) }, ({ port }) => {
  console.log(`http://localhost:${port}`);
});
