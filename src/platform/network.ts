/** Names of hosts, and requests to an address that is known: what a server needs that fetches for strangers. Node, Deno and Bun. */
import { builtin, hasFileSystem } from "./host.js";

/** An answer whose body is read as it arrives. */
export interface NetworkAnswer {
  readonly status: number;
  header(name: string): string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the connection. */
  close(): void;
}

export interface Network {
  /** Addresses of a host's name, IPv4 before IPv6; none if there is none. */
  resolve(host: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Asks for a URL at an address of its host: no name is looked up any more. Redirections are not followed. */
  get(url: URL, address: string, signal: AbortSignal): Promise<NetworkAnswer>;
}

/** Tells names from addresses, which a certificate is not asked for by. */
const isName = ({ hostname }: URL): boolean => !/^\[|\.\d+$/.test(hostname);

/** Seconds that a server of names has. */
const PATIENCE = 5;

/** The network of this machine; undefined where there are no sockets. */
export function openNetwork(): Network | undefined {
  if (!hasFileSystem()) return undefined;
  return {
    async resolve(host, signal) {
      // Not getaddrinfo, which takes one of the few threads that files are read on, for as long as a slow server likes.
      const { Resolver } = builtin("node:dns/promises");
      const resolver = new Resolver({ timeout: 1000 * PATIENCE, tries: 1 });
      const cancel = () => resolver.cancel();
      signal.addEventListener("abort", cancel);
      try {
        const found = await Promise.all([
          resolver.resolve4(host).catch(() => []),
          resolver.resolve6(host).catch(() => []),
        ]);
        return found.flat();
      } finally {
        signal.removeEventListener("abort", cancel);
      }
    },
    get(url, address, signal) {
      const { request } = url.protocol === "https:" ? builtin("node:https") : builtin("node:http");
      return new Promise((resolve, reject) => {
        const sent = request({
          // The address is connected to; the name is what the server and its certificate are asked for.
          host: address,
          ...(isName(url) && { servername: url.hostname }),
          headers: { host: url.host, "accept-encoding": "identity", "user-agent": "vitrail" },
          port: url.port || undefined,
          path: url.pathname + url.search,
          agent: false,
          signal,
        });
        sent.on("response", (message) => {
          resolve({
            status: message.statusCode!,
            header: (name) => message.headers[name] as string | undefined,
            body: message,
            close: () => message.destroy(),
          });
        });
        sent.on("error", reject);
        sent.end();
      });
    },
  };
}
