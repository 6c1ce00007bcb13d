/**
 * A server that speaks the Hub's protocol: what a revision is, and files by redirection to another origin, with ETags and
 * ranges. It can be told to misbehave.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
export const TOKEN = "hf_secret";

/** How it answers the next request for a file, or for the listing (under the name ""); what stays is said. */
export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly retryAfter?: string }
  /** Sends so many bytes, then closes the connection. */
  | { readonly kind: "cut"; readonly bytes: number }
  /** Sends so many bytes, then nothing more. */
  | { readonly kind: "stall"; readonly bytes: number }
  /** Sends another last byte. */
  | { readonly kind: "wrong" }
  /** Sends all, whatever range is asked for. */
  | { readonly kind: "whole" }
  /** Says what a page of an application would. */
  | { readonly kind: "page" };

export interface Asked {
  readonly what: "listing" | "resolve" | "body" | "discussions" | "commits";
  readonly file: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** A pull request, of one commit on another. */
export interface PullRequest {
  readonly num: number;
  readonly title: string;
  readonly status: string;
  readonly author: string;
  readonly isPullRequest?: boolean;
  readonly parent: string;
  readonly commit: string;
  /** Files that it adds. */
  readonly files: Record<string, Uint8Array>;
}

export interface HubServer {
  /** For HF_ENDPOINT. */
  readonly endpoint: string;
  /** All requests, in order. */
  readonly asked: Asked[];
  /** Bytes of bodies that were sent, by file. */
  readonly sent: Map<string, number>;
  files: Record<string, Uint8Array>;
  /** Those of a file come one after the other, one a request. */
  readonly faults: Record<string, Fault[]>;
  commit: string;
  pullRequests: PullRequest[];
  /** Whether only TOKEN opens the repository. */
  isPrivate: boolean;
  /** What the listing says beyond the files, or in their place. */
  siblings: object[];
  /** Whether it cannot be reached: connections end without an answer. */
  isLost: boolean;
  /** Milliseconds between the 64 KiB of a body. */
  pace: number;
  close(): Promise<void>;
}

const isLarge = (name: string) => /\.(safetensors|npz|bin)$/.test(name);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
/** As git names a file. */
const blobId = (bytes: Uint8Array) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
export const etagOf = (name: string, bytes: Uint8Array): string => (isLarge(name) ? sha256(bytes) : blobId(bytes));

const listen = (server: Server) =>
  new Promise<string>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)),
  );

