/** POST an image, and its classes come back as JSON. */
import { load } from "vitrail";

/** Files of public/, of which the weights are streamed: they are never whole in the Worker's memory. */
async function loadFrom(assets) {
  const get = (name) => assets.fetch(`https://assets/${name}`);
  const [config, { body: weights }] = await Promise.all([get("config.json"), get("model.safetensors")]);
  return load({ config: await config.json(), weights });
}

let model;

export default {
  async fetch(request, env) {
    if (request.method !== "POST") return new Response("POST a JPEG, PNG, WebP or GIF\n", { status: 405 });
    model ??= loadFrom(env.ASSETS);
    try {
      const vit = await model;
      return Response.json({ classes: await vit.classify(await request.bytes()), backend: vit.backend });
    } catch (error) {
      // What failed to load is loaded anew by the next request.
      model = await model.catch(() => undefined);
      return Response.json({ error: error.message }, { status: 400 });
    }
  },
};
