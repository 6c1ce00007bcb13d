/** `vitrail serve`: models behind the protocols of vitrail/serve, until it is told to stop. */
import { basename } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { defaultModel, type LoadOptions, load } from "../index.js";
import { excerpt } from "../json.js";
import { createHandler, type OpenModel } from "../serve/index.js";
import { addressOf, listen } from "./http.js";
import { describeBackend, type Invocation, progressOf } from "./invocation.js";

/** Milliseconds for what runs to be finished, when the server is told to stop. */
const GRACE = 30_000;

export async function serve(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const { host, port, auth = process.env.VITRAIL_AUTH, cors, fetchImages, memory } = args.serve;
  if (auth === "") throw new Error("serve: VITRAIL_AUTH must not be empty");
  const models = modelsOf(invocation);
  const handler = createHandler({
    models,
    ...{ auth, cors, fetchImages, client: addressOf },
    limits: { memory: memory && 2 ** 20 * memory },
    onError: (error) => terminal.fail(error),
  });
  const [name] = Object.keys(models);
  const { backend, tasks } = await handler.warm(name);
  const server = await listen(handler, { host, port });
  if (args.json) terminal.printJson({ url: server.url, models: Object.keys(models), backend: backend.name });
  else {
    terminal.print(`${server.url} has ${Object.keys(models).join(", ")}`);
    terminal.printDim(`  ${name}: ${tasks.join(", ")}; ${describeBackend(backend)}`);
  }
  if (auth === undefined && !/^(127\.|::1$|localhost$)/.test(host)) {
    terminal.note(`anybody who reaches ${host} may ask: --auth sets a token`);
  }
  await toldToStop(signal);
  // A second signal ends the process, as it does by default.
  terminal.note("closing: what runs is finished first");
  const closed = Promise.all([server.close(), handler.close()]).then(() => true);
  const late = setTimeout(GRACE, false, { ref: false });
  if (!(await Promise.race([closed, late]))) process.exit(1);
}

const toldToStop = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    signal.addEventListener("abort", () => resolve());
  });

/** The models of the command line, by name: NAME=SOURCE, or a source, of which a path or an address is named by its last part. */
function modelsOf({ args, terminal }: Invocation): Readonly<Record<string, OpenModel>> {
  const progress = progressOf(terminal);
  const opening =
    (source: string | URL): OpenModel =>
    (options: LoadOptions) =>
      load(source, {
        ...{ ...args.load, ...args.hub, ...options },
        onProgress(bytes) {
          options.onProgress?.(bytes);
          progress(bytes);
        },
      });
  const given = [...args.models, ...args.operands];
  if (given.length === 0) return { default: opening(defaultModel()) };
  const models: Record<string, OpenModel> = {};
  for (const word of given) {
    const [, stated, source = word] = /^([\w.@-]+)=(.+)$/s.exec(word) ?? [];
    const name = stated ?? (isPlace(source) ? basename(source) : source);
    if (Object.hasOwn(models, name))
      throw new Error(`serve: two models are named ${excerpt(name)}; give one as NAME=${source}`);
    models[name] = opening(source);
  }
  return models;
}

/** Tells whether a source is a path or an address by its form, and no name of the Hub. */
const isPlace = (source: string): boolean => /^(\.{0,2}[/\\]|~|[a-z]:|file:|https?:)/i.test(source);
