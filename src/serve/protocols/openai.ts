/**
 * OpenAI's embeddings, with images as other servers take them in the same words: Infinity (`modality`), Jina (`input: [{ image }]`,
 * `normalized`, `embedding_type`) and vLLM (`messages`). Vectors have length 1, as OpenAI's.
 */
import { excerpt } from "../../json.js";
import { toUnit } from "../../numerics/vectors.js";
import { toBase64 } from "../../platform/bytes.js";
import { jsonOf } from "../body.js";
import { type Call, embedding, type Input } from "../call.js";
import { choice, type Fields, fieldsOf, optional } from "../fields.js";
import type { Route } from "../protocol.js";
import { malformed } from "../refusal.js";

/** Names of a format: OpenAI's, Jina's, and that of LlamaIndex for Jina's. */
const FORMAT_NAMES = ["encoding_format", "embedding_type", "encoding_type"];
const FORMATS = ["float", "base64"] as const;

/** Names that a request may have; `user` says who asks, which OpenAI keeps. */
const KNOWN = ["model", "input", "messages", "modality", ...FORMAT_NAMES, "dimensions", "normalized", "user"];

/** The model of a request of Infinity's client that names none. */
const NO_MODEL = "default/not-specified";

async function embeddings(call: Call): Promise<Response> {
  const fields = fieldsOf(jsonOf(await call.body()), "the body", KNOWN);
  const asked = optional(fields, "model", "text");
  const name = call.modelOf(asked === NO_MODEL ? undefined : asked);
  const [format] = FORMAT_NAMES.flatMap((name) => choice(fields, name, FORMATS) ?? []);
  const normalize = optional(fields, "normalized", "flag") ?? true;
  // Infinity's client asks for 0 of them where it wants all.
  const dimensions = fields.dimensions === 0 ? undefined : optional(fields, "dimensions", "count");
  const inputs = inputsOf(fields);
  let tokens = 0;
  const rows = await call.use(name, (model, each) => {
    const embed = embedding(model, normalize);
    const { matryoshka } = model.config;
    return each(inputs, async (input, signal) => {
      const row = await embed(input, signal);
      const ids = typeof input === "string" ? await model.text!.tokenize(input) : [];
      tokens += ids[0]?.length ?? 0;
      return dimensions === undefined ? row : shortened(row, dimensions, matryoshka, normalize);
    });
  });
  const data = rows.map((row, index) => ({
    object: "embedding",
    index,
    embedding: format === "base64" ? toBase64(littleEndian(row)) : Array.from(row),
  }));
  // Tokens of texts; images have none.
  return Response.json({ object: "list", data, model: name, usage: { prompt_tokens: tokens, total_tokens: tokens } });
}

/** All images and texts of a request, whichever way it has of naming them. */
function inputsOf(fields: Fields): readonly Input[] {
  const { input, messages } = fields;
  if ((input === undefined) === (messages === undefined))
    throw malformed("the body must have input or messages, not both");
  const modality = choice(fields, "modality", ["text", "image"]);
  if (messages !== undefined) {
    if (modality !== undefined) throw malformed("modality is of input, not of messages");
    return [inputOfMessages(messages)];
  }
  const list = Array.isArray(input) ? input : [input];
  if (list.length === 0) throw malformed("input must not be empty");
  return list.map((one) => {
    if (typeof one === "string") return modality === "image" ? { image: one } : { text: one };
    if (typeof one === "number" || Array.isArray(one))
      throw malformed("input must be of texts and images, not of tokens");
    // Images as Jina has them, and as LangChain and LlamaIndex have them for Jina.
    const given = Object.entries(fieldsOf(one, "an input", ["text", "image", "bytes", "url"]));
    const [[kind, value] = [], ...others] = given;
    if (typeof value !== "string" || others.length > 0)
      throw malformed(`an input must have a text or an image; got ${excerpt(one)}`);
    return kind === "text" ? { text: value } : { image: value };
  });
}

/** The one image or text of vLLM's messages: a model of two towers makes one vector of one of them. */
function inputOfMessages(messages: unknown): Input {
  if (!Array.isArray(messages)) throw malformed(`messages must be a list; got ${excerpt(messages)}`);
  const parts = messages.flatMap((message): unknown[] => {
    const { content } = fieldsOf(message, "a message", ["role", "content"]);
    return Array.isArray(content) ? content : [{ type: "text", text: content }];
  });
  if (parts.length !== 1) throw malformed(`messages must have one image or one text; got ${parts.length}`);
  const { type, text, image_url: image } = fieldsOf(parts[0], "content", ["type", "text", "image_url"]);
  if (type === "text" && typeof text === "string") return { text };
  const { url } = type === "image_url" ? fieldsOf(image, "image_url", ["url"]) : {};
  if (typeof url === "string") return { image: url };
  throw malformed(`content must be of type text, or image_url with an url; got ${excerpt(parts[0])}`);
}

/** The beginning of a vector, of models whose vectors may be cut: Kusupati et al. 2022, "Matryoshka Representation Learning". */
function shortened(
  row: Float32Array,
  dimensions: number,
  matryoshka: readonly number[] | undefined,
  normalize: boolean,
): Float32Array {
  if (dimensions === row.length) return row;
  if (!matryoshka)
    throw malformed(`dimensions must be ${row.length}, as vectors of this model cannot be cut; got ${dimensions}`);
  if (!matryoshka.includes(dimensions)) {
    throw malformed(`dimensions must be one of ${matryoshka.join(", ")}; got ${dimensions}`);
  }
  const part = row.slice(0, dimensions);
  return normalize ? toUnit(part) : part;
}

function littleEndian(row: Float32Array): Uint8Array {
  const bytes = new Uint8Array(4 * row.length);
  const view = new DataView(bytes.buffer);
  for (const [i, x] of row.entries()) view.setFloat32(4 * i, x, true);
  return bytes;
}

const described = ({ server }: Call, id: string) => ({
  id,
  object: "model",
  created: server.since,
  owned_by: "vitrail",
});

const models = (call: Call) =>
  Response.json({ object: "list", data: call.server.pool.names.map((name) => described(call, name)) });

/** OpenAI's error, and the sentence where clients of Infinity and Jina look for it. */
const failure = (status: number, message: string) => ({
  error: { message, type: status < 500 ? "invalid_request_error" : "server_error", param: null, code: null },
  detail: message,
});

export const openai: readonly Route[] = [
  ...["/v1/embeddings", "/embeddings"].map((path): Route => ({ method: "POST", path, answer: embeddings, failure })),
  ...["/v1/models", "/models"].map((path): Route => ({ method: "GET", path, answer: models, failure })),
  {
    method: "GET",
    path: "/v1/models/{name}",
    answer: (call) => Response.json(described(call, call.modelOf(call.parts.name))),
    failure,
  },
];
