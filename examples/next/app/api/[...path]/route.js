// vitrail/serve on the server, below /api: OpenAI's embeddings are at /api/v1/embeddings, an image's classes at /api/models/cifar10.
import { load } from "vitrail";
import { createHandler } from "vitrail/serve";

const handler = createHandler({ models: { cifar10: (options) => load(undefined, options) }, onError: console.error });

function answer(request) {
  const url = new URL(request.url);
  url.pathname = url.pathname.slice("/api".length);
  return handler(new Request(url, request));
}

export { answer as GET, answer as POST };
