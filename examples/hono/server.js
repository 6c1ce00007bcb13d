// vitrail/serve inside of an app of Hono, beside routes of its own.
import { serve } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import { Hono } from "hono";
import { load } from "vitrail";
import { createHandler } from "vitrail/serve";

const clients = new WeakMap();
const handler = createHandler({
  models: { cifar10: (options) => load(undefined, options) },
  // Turns go round by clients.
  client: (request) => clients.get(request) ?? "",
  onError: console.error,
});

const app = new Hono();
app.get("/hello", (c) => c.text("hello"));
app.all("*", (c) => {
  clients.set(c.req.raw, getConnInfo(c).remote.address);
  return handler(c.req.raw);
});

serve({ fetch: app.fetch, hostname: "localhost", port: Number(process.env.PORT ?? 3000) }, ({ port }) => {
  console.log(`http://localhost:${port}`);
});
