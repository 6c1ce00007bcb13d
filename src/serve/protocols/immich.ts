/**
 * Immich's machine learning, of which it asks the first server of a list that answers: the vectors of its search by CLIP. Faces and
 * texts in images are refused, so that it asks the next server for them. Vectors have length 1, as those of its own models.
 */
import type { Geometry } from "../../image/geometry.js";
import type { Model } from "../../index.js";
import { toUnit } from "../../numerics/vectors.js";
import { formOf, jsonOf } from "../body.js";
import { type Call, embedding } from "../call.js";
import { type Fields, fieldsOf } from "../fields.js";
import { plainFailure, type Route } from "../protocol.js";
import { malformed, Refusal } from "../refusal.js";

/** The tower that Immich asks, and the name that it has for the model. */
function towerOf(entries: string): { readonly tower: "visual" | "textual"; readonly modelName: string } {
  const unknown = () => new Refusal(422, "this server does clip, visual or textual, one at a time");
  const record = (value: unknown): Fields => {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
    throw unknown();
  };
  const { clip, ...tasks } = record(jsonOf(new TextEncoder().encode(entries)));
  const [[tower, asked] = [], ...towers] = Object.entries(record(clip));
  if (Object.keys(tasks).length + towers.length > 0 || (tower !== "visual" && tower !== "textual")) throw unknown();
  // Options have the user's language, which models that are made for several read.
  const { modelName } = fieldsOf(asked, `clip.${tower}`, ["modelName", "options"]);
  if (typeof modelName !== "string") throw malformed("modelName must be a text");
  return { tower, modelName };
}

async function predict(call: Call): Promise<Response> {
  const form = await formOf(await call.body(), call.request.headers.get("content-type"));
  const entries = form.get("entries");
  if (typeof entries !== "string") throw new Refusal(422, "the form must have entries");
  const { tower, modelName } = towerOf(entries);
  const [text, image] = [form.get("text"), form.get("image")];
  const name = call.modelOf(modelName);
  if (tower === "textual") {
    if (typeof text !== "string") throw malformed("the form must have a text");
    const [row] = await call.use(name, (model, each) => each([{ text }], embedding(model, true)));
    return Response.json({ clip: JSON.stringify(Array.from(row!)) });
  }
  if (!(image instanceof Blob)) throw malformed("the form must have an image");
  const bytes = new Uint8Array(await image.arrayBuffer());
  const [found] = await call.use(name, (model, each) =>
    each([{ image: bytes }], (bytes, signal) => vectorAndSize(model, bytes as Uint8Array, signal)),
  );
  const { row, photo } = found!;
  return Response.json({
    ...{ clip: JSON.stringify(Array.from(row)), imageHeight: photo.height, imageWidth: photo.width },
  });
}

/** An image's vector, and the size of the photo. */
async function vectorAndSize(
  model: Model,
  image: Uint8Array,
  signal: AbortSignal,
): Promise<{ row: Float32Array; photo: Geometry["photo"] }> {
  if (model.config.features === 0)
    throw malformed("this model is no CLIP: it has no features that images and texts share");
  const pixelValues = await model.preprocess(image, { signal });
  const { imageFeatures } = await model.forward({ pixelValues }, { outputs: ["imageFeatures"], signal });
  return { row: toUnit(imageFeatures.data), photo: pixelValues.geometry.photo };
}

export const immich: readonly Route[] = [
  { method: "POST", path: "/predict", answer: predict, failure: plainFailure },
  { method: "GET", path: "/ping", open: true, answer: () => new Response("pong"), failure: plainFailure },
  {
    method: "GET",
    path: "/",
    open: true,
    // For people, who look here first, too.
    answer: () => Response.json({ message: "Immich ML", server: "vitrail" }),
    failure: plainFailure,
  },
];
