// Answers GET classify?image=ADDRESS with the classes of that image, without a server.
import { load } from "vitrail";

async function open() {
  const [config, weights] = await Promise.all(
    ["config.json", "model.safetensors"].map((file) => fetch(`model/${file}`)),
  );
  return load({ config: await config.json(), weights: weights.body });
}

/** Loaded for the first image, and again when the browser has stopped the worker meanwhile. */
let model;

async function classify(image) {
  try {
    model ??= open().catch((error) => {
      model = undefined;
      throw error;
    });
    const vit = await model;
    const response = await fetch(image);
    return Response.json(await vit.classify(await response.blob(), { topK: 3 }));
  } catch (error) {
    return Response.json({ error: error.message }, { status: 400 });
  }
}

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { pathname, searchParams } = new URL(event.request.url);
  if (pathname.endsWith("/classify")) event.respondWith(classify(searchParams.get("image")));
});
