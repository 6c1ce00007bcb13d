/**
 * A visitor of the page (demo/) without a driver: points, slides, looks at every view, saves numbers, and posts what it found.
 * tests/demo.test.ts puts it behind the page, in browsers that nothing drives.
 */

export interface Visited {
  /** The best name of the first photo, and of the second. */
  readonly best: readonly string[];
  /** The line below the photo after pointing. */
  readonly where: string;
  /** The slider's own words after it was moved. */
  readonly layer: string;
  /** Titles of views that showed something. */
  readonly views: readonly string[];
  /** Bytes of the .npy that was saved. */
  readonly saved: readonly number[];
  readonly runs: string;
}

const one = <E extends HTMLElement = HTMLElement>(selector: string) => document.querySelector<E>(selector)!;

async function until(what: string, condition: () => unknown): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 1500)
      throw new Error(`${what} did not happen; the page says: ${document.body.textContent!.slice(0, 600)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function visit(): Promise<Visited> {
  const best: string[] = [];
  const answer = async () => {
    await until("an answer", () => one(".bars .value")?.textContent);
    best.push(`${one(".bars dt").textContent} ${one(".bars .value").textContent}`);
  };
  await answer();
  one(".thumb:nth-child(2)").click();
  await until("the second photo", () => one(".thumb:nth-child(2)").ariaPressed === "true");
  await answer();

  one("#tab-look").click();
  await until("Look", () => one(".tiles"));
  const { left, top, width, height } = one("#window").getBoundingClientRect();
  const place = { clientX: left + 0.44 * width, clientY: top + 0.31 * height, bubbles: true, pointerType: "mouse" };
  one("#window").dispatchEvent(new PointerEvent("pointermove", place));
  await until("pointing", () => one("#where").textContent!.includes("row 3, column 4"));
  const where = one("#where").textContent!;
  const slider = one<HTMLInputElement>("[type=range]");
  slider.value = "2";
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await until("sliding", () => one("output").textContent!.startsWith("2"));
  const layer = one("output").textContent!;

  let blob: Blob | undefined;
  const { createObjectURL } = URL;
  URL.createObjectURL = (object) => {
    blob = object as Blob;
    return createObjectURL(object);
  };
  HTMLAnchorElement.prototype.click = () => {};
  one(".export button").click();
  await until("the menu", () => one(".menu"));
  one(".menu [role=menuitem]:nth-child(4)").click();
  await until("saving", () => blob);
  const saved = [...new Uint8Array(await blob!.arrayBuffer())];

  const views: string[] = [];
  for (const tab of document.querySelectorAll<HTMLElement>("[role=tab]")) {
    tab.click();
    await until(tab.textContent!, () => document.title.endsWith(tab.textContent!) && one("#view[aria-busy=false]"));
    views.push(tab.textContent!);
  }
  return { best, where, layer, views, saved, runs: one(".run").textContent! };
}

const post = (task: string, body: unknown) =>
  fetch(`/result?task=${task}`, { method: "POST", body: JSON.stringify(body) });
await post("visited", await visit().catch((error: Error) => ({ failed: error.message })));
await post("end", {});
