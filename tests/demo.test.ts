/**
 * The page (demo/) as a person uses it, in Chromium by keys and pointer, a short way also in Firefox and WebKitGTK: built from the packed
 * package, on a host that sends no headers. What it shows is what the library computes in Node. Screenshots of all views stay.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { deflateSync, gzipSync } from "node:zlib";
import { load, type Pose } from "../src/index.js";
import { BROWSERS, type BrowserName, browse } from "./browser.js";
import { type Chromium, type Page, startChromium } from "./chromium.js";
import type { Visited } from "./demo.visitor.js";
import { type HubServer, startHub, TOKEN } from "./hub-server.js";
import { absent, installed, toolNode } from "./installed.js";
import { createProject } from "./project.js";

const VIEWS = ["start", "look", "layers", "features", "anatomy", "words", "depth", "boxes", "masks", "poses"];
const PHOTO = "demo/photos/lorikeet.jpg";
const SHARED = "../shared/models/vit-tiny-patch16-224/timm";
const VIT_TI = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".jpg": "image/jpeg",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
};

const tools = ["vite/bin/vite.js", "preact/package.json", "@fontsource-variable/inter/package.json"];
const lacks = tools.map((path) => absent(path.replace(/\/[^/]*(\/vite\.js)?$/, ""), installed(path))).find(Boolean);

/** The folder of the page as Vite builds it. */
let site = "";
function build(): string {
  if (site) return site;
  const files = ["index.html", "icon.svg", "vite.config.js", "service-worker.js", "tsconfig.json", "photos", "src"];
  const project = createProject("demo", Object.fromEntries(files.map((file) => [file, `demo/${file}`])));
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "--project", project], { stdio: "pipe" });
  const env = { ...process.env, NO_COLOR: "1", CI: "1" };
  execFileSync(toolNode, [installed("vite/bin/vite.js")!, "build"], { cwd: project, env, stdio: "pipe" });
  site = join(project, "dist");
  return site;
}

/** A file of the page, in which the Hub is where `hub` is. */
async function fileOf(pathname: string, hub?: string): Promise<Buffer | string> {
  const bytes = await readFile(join(build(), pathname.endsWith("/") ? `${pathname}index.html` : pathname));
  if (!hub || !/\.(js|html)$|\/$/.test(pathname)) return bytes;
  return String(bytes).replaceAll("https://huggingface.co", hub).replaceAll("https://*.hf.co", "http://127.0.0.1:*");
}

/** Largest share of a photo's names, as Node has it. */
async function bestOf(source: string | undefined, photo: string): Promise<{ label: string; percent: string }> {
  using model = await load(source);
  const [best] = await model.classify(photo);
  const { label, probability } = best!;
  return {
    label: label.split(",")[0]!,
    percent: probability > 0.999 ? "> 99.9 %" : `${(100 * probability).toFixed(1)} %`,
  };
}

/** Cosines of a patch with all others after a layer, in plain loops. */
async function cosinesOf(layer: number, patch: number): Promise<Float32Array> {
  using model = await load();
  const { geometry: _, ...pixelValues } = await model.preprocess(PHOTO);
  const { hiddenStates } = await model.forward({ pixelValues }, { outputs: ["hiddenStates"] });
  const { dims, data } = hiddenStates[layer]!;
  const [, tokens, width] = dims as [number, number, number];
  const dot = (a: number, b: number) => {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += data[a * width + i]! * data[b * width + i]!;
    return sum;
  };
  return Float32Array.from({ length: tokens }, (_, i) => dot(patch, i) / Math.sqrt(dot(patch, patch) * dot(i, i)));
}

/** A PNG of so many pixels a side, all black: its bytes are few, its pixels many. */
function blackPng(side: number): Buffer {
  const crc = (bytes: Buffer) => {
    let c = ~0;
    for (const byte of bytes) {
      c ^= byte;
      for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    }
    return ~c >>> 0;
  };
  const chunk = (name: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header[8] = 1;
  const pixels = deflateSync(Buffer.alloc((Math.ceil(side / 8) + 1) * side));
  const parts = [chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), ...parts]);
}

