/**
 * Pages in a real browser. It is started with the address of a page, which runs tests/page.ts and posts what it found; nothing
 * has to drive it. Modules are served as they were compiled, so the page needs an import map for what is imported by name.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { find } from "./installed.js";
import type { Found } from "./page.js";

export interface Browser {
  /** Where it is, if it is here. */
  readonly command: string | undefined;
  /** Starts it on a page, with a profile that was never used. */
  args(profile: string, page: string, webgpu: boolean): string[];
}

/** Debian's WebKitGTK has a browser for tests, which needs a screen. */
const miniBrowser = ["x86_64", "aarch64"]
  .map((machine) => `/usr/lib/${machine}-linux-gnu/webkit2gtk-4.1/MiniBrowser`)
  .find(existsSync);

export const BROWSERS = {
  chromium: {
    command: find("chromium"),
    args: (profile, page, webgpu) => [
      "--headless=new",
      "--no-sandbox",
      ...(webgpu ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] : ["--disable-gpu"]),
      "--no-first-run",
      `--user-data-dir=${profile}`,
      page,
    ],
  },
  "firefox-esr": {
    command: find("firefox-esr"),
    args: (profile, page) => ["--headless", "--no-remote", "--profile", profile, page],
  },
  WebKitGTK: {
    command: miniBrowser && find("xvfb-run"),
    args: (_, page) => ["--auto-servernum", miniBrowser!, page],
  },
} satisfies Record<string, Browser>;
export type BrowserName = keyof typeof BROWSERS;

const IMPORTS = {
  "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs",
};
const TYPES: Record<string, string> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".json": "application/json",
  ".png": "image/png",
};

/** A page in a browser, and what it may do. */
export interface Visit {
  /** Its address, from the root on. */
  readonly page: string;
  /** What is at an address; undefined for nothing. A page posts what it finds to /result?task=NAME, and /result?task=end. */
  serve(pathname: string): Promise<Uint8Array | string | undefined>;
  /** Whether its pages are cross-origin isolated, so that they may share memory. */
  readonly isolated?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether the browser has WebGPU, on a processor. */
  readonly webgpu?: boolean;
  readonly seconds?: number;
}

/** What a page posts for each task, until it says that this is the end. */
export async function browse(name: BrowserName, visit: Visit): Promise<unknown> {
  const { page, serve, isolated, headers = {}, webgpu = false, seconds = 100 } = visit;
  const found: Record<string, { failed?: string }> = {};
  const profile = mkdtempSync(join(tmpdir(), "vitrail-browser-"));
  let child: ChildProcess | undefined;
  let finish = (_?: Error) => {};
  const finished = new Promise<void>((resolve, reject) => {
    finish = (error) => (error ? reject(error) : resolve());
  });
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url!, "http://localhost");
    if (pathname === "/result") {
      let body = "";
      for await (const chunk of request) body += chunk;
      response.end();
      const task = searchParams.get("task")!;
      if (task === "end") finish();
      else found[task] = JSON.parse(body);
      return;
    }
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const bytes = await serve(pathname).catch(() => undefined);
    response.statusCode = bytes === undefined ? 404 : 200;
    const type = TYPES[pathname.endsWith("/") ? ".html" : extname(pathname)];
    response.setHeader("Content-Type", type ?? "application/octet-stream");
    response.end(bytes);
  });
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}${page}`;
    const { command, args } = BROWSERS[name] as Browser;
    // Firefox writes to its home, too. What a browser starts is of its group, and ends with it.
    const env = { ...process.env, HOME: profile };
    child = spawn(command!, args(profile, address, webgpu), { stdio: "ignore", env, detached: true });
    child.on("error", finish);
    child.on("exit", (code) => finish(new Error(`${name} ended with status ${code}`)));
    const timer = setTimeout(() => {
      finish(new Error(`${name} has not finished after ${seconds} seconds; done: ${Object.keys(found)}`));
    }, seconds * 1000);
    await finished.finally(() => clearTimeout(timer));
    for (const [task, { failed }] of Object.entries(found)) assert.equal(failed, undefined, task);
    return found;
  } finally {
    child?.removeAllListeners("exit");
    const gone = new Promise((resolve) => child?.once("exit", resolve) ?? resolve(undefined));
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid);
      await gone;
    }
    server.closeAllConnections();
    server.close();
    await removeProfile(profile);
  }
}

/** How tests/page.ts is visited. */
export interface Site extends Pick<Visit, "isolated" | "headers"> {
  /** A file that it does not have. */
  readonly missing?: string;
  /** What stands for the Hub. */
  readonly hub?: string;
  /** Whether the browser has WebGPU, on a processor, and what checkpoints it is tested on. */
  readonly folders?: readonly string[];
}

/** What a browser's page finds for each task, with the library as it was compiled. */
export async function visit(browser: BrowserName, tasks: (keyof Found)[], site: Site = {}): Promise<Found> {
  const { missing, folders, hub, ...headers } = site;
  return (await browse(browser, {
    ...headers,
    // In a folder of its own: what is relative to the page is not so to the worker's script.
    page: `/tests/pages/?tasks=${tasks}&folders=${folders}`,
    webgpu: folders !== undefined,
    seconds: folders ? 500 : 100,
    async serve(pathname) {
      if (pathname === "/tests/pages/") {
        const map = JSON.stringify({ imports: IMPORTS });
        return `<!doctype html><title>vitrail</title><script type="importmap">${map}</script>
        <body><script type="module" src="/dist/tests/page.js"></script>`;
      }
      if (pathname === missing) return undefined;
      const bytes = await readFile(pathname.startsWith("/shared/") ? `..${pathname}` : `.${pathname}`);
      // Pages have no environment to say where the Hub is.
      if (hub && pathname === "/dist/src/hub/settings.js") return String(bytes).replace("https://huggingface.co", hub);
      // Workers have no import maps.
      const nodes = /^\/dist\/tests\/.*\.js$/.test(pathname);
      return nodes ? String(bytes).replace(/"node:[\w/]+"/g, '"/dist/tests/node.js"') : bytes;
    },
  })) as Found;
}

/** A browser's children outlive it a little, and write. */
async function removeProfile(profile: string): Promise<void> {
  for (let left = 20; ; left--) {
    try {
      return rmSync(profile, { recursive: true, force: true });
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
