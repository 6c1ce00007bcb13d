/**
 * On a page of Chromium: vitrail, onnxruntime-web and Transformers.js on the same page, in turns; from asking for a model to its first
 * result, and later ones. browser-page.ts is what the page runs. vitrail computes in a worker of its own, the others where they do
 * by default, on the page's thread.
 */
import { readFile } from "node:fs/promises";
import { BROWSERS, browse } from "../tests/browser.js";
import type { PageEngine, PageQuestion, PageTiming, PageWork } from "./browser-page.js";
import { packageUrl } from "./engines/thirdparty.js";
import { folderOf, onnxFile, PHOTO, ROOT, transformersFolder } from "./files.js";

export interface BrowserRace extends PageWork {
  readonly isolated: boolean;
  readonly timings: readonly PageTiming[];
}

export interface BrowserResults {
  readonly races: readonly BrowserRace[];
}

const RIVALS: readonly PageEngine[] = ["onnxruntime-web"];
const PHOTO_RIVALS: readonly PageEngine[] = ["transformers.js"];

/** What lacks for it. */
export const lacksChromium = (): string | undefined => (BROWSERS.chromium.command ? undefined : "Chromium");

/** @param installed tells whether a rival is there. */
export async function measureBrowser(installed: (engine: PageEngine) => boolean): Promise<BrowserResults> {
  const races: BrowserRace[] = [];
  for (const isolated of [false, true]) {
    // Pages that are not isolated have one thread.
    const threads = isolated ? 2 : 1;
    for (const size of ["Ti", "S", "B"] as const) {
      for (const precision of ["f32", "int8"] as const) {
        races.push(await visit({ kind: "logits", size, precision, threads }, isolated, RIVALS.filter(installed)));
      }
    }
    const photo: PageWork = { kind: "photo", size: "Ti", precision: "f32", threads };
    races.push(await visit(photo, isolated, PHOTO_RIVALS.filter(installed)));
  }
  return { races };
}

async function visit(work: PageWork, isolated: boolean, rivals: readonly PageEngine[]): Promise<BrowserRace> {
  const question: PageQuestion = { ...work, engines: ["vitrail", ...rivals] };
  console.error(`${Object.values(work).join(" ")}${isolated ? ", isolated" : ""} …`);
  const { timings } = (await browse("chromium", {
    page: `/bench/?${encodeURIComponent(JSON.stringify(question))}`,
    isolated,
    // Chromium would else write the models to its cache on disk while they run.
    headers: { "Cache-Control": "no-store" },
    seconds: 200,
    serve: (pathname) => serve(pathname, work),
  })) as { timings: PageTiming[] };
  return { ...work, isolated, timings };
}

const PAGE = `<!doctype html><title>vitrail</title>
<script type="importmap">{ "imports": { "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs" } }</script>
<body><script type="module" src="/dist/bench/browser-page.js"></script>`;

/** Files by their addresses: the models under names of their own, packages of rivals, and what was compiled. */
async function serve(pathname: string, { size, precision }: PageWork): Promise<Uint8Array | string | undefined> {
  if (pathname === "/bench/") return PAGE;
  if (pathname === "/photo.jpg") return readFile(PHOTO);
  const [, root, ...rest] = pathname.split("/");
  const path = rest.join("/");
  if (root === "checkpoint") return readFile(`${folderOf(size)}/${path}`);
  if (root === "onnx") return readFile(onnxFile(size, precision, 1));
  if (root === transformersFolder.name) return readFile(`${ROOT}${root}/${path}`);
  if (root === "thirdparty") return readFile(new URL(path, packageUrl(".")));
  return readFile(`.${pathname}`);
}
