/** POST an image, and its classes come back as JSON. */
import { load } from "vitrail";

/** Files of public/, of which the weights are streamed: they are never whole in the Worker's memory. */
async function loadFrom(assets) {
  const get = (name) => assets.fetch(`https://assets/${name}`);
  const [config, { body: weights }] = await Promise.all([get("config.json"), get("model.safetensors")]);
  return load({ config: await config.json(), weights }, { sources: ["bytes"] });
}

let model;

/** Of all requests, the first loads it; one that failed is loaded anew by the next. */
function shared(assets) {
  model ??= loadFrom(assets).catch((error) => {
    model = undefined;
    throw error;
  });
  return model;
}

export default {
  async fetch(request, env) {
    if (request.method !== "POST") return new Response("POST a JPEG, PNG, WebP, GIF or BMP\n", { status: 405 });
    const vit = await shared(env.ASSETS);
    try {
      return Response.json({ classes: await vit.classify(await request.bytes()), backend: vit.backend });
    } catch (error) {
      return Response.json({ error: error.message }, { status: 400 });
    }
  },
};
