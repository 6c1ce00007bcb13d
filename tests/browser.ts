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
import { delimiter, extname, join } from "node:path";
import type { Found } from "./page.js";

/** How each browser is started on a page, with a profile that was never used. */
export const BROWSERS: Record<string, (profile: string, page: string, webgpu: boolean) => string[]> = {
  chromium: (profile, page, webgpu) => [
    "--headless=new",
    "--no-sandbox",
    ...(webgpu ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] : ["--disable-gpu"]),
    "--no-first-run",
    `--user-data-dir=${profile}`,
    page,
  ],
  "firefox-esr": (profile, page) => ["--headless", "--no-remote", "--profile", profile, page],
};

export const find = (name: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(existsSync);

const IMPORTS = {
  "@jsquash/jpeg/": "/node_modules/@jsquash/jpeg/",
  "@jsquash/webp/": "/node_modules/@jsquash/webp/",
  "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs",
  unzipit: "/node_modules/unzipit/dist/unzipit.module.js",
};
const TYPES: Record<string, string> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".png": "image/png",
};

export interface Site {
  /** Whether its pages are cross-origin isolated, so that they may share memory. */
  readonly isolated?: boolean;
  readonly headers?: Record<string, string>;
  /** A file that it does not have. */
  readonly missing?: string;
  /** What stands for the Hub. */
  readonly hub?: string;
  /** Whether the browser has WebGPU, on a processor, and what checkpoints it is tested on. */
  readonly folders?: readonly string[];
}

/** What a browser's page finds for each task. */
export async function visit(browser: string, tasks: (keyof Found)[], site: Site = {}): Promise<Found> {
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
    if (site.isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    for (const [name, value] of Object.entries(site.headers ?? {})) response.setHeader(name, value);
    // In a folder of its own: what is relative to the page is not so to the worker's script.
    if (pathname === "/tests/pages/") {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      const map = JSON.stringify({ imports: IMPORTS });
      response.end(`<!doctype html><title>vitrail</title><script type="importmap">${map}</script>
        <body><script type="module" src="/dist/tests/page.js"></script>`);
      return;
    }
    const file = pathname.startsWith("/shared/") ? `..${pathname}` : `.${pathname}`;
    const bytes = site.missing === pathname ? undefined : await readFile(file).catch(() => undefined);
    response.statusCode = bytes ? 200 : 404;
    response.setHeader("Content-Type", TYPES[extname(file)] ?? "application/octet-stream");
    // Workers have no import maps.
    const nodes = bytes && /^\/dist\/tests\/.*\.js$/.test(pathname);
    // Pages have no environment to say where the Hub is.
    const names = bytes && site.hub && pathname === "/dist/src/hub/settings.js";
    if (names) response.end(String(bytes).replace("https://huggingface.co", site.hub!));
    else response.end(nodes ? String(bytes).replace(/"node:[\w/]+"/g, '"/dist/tests/node.js"') : bytes);
  });
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const page = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tests/pages/?tasks=${tasks}&folders=${site.folders}`;
    // Firefox writes to its home, too.
    const env = { ...process.env, HOME: profile };
    child = spawn(find(browser)!, BROWSERS[browser]!(profile, page, site.folders !== undefined), {
      stdio: "ignore",
      env,
    });
    child.on("error", finish);
    child.on("exit", (code) => finish(new Error(`${browser} ended with status ${code}`)));
    const seconds = site.folders ? 500 : 100;
    const timer = setTimeout(() => {
      finish(new Error(`${browser} has not finished after ${seconds} seconds; done: ${Object.keys(found)}`));
    }, seconds * 1000);
    await finished.finally(() => clearTimeout(timer));
    for (const [task, { failed }] of Object.entries(found)) assert.equal(failed, undefined, task);
    return found as unknown as Found;
  } finally {
    child?.removeAllListeners("exit");
    const gone = new Promise((resolve) => child?.once("exit", resolve) ?? resolve(undefined));
    if (child?.exitCode === null) {
      child.kill();
      await gone;
    }
    server.closeAllConnections();
    server.close();
    await removeProfile(profile);
  }
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
