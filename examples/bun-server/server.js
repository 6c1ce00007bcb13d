// POST an image, get its classes as JSON.
import { load } from "vitrail";

// What is sent is an image in bytes, never a path or an address that would be opened here.
const vit = await load(undefined, { sources: ["bytes"] });

const server = Bun.serve({
  port: Number(process.env.PORT ?? 3000),
  async fetch(request) {
    if (request.method !== "POST") return new Response("POST an image\n", { status: 405 });
    try {
      return Response.json(await vit.classify(await request.blob(), { signal: request.signal }));
    } catch (error) {
      return Response.json({ error: error.message }, { status: 400 });
    }
  },
});
console.log(`http://localhost:${server.port}`);
