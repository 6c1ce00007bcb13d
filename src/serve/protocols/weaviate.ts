/** Weaviate's multi2vec-clip, the container of which it is told by CLIP_INFERENCE_API. Vectors are as the towers give them. */
import { jsonOf } from "../body.js";
import { type Call, embedding } from "../call.js";
import { fieldsOf, optional } from "../fields.js";
import { plainFailure, type Route } from "../protocol.js";
import { Refusal } from "../refusal.js";

async function vectorize(call: Call): Promise<Response> {
  const fields = fieldsOf(jsonOf(await call.body()), "the body", ["texts", "images"]);
  const of = (name: string) =>
    (Array.isArray(fields[name]) && fields[name].length === 0 ? [] : optional(fields, name, "texts")) ?? [];
  const texts = of("texts").map((text) => ({ text }));
  const images = of("images").map((image) => ({ image }));
  const rows = await call.use(call.modelOf(undefined), async (model, each) =>
    (await each([...texts, ...images], embedding(model, false))).map((row) => Array.from(row)),
  );
  return Response.json({ textVectors: rows.slice(0, texts.length), imageVectors: rows.slice(texts.length) });
}

function ready({ server }: Call): Response {
  if (server.closing) throw new Refusal(503, "the server is closing");
  return new Response(null, { status: 204 });
}

export const weaviate: readonly Route[] = [
  { method: "POST", path: "/vectorize", answer: vectorize, failure: plainFailure },
  {
    method: "GET",
    path: "/meta",
    answer: ({ server }) => Response.json({ server: "vitrail", models: server.pool.names }),
    failure: plainFailure,
  },
  ...["/.well-known/ready", "/.well-known/live"].map(
    (path): Route => ({ method: "GET", path, open: true, answer: ready, failure: plainFailure }),
  ),
];
