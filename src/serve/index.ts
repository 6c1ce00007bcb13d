/**
 * vitrail/serve: models behind the protocols that clients already speak, as a function from Request to Response: for Node, Deno, Bun,
 * Workers, and every framework that has these.
 */
import { type LoadOptions, load, type Model } from "../index.js";
import { excerpt } from "../json.js";
import { isEdge, processors } from "../platform/host.js";
import { openNetwork } from "../platform/network.js";
import { checkNames } from "../tasks/task.js";
import { createAllowances } from "./body.js";
import { createCall, type Server } from "./call.js";
import { createFetcher, createFetcherBy, type FetchImage } from "./fetcher.js";
import { type Limits, limitsOf } from "./limits.js";
import { createMetrics } from "./metrics.js";
import { createPool, type OpenModel } from "./pool.js";
import { plainFailure } from "./protocol.js";
import { createQueue } from "./queue.js";
import { Refusal, refusalOf } from "./refusal.js";
import { type Found, findRoute } from "./routes.js";

export type { Limits, OpenModel };

export interface HandlerOptions {
  /**
   * Models by the names that requests have for them: sources of `load`, or functions that open one by the options that they are
   * given, which hold the limits; or a list of sources that are their own names. They are loaded when they are first asked for. The
   * first is that of requests which name none.
   */
  models: readonly string[] | Readonly<Record<string, string | URL | OpenModel>>;
  limits?: Partial<Limits>;
  /**
   * Lets requests name images by http(s) addresses. They are asked of public addresses only, checked after the name is resolved and
   * after every redirection, from Node, Deno and Bun; elsewhere a `fetch` is given that reaches nothing else. Default: false.
   */
  fetchImages?: boolean | typeof globalThis.fetch;
  /** A token that requests must bear, but for those that only ask whether the server is there. */
  auth?: string;
  /** Origins of pages that may ask, "https://example.org", or "*". Default: those of the handler's own address. */
  cors?: readonly string[] | "*";
  /** Tells clients apart, between which turns go round, such as by their addresses. Default: all are one. */
  client?: (request: Request) => string;
  /** Told of errors that are not the client's, who learns nothing of them. */
  onError?: (error: unknown) => void;
}

export interface Handler {
  (request: Request): Promise<Response>;
  /** Loads a model ahead of its first request, by default the first. @throws Error as `load` does. */
  warm(name?: string): Promise<Pick<Model, "backend" | "tasks">>;
  /** Refuses requests from now on, and disposes of all models when those that have begun are answered. */
  close(): Promise<void>;
}

const OPTIONS: Readonly<Record<keyof HandlerOptions, true>> = {
  models: true,
  limits: true,
  fetchImages: true,
  auth: true,
  cors: true,
  client: true,
  onError: true,
};

/**
 * Turns that run at once: each processor computes two, which small models take as a batch, has the next, and one more is decoded
 * meanwhile. Where there is one processor, an isolate of a Worker, there is one.
 */
const turnsAtOnce = (): number => (isEdge() || processors() === 1 ? 1 : 4 * processors());

/** Seconds for which a browser keeps what it may ask. */
const PREFLIGHT = "7200";

/**
 * Makes a handler of requests.
 * @throws TypeError or RangeError for options that are none.
 * @example
 * const handler = createHandler({ models: ["google/vit-base-patch16-224"] });
 * const response = await handler(new Request("http://localhost/health"));
 */
export function createHandler(options: HandlerOptions): Handler {
  const { auth, cors = [], client = () => "", onError = () => {} } = checked(options);
  const limits = limitsOf(options.limits);
  const bounds = { sources: ["bytes"], pixelLimit: limits.pixels, decodeTimeout: limits.decode } satisfies LoadOptions;
  const pool = createPool(modelsOf(options.models), bounds, limits.memory);
  const allowanceOf = createAllowances(limits.held);
  let closing = false;
  let active = 0;
  /** Called when the last request is answered. */
  const waiting: (() => void)[] = [];
  const server: Server = {
    limits,
    pool,
    queue: createQueue(turnsAtOnce(), limits.requests),
    metrics: createMetrics(),
    fetchImage: fetcherOf(options.fetchImages),
    since: Math.floor(Date.now() / 1000),
    get closing() {
      return closing;
    },
  };

  /** The answer of a route, or the error in its words. */
  async function answer(request: Request, { route, parts }: Found): Promise<Response> {
    const end = new AbortController();
    const abort = () => end.abort(request.signal.reason);
    request.signal.addEventListener("abort", abort);
    if (request.signal.aborted) abort();
    const allowance = allowanceOf();
    try {
      if (!route.open) {
        if (closing) throw new Refusal(503, "the server is closing", { "retry-after": "5" });
        if (auth !== undefined && !isEqual(bearerOf(request), auth)) {
          throw new Refusal(401, "the request must bear the token of this server", { "www-authenticate": "Bearer" });
        }
      }
      return await route.answer(createCall(server, { request, parts, client: client(request), allowance, end }));
    } catch (error) {
      // Nobody reads it.
      if (request.signal.aborted) return new Response(null, { status: GONE });
      const refusal = refusalOf(error);
      if (!refusal || refusal.cause) onError(refusal?.cause ?? error);
      const { status, message, headers } = refusal ?? new Refusal(500, "the server failed at this request");
      return Response.json(route.failure(status, message), { status, headers });
    } finally {
      allowance.release();
      request.signal.removeEventListener("abort", abort);
    }
  }

  async function handle(request: Request): Promise<Response> {
    const begin = performance.now();
    const url = new URL(request.url);
    const origin = request.headers.get("origin");
    const isGiven = origin !== null && (cors === "*" || cors.includes(origin));
    const found = findRoute(request.method, url.pathname);
    // A page may make a browser ask, also without being told the answer.
    const isStranger = origin !== null && !isGiven && !isOf(origin, url);
    const unrouted = isStranger
      ? refused(403, "pages of this origin may not ask; the server's option cors says which may")
      : "methods" in found && answerWithout(request.method, found.methods);
    const response = unrouted || (await answer(request, found as Found));
    if (cors.length > 0) response.headers.set("vary", "origin");
    if (isGiven) allow(response.headers, origin, request);
    const route = "route" in found ? `${found.route.method} ${found.route.path}` : "none";
    server.metrics.request(route, response.status, (performance.now() - begin) / 1000);
    return request.method === "HEAD" ? new Response(null, response) : response;
  }

  async function handler(request: Request): Promise<Response> {
    active++;
    try {
      return await handle(request);
    } finally {
      if (--active === 0) for (const done of waiting) done();
    }
  }

  return Object.assign(handler, {
    async warm(name = pool.names[0]!) {
      try {
        const { model, release } = await pool.use(name, new AbortController().signal);
        const { backend, tasks } = model;
        release();
        return { backend, tasks };
      } catch (error) {
        throw (error as Error).cause ?? error;
      }
    },
    async close() {
      closing = true;
      if (active > 0) await new Promise<void>((resolve) => waiting.push(resolve));
      await pool.close();
    },
  });
}