/** @param repo the one repository that it has. */
export async function startHub(files: Record<string, Uint8Array>, repo = "a/b"): Promise<HubServer> {
  const asked: Asked[] = [];
  const sent = new Map<string, number>();
  let storage = "";

  const note = (what: Asked["what"], file: string, { headers }: IncomingMessage) =>
    asked.push({ what, file, range: headers.range, authorization: headers.authorization });

  function end(response: ServerResponse, status: number, headers: Record<string, string> = {}, body = ""): void {
    response.writeHead(status, { "Access-Control-Allow-Origin": "*", ...headers });
    response.end(body);
  }

  const takeFault = (name: string) => hub.faults[name]?.shift();

  const api = createServer((request, response) => {
    if (hub.isLost) return void request.socket.destroy();
    if (request.method === "OPTIONS") {
      return end(response, 204, { "Access-Control-Allow-Headers": "authorization" });
    }
    const pathname = new URL(request.url!, "http://localhost").pathname.replace(`/${repo}/`, "/a/b/");
    const [, listing] = /^\/api\/models\/a\/b\/revision\/(.*)$/.exec(pathname) ?? [];
    const [, commit, name = ""] = /^\/a\/b\/resolve\/([0-9a-f]+)\/(.*)$/.exec(pathname) ?? [];
    const file = decodeURIComponent(name);
    const [, api, reference = ""] = /^\/api\/models\/a\/b\/(discussions|commits)(?:\/(.*))?$/.exec(pathname) ?? [];
    const pullOf = (revision: string) =>
      hub.pullRequests.find(({ num, commit }) => [`refs/pr/${num}`, commit].includes(decodeURIComponent(revision)));
    note((api as Asked["what"]) ?? (listing === undefined ? "resolve" : "listing"), file, request);
    if (hub.isPrivate && request.headers.authorization !== `Bearer ${TOKEN}`) return end(response, 401);
    if (listing !== undefined) {
      const fault = takeFault("");
      if (fault?.kind === "status") {
        return end(response, fault.status, fault.retryAfter === undefined ? {} : { "Retry-After": fault.retryAfter });
      }
      if (fault?.kind === "page") return end(response, 200, { "Content-Type": "text/html" }, "<!doctype html>");
      const pull = pullOf(listing);
      if (!pull && !["main", "v1", "refs%2Fpr%2F1", hub.commit].includes(listing)) return end(response, 404);
      const siblings = Object.entries({ ...hub.files, ...pull?.files }).map(([rfilename, bytes]) => ({
        rfilename,
        size: bytes.length,
        blobId: blobId(bytes),
        ...(isLarge(rfilename) && { lfs: { sha256: sha256(bytes), size: bytes.length } }),
      }));
      return end(
        response,
        200,
        {},
        JSON.stringify({ sha: pull?.commit ?? hub.commit, siblings: [...siblings, ...hub.siblings] }),
      );
    }
    if (api === "discussions") {
      const discussions = hub.pullRequests.map(({ author, num, title, status, isPullRequest = true }) => {
        return { num, title, status, isPullRequest, author: { name: author } };
      });
      return end(response, 200, {}, JSON.stringify({ discussions, count: discussions.length, start: 0 }));
    }
    if (api === "commits") {
      const pull = pullOf(reference);
      const ids = pull ? [pull.commit, pull.parent] : [hub.commit];
      return end(response, 200, {}, JSON.stringify(ids.map((id) => ({ id, title: "a commit" }))));
    }
    const own = commit === hub.commit && file in hub.files;
    if (!own && !(file in (pullOf(commit ?? "")?.files ?? {}))) return end(response, 404);
    // Elsewhere, as the Hub's large files are.
    end(response, 302, { Location: `${storage}/${name}?signature=s` });
  });

  const bodies = createServer(async (request, response) => {
    if (hub.isLost) return void request.socket.destroy();
    const { pathname } = new URL(request.url!, "http://localhost");
    const file = decodeURIComponent(pathname.slice(1));
    note("body", file, request);
    const fault = takeFault(file);
    if (fault?.kind === "status") {
      return end(response, fault.status, fault.retryAfter === undefined ? {} : { "Retry-After": fault.retryAfter });
    }
    const all = hub.files[file] ?? hub.pullRequests.find(({ files }) => file in files)!.files[file]!;
    const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
    const begin = from === undefined || fault?.kind === "whole" ? 0 : Number(from);
    const headers = { "Access-Control-Allow-Origin": "*", ETag: `"${etagOf(file, all)}"`, "Accept-Ranges": "bytes" };
    if (begin > 0 && begin >= all.length) return end(response, 416, { "Content-Range": `bytes */${all.length}` });
    response.writeHead(begin > 0 ? 206 : 200, {
      ...headers,
      "Content-Length": String(all.length - begin),
      ...(begin > 0 && { "Content-Range": `bytes ${begin}-${all.length - 1}/${all.length}` }),
    });
    const stop = fault?.kind === "cut" || fault?.kind === "stall" ? begin + fault.bytes : all.length;
    for (let at = begin; at < stop; at += 65536) {
      const piece = all.slice(at, Math.min(at + 65536, stop));
      if (fault?.kind === "wrong" && at + piece.length === all.length) piece[piece.length - 1]! ^= 1;
      if (hub.isLost) return void request.socket.destroy();
      if (response.destroyed) return;
      sent.set(file, (sent.get(file) ?? 0) + piece.length);
      await new Promise((resolve) => response.write(piece, resolve));
      if (hub.pace > 0) await new Promise((resolve) => setTimeout(resolve, hub.pace));
    }
    if (fault?.kind === "stall") return;
    // Not destroyed: what is on its way must arrive.
    if (stop < all.length) return void request.socket.end();
    response.end();
  });

  const endpoint = await listen(api);
  storage = await listen(bodies);
  const hub: HubServer = {
    endpoint,
    asked,
    sent,
    files,
    faults: {},
    commit: COMMIT,
    pullRequests: [],
    isPrivate: false,
    siblings: [],
    isLost: false,
    pace: 0,
    async close() {
      for (const server of [api, bodies]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  return hub;
}
