/** Node's HTTP in front of a function from Request to Response, with patience for no client without end. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIPv6, type Socket } from "node:net";

/** Milliseconds that clients have, and bytes a second. */
export interface Patience {
  /** For the head of a request, for all of it, and between two requests of a connection, or from closing to the end of one. */
  readonly head: number;
  readonly whole: number;
  readonly between: number;
  /** Between two looks at connections that may be late. */
  readonly look: number;
  /** For an answer to be taken, and as many bytes a second beyond. */
  readonly taken: number;
  readonly pace: number;
  /** For the rest of a body that nobody reads to arrive, so that its sender sees the answer. */
  readonly linger: number;
}

const PATIENCE: Patience = {
  ...{ head: 10_000, whole: 60_000, between: 5000, look: 2000 },
  ...{ taken: 30_000, pace: 10_000, linger: 1000 },
};

const addresses = new WeakMap<Request, string>();

/** The address that a request came from. */
export const addressOf = (request: Request): string => addresses.get(request) ?? "";

const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[?::1\]?)$/i.test(host);

export interface Listening {
  readonly url: string;
  /** Takes no more connections; those that are open end with their next answer. */
  close(): Promise<void>;
}

/**
 * Listens until it is closed.
 * @param host an address of this machine. Of a loopback one, requests for other names are refused: a page could have its own name
 * lead here.
 */
export async function listen(
  handler: (request: Request) => Promise<Response>,
  { host, port, patience = PATIENCE }: { readonly host: string; readonly port: number; readonly patience?: Patience },
): Promise<Listening> {
  let closing = false;
  const {
    head: headersTimeout,
    whole: requestTimeout,
    between: keepAliveTimeout,
    look,
    taken,
    pace,
    linger,
  } = patience;
  const timeouts = { headersTimeout, requestTimeout, keepAliveTimeout, connectionsCheckingInterval: look };
  const server = createServer(timeouts, (incoming, outgoing) => {
    void answer(incoming, outgoing);
  });

  /** All connections, with the request that each has. */
  const connections = new Map<Socket, IncomingMessage | undefined>();
  server.on("connection", (socket) => {
    connections.set(socket, undefined);
    socket.on("close", () => connections.delete(socket));
  });

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const gone = new AbortController();
    connections.set(incoming.socket, incoming);
    outgoing.on("close", () => {
      if (!outgoing.writableFinished) gone.abort(new Error("the client went away"));
    });
    const request = requestOf(incoming, gone.signal);
    const response =
      request && (!isLoopback(host) || isLoopback(new URL(request.url).hostname))
        ? await handler(request)
        : Response.json({ error: "the request is not for this server" }, { status: request ? 421 : 400 });
    const body = Buffer.from(await response.arrayBuffer());
    if (outgoing.destroyed) return;
    // Who sends a body that is not read, and who does not take its answer, is not waited for.
    incoming.resume();
    const late = setTimeout(() => incoming.socket.destroy(), taken + (1000 * body.length) / pace);
    outgoing.on("close", () => clearTimeout(late));
    outgoing.on("finish", () => {
      if (incoming.complete) return;
      const lingering = setTimeout(() => incoming.socket.destroy(), linger);
      incoming.on("close", () => clearTimeout(lingering));
    });
    const headers = Object.fromEntries(response.headers);
    const length = response.status === 204 ? {} : { "content-length": body.length };
    outgoing.writeHead(response.status, { ...headers, ...length, ...(closing && { connection: "close" }) });
    outgoing.end(body);
  }

  await listening(server, host, port);
  const address = server.address() as AddressInfo;
  return {
    url: `http://${isIPv6(host) ? `[${host}]` : host}:${address.port}`,
    close() {
      closing = true;
      // Node stops to look for late connections when the server closes.
      const late = setTimeout(() => {
        for (const [socket, request] of connections) if (!request?.complete) socket.destroy();
      }, keepAliveTimeout);
      return new Promise((resolve) =>
        server.close(() => {
          clearTimeout(late);
          resolve();
        }),
      );
    },
  };
}

const listening = (server: Server, host: string, port: number) =>
  new Promise<void>((resolve, reject) => {
    server.once("error", ({ message }) => reject(new Error(`serve: cannot listen: ${message}`)));
    server.listen(port, host, resolve);
  });

/** Bytes of a body that are read ahead of who takes them. */
const READ_AHEAD = 2 ** 17;

/**
 * The body as a stream of the Web, as `Readable.toWeb` gives it in more time: a request with 88 kB kept the event loop busy for 0.6 to
 * 0.9 ms, with that for 1.3 to 1.5.
 */
function bodyOf(incoming: IncomingMessage): ReadableStream<Uint8Array> {
  const size = ({ length }: Uint8Array) => length;
  return new ReadableStream(
    {
      start(controller) {
        incoming.on("data", (chunk: Uint8Array) => {
          controller.enqueue(chunk);
          if (controller.desiredSize! <= 0) incoming.pause();
        });
        incoming.on("end", () => controller.close());
        incoming.on("error", (error) => controller.error(error));
        incoming.pause();
      },
      pull() {
        incoming.resume();
      },
      cancel() {
        incoming.removeAllListeners("data").removeAllListeners("end");
      },
    },
    { highWaterMark: READ_AHEAD, size },
  );
}

/** The request as the Web has it; undefined for one that it does not have. */
function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request | undefined {
  const { url = "", method = "", headers, socket } = incoming;
  const target = `http://${headers.host ?? ""}${url}`;
  if (!url.startsWith("/") || !URL.canParse(target)) return undefined;
  const hasBody = method !== "GET" && method !== "HEAD";
  const pairs = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
  const body = hasBody ? { body: bodyOf(incoming), duplex: "half" } : {};
  try {
    const request = new Request(target, { method, headers: pairs, signal, ...body });
    addresses.set(request, socket.remoteAddress ?? "");
    return request;
  } catch {
    // A method such as TRACE, a header that fetch does not have.
    return undefined;
  }
}