/** The status that nginx has for a client that went away. */
const GONE = 499;

const refused = (status: number, message: string) => Response.json(plainFailure(status, message), { status });

/** The answer where no route fits, but those for other methods. */
function answerWithout(method: string, methods: readonly string[]): Response {
  if (methods.length === 0) return refused(404, "there is nothing at this path");
  const asked = `this path is asked by ${methods.join(" or ")}`;
  const response = method === "OPTIONS" ? new Response(null, { status: 204 }) : refused(405, asked);
  response.headers.set("allow", methods.join(", "));
  return response;
}

/** Tells a browser that a page of an origin may have the answer, and asked beforehand, what it may send. */
function allow(headers: Headers, origin: string, { method, headers: asked }: Request): void {
  headers.set("access-control-allow-origin", origin);
  headers.set("access-control-expose-headers", "retry-after");
  if (method !== "OPTIONS") return;
  headers.set("access-control-allow-methods", "GET, POST");
  headers.set("access-control-allow-headers", asked.get("access-control-request-headers") ?? "");
  headers.set("access-control-max-age", PREFLIGHT);
}

/** Tells whether an origin is the one that is asked: by its host, since a proxy may have taken https off. */
const isOf = (origin: string, { host }: URL): boolean => URL.canParse(origin) && new URL(origin).host === host;

const bearerOf = ({ headers }: Request): string =>
  /^Bearer +(.+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? "";

/** Compares in a time that depends on the length of `expected` alone. */
function isEqual(given: string, expected: string): boolean {
  let difference = given.length ^ expected.length;
  for (let i = 0; i < expected.length; i++)
    difference |= expected.charCodeAt(i) ^ given.charCodeAt(i % (given.length || 1));
  return difference === 0;
}

function modelsOf(models: HandlerOptions["models"]): ReadonlyMap<string, OpenModel> {
  const rows = Array.isArray(models) ? models.map((name: string) => [name, name] as const) : Object.entries(models);
  const opened = rows.map(([name, source]: readonly [string, string | URL | OpenModel]): [string, OpenModel] => {
    if (typeof source === "function") return [name, source];
    if (typeof source !== "string" && !(source instanceof URL)) {
      throw new TypeError(`createHandler: a model must be a source or a function; got ${excerpt(source)}`);
    }
    return [name, (options) => load(source, options)];
  });
  if (opened.length > 0) return new Map(opened);
  throw new RangeError("createHandler: models must be one at least; got none");
}

function fetcherOf(fetchImages: HandlerOptions["fetchImages"] = false): FetchImage | undefined {
  if (typeof fetchImages === "function") return createFetcherBy(fetchImages);
  if (!fetchImages) return undefined;
  const network = openNetwork();
  if (network) return createFetcher(network);
  throw new RangeError("createHandler: fetchImages must be a fetch here, as there are no sockets; got true");
}

function checked(options: HandlerOptions): HandlerOptions {
  checkNames("createHandler", options, OPTIONS);
  const { models, fetchImages, auth, cors, client, onError } = options;
  if (typeof models !== "object" || models === null) {
    throw new TypeError(`createHandler: models must be a list or an object; got ${excerpt(models)}`);
  }
  if (fetchImages !== undefined && !["boolean", "function"].includes(typeof fetchImages)) {
    throw new TypeError(`createHandler: fetchImages must be true, false or a fetch; got ${excerpt(fetchImages)}`);
  }
  // What is no token may hold one.
  if (auth !== undefined && (typeof auth !== "string" || auth === "")) {
    throw new TypeError(`createHandler: auth must be a text that is not empty; got ${typeof auth}`);
  }
  if (cors !== undefined && cors !== "*" && !(Array.isArray(cors) && cors.every((one) => isOrigin(one)))) {
    throw new TypeError(
      `createHandler: cors must be "*" or a list of origins, as "https://a.org"; got ${excerpt(cors)}`,
    );
  }
  for (const [name, value] of Object.entries({ client, onError })) {
    if (value === undefined || typeof value === "function") continue;
    throw new TypeError(`createHandler: ${name} must be a function; got ${excerpt(value)}`);
  }
  return options;
}

const isOrigin = (value: unknown): boolean =>
  typeof value === "string" && URL.canParse(value) && new URL(value).origin === value;