/** What the page is watched with from its first moment: tasks that take long, and layout that moves. */
const WATCH = `
  window.longTasks = []; window.shifts = [];
  new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) longTasks.push(duration); })
    .observe({ type: "longtask", buffered: true });
  new PerformanceObserver((list) => { for (const { value, hadRecentInput, sources } of list.getEntries()) {
    if (!hadRecentInput) shifts.push([value, sources.map(({ node }) => node?.className ?? node?.nodeName).join()]);
  } }).observe({ type: "layout-shift", buffered: true });`;

/** All that a view asked for is there. */
const SHOWN = `document.querySelector("#view[aria-busy=false]")`;
const READY = `performance.getEntriesByName("first picture").length > 0 && !document.querySelector(".veil")`;

suite("the page in Chromium", { skip: lacks || absent("Chromium", BROWSERS.chromium.command) }, () => {
  const pictures = join(tmpdir(), "vitrail-demo-pictures");
  const downloads = join(tmpdir(), `vitrail-demo-downloads-${process.pid}`);
  let server: Server;
  let hub: HubServer | undefined;
  let chromium: Chromium;
  let page: Page;
  let base = "";
  /** Paths that were served, and those that the page asked for: its service worker, which keeps all files, asks past the browser's cache. */
  let served: string[] = [];
  const asked = new Set<string>();
  const errors: string[] = [];
  const elsewhere: string[] = [];

  const text = (selector: string) =>
    page.run<string>(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ""`);
  /** Parts that moved by more than a thousandth of the window, as browsers count it. */
  const shifted = () => page.run<unknown[]>("shifts.filter(([share]) => share > 0.0005)");
  const view = async (name: string) => {
    await page.click(`#tab-${name}`);
    await page.until(`document.title.endsWith(document.getElementById("tab-${name}").textContent)`);
  };
  const choose = async (selector: string, ...files: string[]) => {
    const { root } = (await page.send("DOM.getDocument")) as { root: { nodeId: number } };
    const found = await page.send("DOM.querySelector", { nodeId: root.nodeId, selector });
    await page.send("DOM.setFileInputFiles", { nodeId: found.nodeId, files });
  };
  /** Types a model's name into the dialog. */
  const openByName = async (name: string) => {
    await page.click(".model");
    await page.click("dialog [type=text]");
    await page.send("Input.insertText", { text: name });
    await page.click("dialog form button");
  };

  before(async () => {
    build();
    if (existsSync(SHARED)) {
      const names = ["config.json", "model.safetensors"];
      hub = await startHub(Object.fromEntries(names.map((name) => [name, readFileSync(join(SHARED, name))])), VIT_TI);
    }
    server = createServer(async (request, response) => {
      const { pathname } = new URL(request.url!, "http://localhost");
      const fixture = /^\/(checkpoints|dense)\//.test(pathname) && readFile(`tests/fixtures${pathname}`);
      const bytes = await (fixture || fileOf(pathname, hub?.endpoint)).catch(() => undefined);
      served.push(pathname);
      if (request.headers["cache-control"] === undefined) asked.add(pathname);
      response.statusCode = bytes === undefined ? 404 : 200;
      response.setHeader("Content-Type", TYPES[pathname.endsWith("/") ? ".html" : extname(pathname)] ?? "");
      response.end(bytes);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    rmSync(pictures, { recursive: true, force: true });
    for (const folder of [pictures, downloads]) mkdirSync(folder, { recursive: true });
    chromium = await startChromium();
    page = chromium.page;
    await page.send("Log.enable");
    await page.send("Page.addScriptToEvaluateOnNewDocument", { source: WATCH });
    await page.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
    page.on("Log.entryAdded", ({ entry }) => {
      const { level, text, url } = entry as { level: string; text: string; url?: string };
      if (level === "error") errors.push(`${text} ${url ?? ""}`);
    });
    page.on("Runtime.exceptionThrown", ({ exceptionDetails }) => errors.push(JSON.stringify(exceptionDetails)));
    page.on("Network.requestWillBeSent", ({ request }) => {
      const { url } = request as { url: string };
      if (!url.startsWith(base) && !/^(blob|data):/.test(url)) elsewhere.push(url);
    });
    await page.size(1440, 900);
  });

  after(async () => {
    await chromium?.close();
    await hub?.close();
    server?.closeAllConnections();
    server?.close();
    rmSync(downloads, { recursive: true, force: true });
  });

  test("the first visit: a picture at once, nothing from elsewhere, nothing moves", async (t) => {
    await page.goto(base);
    await page.until(READY);
    const files = [...asked].filter((path) => !path.endsWith(".safetensors"));
    const [first] = await page.run<number[]>(`performance.getEntriesByName("first picture").map((e) => e.startTime)`);
    await page.run("navigator.serviceWorker.ready.then(() => 0)");
    let bytes = 0;
    for (const path of files) {
      const file = await fileOf(path).catch(() => "");
      bytes += /\.(jpg|woff2)$/.test(path) ? file.length : gzipSync(file).length;
    }
    t.diagnostic(
      `first picture after ${first!.toFixed(0)} ms; ${bytes} bytes in ${files.length} files without the model`,
    );
    const { label, percent } = await bestOf(undefined, PHOTO);
    assert.equal(await text(".bars dt"), label);
    assert.equal(await text(".bars .value"), percent);
    assert.equal(await page.run(`document.querySelectorAll(".heads button").length`), 48);
    assert.ok(bytes < 400_000, `${bytes} bytes`);
    assert.deepEqual(elsewhere, []);
    assert.deepEqual(errors, []);
    assert.deepEqual(await shifted(), []);
    t.diagnostic(`longest task: ${await page.run("Math.max(0, ...longTasks).toFixed(0)")} ms`);
  });

  test("no chunk imports from a worker's entry, of which WebKit would make a second one", () => {
    // Entries are named by their module and a hash of eight characters; what they import (lane-jobs) has its own name.
    const chunks = readdirSync(join(site, "assets")).filter((name) => name.endsWith(".js"));
    const entries = chunks.filter((name) => /^(worker|lane|thread)-[\w-]{8}\.js$/.test(name));
    assert.ok(entries.length >= 4, entries.join());
    for (const chunk of chunks) {
      const text = readFileSync(join(site, "assets", chunk), "utf8");
      const [, imported] = /(?:from|import)\s*["'`]\.\/((?:worker|lane|thread)-[\w-]{8}\.js)/.exec(text) ?? [];
      assert.equal(imported, undefined, chunk);
    }
  });

  test("pointing: the map follows, with the library's cosines", async (t) => {
    await view("look");
    await page.move("#window", 0.44, 0.31);
    await page.until(`document.getElementById("where").textContent.startsWith("Patch 20 of 64, row 3, column 4")`);
    const cosines = await cosinesOf(5, 19);
    const [best] = Array.from(cosines.keys())
      .filter((i) => i !== 19)
      .sort((a, b) => cosines[b]! - cosines[a]!) as [number];
    const place = `Row ${Math.floor(best / 8) + 1}, column ${(best % 8) + 1}, ${cosines[best]!.toFixed(2)}`;
    const label = `document.querySelector(".tiles button").ariaLabel`;
    await page.until(`${label} === ${JSON.stringify(place)}`, 3);
    await page.run(`window.changes = []; window.watcher = new MutationObserver((list) => changes.push(...list.map(({ target }) => target.outerHTML.slice(0, 80))));
      for (const part of document.querySelectorAll("header.top, .rail, .status, .heads, .strip"))
        watcher.observe(part, { subtree: true, childList: true, attributes: true, characterData: true }); 0`);
    await page.run(
      `window.frames = []; (function next(now) { frames.push(now); requestAnimationFrame(next); })(0); longTasks.length = 0`,
    );
    for (let i = 0; i < 90; i++) await page.move("#window", 0.5 + 0.4 * Math.cos(i / 7), 0.5 + 0.4 * Math.sin(i / 7));
    const spans = await page.run<number[]>(
      `frames.slice(2).map((now, i) => now - frames[i + 1]).sort((a, b) => a - b)`,
    );
    const at = (part: number) => spans[Math.floor(part * (spans.length - 1))]!.toFixed(1);
    assert.deepEqual(
      await page.run("watcher.disconnect(), changes.filter((change) => !change.startsWith('<canvas'))"),
      [],
      "what does not depend on the place stays as it is",
    );
    const long = await page.run<string>("Math.max(0, ...longTasks).toFixed(0)");
    t.diagnostic(`while hovering: frames of ${at(0.5)} ms, 95 % within ${at(0.95)} ms; longest task ${long} ms`);
    assert.deepEqual(await shifted(), []);
  });

  test("keys: arrows, layers, heads, and what a screen reader is told", async () => {
    await page.run(`document.getElementById("window").focus()`);
    await page.key("Home");
    for (let i = 0; i < 8; i++) await page.key("ArrowUp");
    await page.key("ArrowRight");
    await page.until(`document.getElementById("where").textContent.startsWith("Patch 2 of 64, row 1, column 2")`);
    await page.key("PageDown");
    await page.key("]");
    await page.until(`document.querySelector(".slider output").textContent === "4 of 6"`);
    await page.until(`document.querySelectorAll(".heads [aria-pressed=true]").length === 1`);
    const cosines = await cosinesOf(4, 1);
    const most = Math.max(...cosines.filter((_, i) => i !== 1)).toFixed(2);
    await page.until(`document.querySelector("[role=status]").textContent.includes("cosine ${most}. Layer 4.")`);
    assert.match(await text("[role=status]"), /^Row 1, column 2\. Most like it: row \d, column \d/);
    await page.key("Escape");
  });

  test("all views: without findings of axe, in both themes, kept as screenshots", async (t) => {
    const axe = installed("axe-core/axe.min.js");
    if (axe) await page.run(`${readFileSync(axe, "utf8")}; 0`);
    const findings: string[] = [];
    for (const [theme, width, height] of [
      ["light", 1024, 768],
      ["dark", 390, 844],
      ["dark", 1920, 1080],
    ] as const) {
      await page.size(width, height, theme);
      for (const name of VIEWS) {
        await view(name);
        await page.until(SHOWN);
        await page.screenshot(join(pictures, `${name}-${width}-${theme}.png`), true);
        // The dark theme has the same parts in other colors: three views show all of them.
        if (!axe || width === 1920 || (theme === "dark" && !["look", "words", "depth"].includes(name))) continue;
        const found = await page.run<
          string[]
        >(`axe.run({ resultTypes: ["violations"] }).then(({ violations }) => violations
          .filter(({ impact }) => impact === "serious" || impact === "critical")
          .map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html.slice(0, 160)).join(" | ")))`);
        findings.push(...found.map((finding) => `${name} at ${width}: ${finding}`));
      }
    }
    // A phone whose text is twice as large: nothing is wider than the screen, or lies on what is beside it.
    await page.size(390, 844);
    await page.run(`document.documentElement.style.fontSize = "200%"`);
    for (const name of VIEWS) {
      await view(name);
      await page.until(SHOWN);
      await page.screenshot(join(pictures, `${name}-390-large-text.png`), true);
      const [wide, over] = await page.run<[number, number]>(`(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        const title = document.createRange();
        title.selectNodeContents(document.querySelector("h1"));
        const tools = document.querySelector(".tools")?.getBoundingClientRect();
        const lines = Array.from(title.getClientRects()).filter(({ top, bottom }) => tools && top < tools.bottom && bottom > tools.top);
        return [scrollWidth - clientWidth, Math.max(0, ...lines.map(({ right }) => right - tools.left))];
      })()`);
      if (wide > 0 || over > 0)
        findings.push(`${name} with large text: ${wide} pixels too wide, ${over} over the title`);
    }
    await page.run(`document.documentElement.style.fontSize = ""`);
    t.diagnostic(`screenshots are in ${pictures}${axe ? "" : "; axe-core is not here, so nothing was checked by it"}`);
    await page.size(1440, 900);
    assert.deepEqual(findings, []);
    assert.deepEqual(errors, []);
  });

  test("a link shows the same again", async () => {
    await page.send("Browser.grantPermissions", { permissions: ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    await view("look");
    await page.click(".export button");
    await page.click(".menu [role=menuitem]:last-child");
    await page.until(`document.querySelector("[role=status]").textContent.startsWith("Link copied")`);
    const link = await page.run<string>("navigator.clipboard.readText()");
    assert.match(link, /#.*view=look.*row=0&col=1.*layer=4&head=1/);
    const before = await text(".body");
    await page.goto("about:blank");
    await page.goto(link);
    await page.until(READY);
    assert.equal(await text(".body"), before);
  });

  test("exports: PNG in the photo's size, a card, SVG, numbers, and code that runs", async () => {
    const saved = async (item: number) => {
      const had = new Set(readdirSync(downloads));
      await page.click(".export button");
      await page.click(`.menu [role=menuitem]:nth-child(${item})`);
      for (let tries = 0; ; tries++) {
        const file = readdirSync(downloads).find((name) => !had.has(name) && !name.endsWith(".crdownload"));
        if (file) return { file, bytes: readFileSync(join(downloads, file)) };
        assert.ok(tries < 300, "nothing was saved");
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    };
    const sizeOf = (png: Buffer) => [png.readUInt32BE(16), png.readUInt32BE(20)];
    const picture = await saved(1);
    assert.equal(picture.file, "vitrail-lorikeet-look.png");
    assert.deepEqual(sizeOf(picture.bytes), [512, 512]);
    assert.deepEqual(sizeOf((await saved(2)).bytes), [1200, 630]);
    assert.match(String((await saved(3)).bytes), /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    const { bytes } = await saved(4);
    const end = 10 + bytes.readUInt16LE(8);
    assert.match(bytes.toString("latin1", 10, end), /'shape': \(8, 8\)/);
    const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset + end, bytes.byteOffset + bytes.length));
    const expected = await cosinesOf(4, 1);
    for (const [i, cosine] of expected.entries()) assert.ok(Math.abs(numbers[i]! - cosine) < 1e-4, `${i}`);

    await page.click(".tools [aria-controls=code]");
    const code = await text(".code pre");
    assert.match(code, /picture\(model, "similarity", "lorikeet\.jpg", \{ layer: 4, from: \[0, 1\] \}\);/);
    const project = join(site, "..");
    cpSync(PHOTO, join(project, "lorikeet.jpg"));
    writeFileSync(join(project, "code.mjs"), `${code}\nconsole.log(svg);\n`);
    assert.match(execFileSync(process.execPath, ["code.mjs"], { cwd: project, encoding: "utf8" }), /^<svg/);
  });

  test("bad photos: a sentence, and everything else goes on", async () => {
    const files: Readonly<Record<string, [bytes: Buffer | string, sentence: RegExp]>> = {
      "notes.txt": ["no photo\n", /^"?notes\.txt"? is not a JPEG.*[^.]\.$/],
      "empty.jpg": ["", /empty\.jpg.*[^.]\.$/],
      "scan.png": [blackPng(10_000), /scan\.png.*100.*[^.]\.$/],
    };
    const before = await text(".body");
    for (const [name, [bytes, sentence]] of Object.entries(files)) {
      const file = join(downloads, name);
      writeFileSync(file, bytes);
      await choose("#photo-file", file);
      await page.until(`document.querySelector(".pane .notice")`);
      assert.match(await text(".pane .notice span"), sentence);
      assert.equal(await text(".body"), before);
      await page.click(".pane .notice button");
      await page.until(`!document.querySelector(".pane .notice")`);
    }
    await choose("#photo-file", join(process.cwd(), "tests/fixtures/image/exif-6.jpg"));
    await page.until(`document.querySelector(".own").ariaPressed === "true"`);
    await page.screenshot(join(pictures, "own-photo-1440-light.png"));
    // What the browser cannot draw by itself.
    const ppm = join(downloads, "sea.ppm");
    writeFileSync(ppm, Buffer.concat([Buffer.from("P6\n40 30\n255\n"), Buffer.alloc(3600, 90)]));
    await choose("#photo-file", ppm);
    await view("boxes");
    await page.until(`document.getElementById("where").textContent === "sea.ppm, 40 × 30 pixels"`);
    await view("look");
    await page.click(".thumb");
    await page.until(`document.querySelector(".thumb").ariaPressed === "true"`);
  });

  test("a press beside a dot of a chart is meant for it, as dots are smaller than fingers", async () => {
    await view("anatomy");
    const dot = `[aria-label^="Layer 2, head 1:"]`;
    await page.until(`document.querySelector('${dot}')`);
    const { x, y } = await page.run<{ x: number; y: number }>(`(() => {
      const { left, top, width } = document.querySelector('${dot}').getBoundingClientRect();
      return { x: left + width / 2 - 11, y: top + width / 2 };
    })()`);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await page.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
    await page.until(`document.title.endsWith("Look")`);
    await page.until(`document.querySelector(".slider output").textContent === "2 of 6"`);
    await page.until(`document.querySelectorAll(".heads [aria-pressed=true]").length === 1`);
  });

  test("models that are none: a sentence in the dialog", async () => {
    const before = await text(".body");
    const file = join(downloads, "notes.txt");
    writeFileSync(file, "no weights");
    await page.click(".model");
    await choose("#model-file", file);
    await page.until(`document.querySelector("dialog .notice")`);
    assert.match(await text("dialog .notice"), /^There must be a file of weights.*there is notes\.txt\.$/);
    const broken = join(downloads, "model.safetensors");
    writeFileSync(broken, "no weights");
    await choose("#model-file", broken);
    await page.until(`/safetensors/.test(document.querySelector("dialog .notice")?.textContent)`);
    await page.key("Escape");
    await page.until(`!document.querySelector("dialog")`);
    assert.equal(await text(".model .name"), "vitrail small");
    assert.equal(await text(".body"), before);
  });

  test("texts that are typed, by a checkpoint at an address", async () => {
    await page.goto("about:blank");
    await page.goto(`${base}#view=words&model=${encodeURIComponent(`${base}checkpoints/hf-clip`)}`);
    await page.until(READY);
    await page.until(SHOWN);
    await page.run(`document.querySelector(".texts input").select()`);
    await page.send("Input.insertText", { text: "cat, dog" });
    using clip = await load("tests/fixtures/checkpoints/hf-clip");
    const found = await clip.zeroShot(PHOTO, ["cat", "dog"], { template: "a photo of {}" });
    const shown = found.map(({ label, probability }) => `${label}${(100 * probability).toFixed(1)} %`).sort();
    const bars = `Array.from(document.querySelectorAll(".bars dt"), (dt, i) =>
      dt.textContent + document.querySelectorAll(".bars .value")[i].textContent).sort().join()`;
    await page.until(`${bars} === ${JSON.stringify(shown.join())}`);
    assert.equal(await page.run(`document.querySelectorAll(".three canvas").length`), 2);
    await page.screenshot(join(pictures, "typed-words-1440-light.png"), true);
  });

  test("poses of a box that is drawn on the photo", async () => {
    await page.goto("about:blank");
    await page.goto(`${base}#view=poses&model=${encodeURIComponent(`${base}dense/hf-vitpose-classic`)}`);
    await page.until(READY);
    await page.until(SHOWN);
    await page.drag("#window", [0.25, 0.125], [0.75, 0.875]);
    const code = `document.querySelector(".code pre").textContent`;
    await page.click(".tools [aria-controls=code]");
    await page.until(`${code}.includes("boxes:")`);
    const [, xmin, ymin, xmax, ymax] = /xmin: (\d+), ymin: (\d+), xmax: (\d+), ymax: (\d+)/
      .exec(await page.run<string>(code))!
      .map(Number) as [number, number, number, number, number];
    assert.deepEqual(
      [xmin, ymin, xmax, ymax].map((side) => Math.round(side / 8)),
      [16, 8, 48, 56],
      "of 512 pixels",
    );
    using model = await load("tests/fixtures/dense/hf-vitpose-classic");
    const [{ keypoints }] = (await model.pose(PHOTO, { boxes: [{ xmin, ymin, xmax, ymax }] })) as [Pose];
    const found = await page.run<string[]>(
      `Array.from(document.querySelectorAll(".found button"), (e) => e.textContent)`,
    );
    assert.deepEqual(
      found.map((text) => text.replace(/[\d.]+ %$/, "")),
      keypoints.map(({ name }) => name),
    );
    await page.screenshot(join(pictures, "poses-of-a-box-1440-light.png"), true);
  });

  test("a mask by keys: arrows to a patch, Enter takes it", async () => {
    await page.goto("about:blank");
    await page.goto(`${base}#view=masks&model=${encodeURIComponent(`${base}dense/hf-sam`)}`);
    await page.until(READY);
    await page.run(`document.getElementById("window").focus()`);
    await page.key("ArrowRight");
    await page.key("Enter");
    await page.until(`document.querySelector(".controls span").textContent.startsWith("1 point")`);
    await page.until(`${SHOWN} && document.querySelectorAll(".found button").length > 0`);
    await page.screenshot(join(pictures, "mask-by-keys-1440-light.png"), true);
  });

  test("offline: all views after the first visit, on several threads", async (t) => {
    await page.goto("about:blank");
    await page.goto(base);
    await page.until(READY);
    assert.equal(await page.run("crossOriginIsolated"), true);
    t.diagnostic(await text(".run"));
    served = [];
    const { port } = server.address() as AddressInfo;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await page.goto("about:blank");
    await page.goto(base);
    await page.until(READY);
    for (const name of VIEWS) {
      await view(name);
      await page.until(SHOWN);
    }
    await page.click(".thumb:nth-child(2)");
    await page.until(`document.querySelector(".thumb:nth-child(2)").ariaPressed === "true"`);
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    assert.deepEqual(served, []);
  });

  test("a model by name, over a network that is lost in the middle", {
    skip: !existsSync(SHARED) && `${SHARED} is not here`,
  }, async (t) => {
    await page.goto("about:blank");
    await page.goto(`${base}#view=start`);
    await page.until(READY);
    hub!.pace = 4;
    await openByName(VIT_TI);
    const arrived = (part: number) => page.until(`document.querySelector("dialog progress")?.value > ${part}`);
    await arrived(0.1);
    await page.screenshot(join(pictures, "model-on-its-way-1440-light.png"));
    hub!.isLost = true;
    await page.until(`document.querySelector("dialog .notice")`);
    t.diagnostic(await text("dialog .notice"));
    assert.match(await text("dialog .notice"), /^[A-Z"].*[^.]\.$/);
    await page.key("Escape");
    await page.until(`!document.querySelector("dialog")`);
    assert.equal(await text(".model .name"), "vitrail small");
    await page.click(".thumb:nth-child(3)");
    await page.until(`document.querySelector(".thumb:nth-child(3)").ariaPressed === "true"`);

    hub!.isLost = false;
    hub!.pace = 0;
    await openByName(VIT_TI);
    await page.until(
      `!document.querySelector("dialog") && document.querySelector(".model .name").textContent === "ViT-Ti/16"`,
    );
    await page.click(".thumb");
    const { label, percent } = await bestOf(SHARED, PHOTO);
    await page.until(`document.querySelector(".bars .value")?.textContent === ${JSON.stringify(percent)}`);
    assert.equal(await text(".bars dt"), label);
    assert.equal(await page.run(`document.querySelectorAll(".heads button").length`), 36);
    const size = hub!.files["model.safetensors"]!.length;
    const sent = hub!.sent.get("model.safetensors")!;
    t.diagnostic(`${sent} bytes were sent of ${size}`);
    assert.ok(sent < 1.5 * size, "what had arrived is not asked for again");
    await page.click(".pill");
    await page.until(`document.getElementById("where").textContent.startsWith("Class token")`);
    for (const name of ["look", "layers", "features"]) {
      await view(name);
      await page.until(SHOWN);
      await page.screenshot(join(pictures, `vit-ti-${name}-1440-light.png`), true);
    }
  });

  test("a gated model: the dialog asks for a token, sends it to the Hub and forgets it", {
    skip: !existsSync(SHARED) && `${SHARED} is not here`,
  }, async () => {
    await page.goto("about:blank");
    await page.goto(`${base}#view=start`);
    await page.until(READY);
    hub!.isPrivate = true;
    await openByName(VIT_TI);
    const give = async (token: string) => {
      await page.click("dialog [type=password]");
      await page.send("Input.insertText", { text: token });
      await page.click("dialog form:has([type=password]) button");
    };
    await page.until(`document.querySelector("dialog [type=password]")`);
    assert.match(
      await text("dialog .notice"),
      /is private, gated or does not exist; .* give a token of huggingface\.co\.$/,
    );
    await page.screenshot(join(pictures, "gated-1440-light.png"));
    await give("hf_wrong");
    await page.until(`/^The token does not open/.test(document.querySelector("dialog .notice")?.textContent)`);
    const asked = hub!.asked.length;
    await give(TOKEN);
    await page.until(
      `!document.querySelector("dialog") && document.querySelector(".model .name").textContent === "ViT-Ti/16"`,
    );
    assert.ok(hub!.asked.length > asked);
    for (const { what, authorization } of hub!.asked.slice(asked)) {
      assert.equal(authorization, what === "body" ? undefined : `Bearer ${TOKEN}`, what);
    }
    const kept = `JSON.stringify([location.href, Object.entries(localStorage), Object.entries(sessionStorage)])`;
    assert.ok(!(await page.run<string>(kept)).includes(TOKEN));
    hub!.isPrivate = false;
  });
});

for (const browser of ["firefox-esr", "WebKitGTK"] as BrowserName[]) {
  suite(`the page in ${browser}`, { skip: lacks || absent(browser, BROWSERS[browser].command) }, () => {
    test("a short visit, under the page's policy sent as a header", async (t) => {
      const policy = /content="(default-src[^"]*)"/.exec(String(await fileOf("/")))![1]!.replaceAll("&#39;", "'");
      const found = (await browse(browser, {
        page: "/",
        isolated: true,
        headers: { "Content-Security-Policy": policy },
        async serve(pathname) {
          if (pathname === "/visitor.js") return readFile("dist/tests/demo.visitor.js");
          const bytes = await fileOf(pathname);
          if (pathname !== "/") return bytes;
          return `${bytes}<script type="module" src="/visitor.js"></script>`;
        },
      })) as { visited: Visited };
      const { best, where, layer, views, saved, runs } = found.visited;
      t.diagnostic(runs);
      for (const [i, photo] of ["lorikeet", "car"].entries()) {
        const { label, percent } = await bestOf(undefined, `demo/photos/${photo}.jpg`);
        assert.equal(best[i], `${label} ${percent}`);
      }
      assert.match(where, /^Patch 20 of 64, row 3, column 4/);
      assert.equal(layer, "2 of 6");
      assert.equal(views.length, VIEWS.length);
      assert.deepEqual(saved.slice(0, 6), [0x93, ...Buffer.from("NUMPY")]);
    });
  });
}
