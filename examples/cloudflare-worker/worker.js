/** A Worker of OpenAI's, Hugging Face's and others' protocols: POST an image, and its classes come back as JSON. */
import { load } from "vitrail";
import { createHandler } from "vitrail/serve";

/** Files of public/, of which the weights are streamed: they are never whole in the Worker's memory. */
const loadFrom = (assets) => async (options) => {
  const get = (name) => assets.fetch(`https://assets/${name}`);
  const [config, { body: weights }] = await Promise.all([get("config.json"), get("model.safetensors")]);
  return load({ config: await config.json(), weights }, options);
};

/** Bounds by which the model and the photos have room in the 128 MB of an isolate. */
const limits = { body: 2 ** 23, held: 2 ** 24, pixels: 12.5e6, requests: 16 };

let handler;

export default {
  async fetch(request, env) {
    handler ??= createHandler({ models: { vit: loadFrom(env.ASSETS) }, limits, onError: console.error });
    return handler(request);
  },
};
