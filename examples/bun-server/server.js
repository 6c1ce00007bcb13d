// A server of OpenAI's, Hugging Face's and others' protocols, for the model that comes with vitrail.
import { load } from "vitrail";
import { createHandler } from "vitrail/serve";

const handler = createHandler({
  models: { cifar10: (options) => load(undefined, options) },
  // Turns go round by clients.
  client: (request) => server.requestIP(request)?.address ?? "",
  onError: console.error,
});
const server = Bun.serve({ hostname: "localhost", port: Number(process.env.PORT ?? 3000), fetch: handler });
console.log(`http://localhost:${server.port}`);
