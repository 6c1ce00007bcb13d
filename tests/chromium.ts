/** Chromium as a person uses it: keys, a pointer, a screen, by its DevTools protocol over a pipe; nothing is installed for it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { BROWSERS } from "./browser.js";

/** An answer or an event of the protocol. */
interface Message {
  readonly id?: number;
  readonly sessionId?: string;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

export interface Page {
  /** Calls a method of the protocol. */
  send(method: string, params?: object): Promise<Record<string, unknown>>;
  /** Hears of every event of a name. */
  on(event: string, listener: (params: Record<string, unknown>) => void): void;
  goto(url: string): Promise<void>;
  /** The value of an expression, or of its promise, on the page. */
  run<T>(expression: string): Promise<T>;
  /** Waits until an expression is true. */
  until(expression: string, seconds?: number): Promise<void>;
  size(width: number, height: number, theme?: "light" | "dark"): Promise<void>;
  /** Presses and lets go of the left button in the middle of an element. */
  click(selector: string): Promise<void>;
  /** Moves the pointer to a place in an element, parts of its width and height. */
  move(selector: string, x: number, y: number): Promise<void>;
  /** Draws with the left button from one place in an element to another. */
  drag(selector: string, from: readonly [number, number], to: readonly [number, number]): Promise<void>;
  key(key: string): Promise<void>;
  screenshot(file: string, whole?: boolean): Promise<void>;
}

export interface Chromium {
  readonly page: Page;
  close(): Promise<void>;
}

/** Numbers of keys, by which the browser itself knows them. */
const KEYS: Readonly<Record<string, number>> = {
  ...{ Enter: 13, Escape: 27, PageUp: 33, PageDown: 34, End: 35, Home: 36 },
  ...{ ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 },
};

export async function startChromium(): Promise<Chromium> {
  const profile = mkdtempSync(join(tmpdir(), "vitrail-chromium-"));
  const args = BROWSERS.chromium.args(profile, "about:blank", false);
  const child: ChildProcess = spawn(BROWSERS.chromium.command!, ["--remote-debugging-pipe", ...args], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    env: { ...process.env, HOME: profile },
  });
  const [input, output] = [child.stdio[3] as Writable, child.stdio[4] as Readable];
  const calls = new Map<number, (message: Message) => void>();
  const listeners = new Map<string, ((params: Record<string, unknown>) => void)[]>();
  let count = 0;
  let rest = "";
  output.setEncoding("utf8");
  output.on("data", (text: string) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop()!;
    for (const json of messages) {
      const message = JSON.parse(json) as Message;
      if (message.id !== undefined) calls.get(message.id)?.(message);
      else for (const listener of listeners.get(message.method!) ?? []) listener(message.params!);
    }
  });
  const call = (method: string, params: object, sessionId?: string) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const id = ++count;
      calls.set(id, ({ result, error }) => {
        calls.delete(id);
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result!);
      });
      input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });

  const { targetInfos } = await call("Target.getTargets", {});
  const { targetId } = (targetInfos as { type: string; targetId: string }[]).find(({ type }) => type === "page")!;
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const send: Page["send"] = (method, params = {}) => call(method, params, sessionId as string);
  await Promise.all(["Page", "Runtime", "Network"].map((domain) => send(`${domain}.enable`)));

  const run: Page["run"] = async (expression) => {
    const { result, exceptionDetails } = (await send("Runtime.evaluate", {
      ...{ expression, awaitPromise: true, returnByValue: true, userGesture: true },
    })) as { result: { value: never }; exceptionDetails?: { exception?: { description?: string } } };
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description}`);
    return result.value;
  };
  /** A place in an element in the window's pixels, after it is there and was scrolled to. */
  const placeOf = async (selector: string, x = 0.5, y = 0.5) => {
    const found = `document.querySelector(${JSON.stringify(selector)})`;
    await page.until(`${found}?.getClientRects().length`);
    return run<[number, number]>(`(() => {
      const element = ${found};
      element.scrollIntoView({ block: "nearest" });
      const { left, top, width, height } = element.getBoundingClientRect();
      return [left + width * ${x}, top + height * ${y}];
    })()`);
  };
  const mouse = (type: string, [x, y]: readonly [number, number], more: object = {}) =>
    send("Input.dispatchMouseEvent", { type, x, y, ...more });

  const page: Page = {
    send,
    run,
    on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
    async goto(url) {
      const loaded = new Promise<void>((resolve) => page.on("Page.loadEventFired", () => resolve()));
      await send("Page.navigate", { url });
      await loaded;
    },
    async until(expression, seconds = 20) {
      for (const end = Date.now() + 1000 * seconds; !(await run(`Boolean(${expression})`)); ) {
        if (Date.now() > end) {
          const text = await run<string>("document.body.innerText.slice(0, 600)");
          throw new Error(`${expression} did not happen in ${seconds} s; the page says: ${text}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    },
    async size(width, height, theme = "light") {
      const mobile = width < 700;
      await send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile });
      await send("Emulation.setTouchEmulationEnabled", { enabled: mobile });
      await send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: theme }] });
    },
    async click(selector) {
      const place = await placeOf(selector);
      await mouse("mouseMoved", place);
      for (const type of ["mousePressed", "mouseReleased"]) await mouse(type, place, { button: "left", clickCount: 1 });
    },
    move: async (selector, x, y) => void (await mouse("mouseMoved", await placeOf(selector, x, y))),
    async drag(selector, from, to) {
      const [start, end] = [await placeOf(selector, ...from), await placeOf(selector, ...to)];
      await mouse("mouseMoved", start);
      await mouse("mousePressed", start, { button: "left", clickCount: 1 });
      await mouse("mouseMoved", end, { buttons: 1 });
      await mouse("mouseReleased", end, { button: "left", clickCount: 1 });
    },
    async key(key) {
      const windowsVirtualKeyCode = KEYS[key] ?? key.toUpperCase().charCodeAt(0);
      for (const type of ["keyDown", "keyUp"]) {
        await send("Input.dispatchKeyEvent", { type, key, code: key, windowsVirtualKeyCode });
      }
    },
    async screenshot(file, whole = false) {
      const { data } = await send("Page.captureScreenshot", {
        captureBeyondViewport: whole,
        ...(whole && (await clip())),
      });
      writeFileSync(file, Buffer.from(data as string, "base64"));
    },
  };

  /** All of the page, also what has to be scrolled to. */
  async function clip() {
    const [width, height] = await run<number[]>("[innerWidth, document.documentElement.scrollHeight]");
    return { clip: { x: 0, y: 0, width, height, scale: 1 } };
  }

  return {
    page,
    async close() {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      await call("Browser.close", {}).catch(() => {});
      await gone;
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}
