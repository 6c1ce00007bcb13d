// vitrail/serve inside of an app of Express, beside routes of its own.
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { load } from "vitrail";
import { createHandler } from "vitrail/serve";

const clients = new WeakMap();
const handler = createHandler({
  models: { cifar10: (options) => load(undefined, options) },
  // Turns go round by clients.
  client: (request) => clients.get(request) ?? "",
  onError: console.error,
});

const app = express();
app.get("/hello", (_, response) => response.send("hello"));
app.use(
  getRequestListener((request, { incoming }) => {
    clients.set(request, incoming.socket.remoteAddress);
    return handler(request);
  }),
);

const server = app.listen(Number(process.env.PORT ?? 3000), "localhost", () => {
  console.log(`http://localhost:${server.address().port}`);
});
