/**
 * A user of an example's page: chooses images, waits, cancels, and posts what is to be seen. The page is as it was built; this
 * is put behind it by tests/bundlers.test.ts.
 */

export interface Seen {
  /** The last line: what runs, or why not. */
  readonly status: string;
  /** The progress bar, each time that it moved: a share of all. */
  readonly progress: readonly number[];
  readonly results: readonly { readonly text: string; readonly probability: number | undefined }[];
  /** Of many images, when the button was pressed after the first. */
  readonly cancelled: { readonly all: number; readonly done: number; readonly cancelled: number };
}

const element = <E extends Element>(selector: string) => document.querySelector<E>(selector)!;

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 9000)
      throw new Error(`${what} did not happen; the page says: ${document.body.textContent!.slice(-300)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Chooses files in the page's field, as from a dialog. */
function choose(files: readonly File[]): void {
  const chosen = new DataTransfer();
  for (const file of files) chosen.items.add(file);
  const input = element<HTMLInputElement>("input");
  input.files = chosen.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/** Results that are there: an item is made before its image is classified. */
const results = () =>
  [...document.querySelectorAll("li")].map((item) => ({
    text: item.textContent!,
    probability: item.querySelector("meter")?.value,
  }));
const done = () => results().filter(({ text }) => text !== "");

async function visit(): Promise<Seen> {
  const bar = element<HTMLProgressElement>("progress");
  const progress: number[] = [];
  const note = () => bar.position >= 0 && bar.position !== progress.at(-1) && progress.push(bar.position);
  new MutationObserver(note).observe(bar, { attributes: true });
  const status = () => element("#status").textContent!;
  await until("loading", () => status() !== "Loading the model");
  note();

  const names = ["cat-1.jpg", "dog-1.jpg", "lossy.webp", "rgb-8.png", "broken.jpg"];
  const files = await Promise.all(
    names.map(async (name) => new File([await (await fetch(`/photos/${name}`)).blob()], name)),
  );
  choose(files);
  await until("classifying", () => done().length === files.length);
  const seen = { status: status(), progress, results: results() };

  const all = 300;
  choose(Array(all).fill(files[0]));
  await until("the first result", () => results().length < all && done().length > 0);
  element<HTMLButtonElement>("button").click();
  await until("cancelling", () => done().length === all);
  const cancelled = done().filter(({ text }) => text.endsWith(": cancelled")).length;
  return { ...seen, cancelled: { all, done: done().length - cancelled, cancelled } };
}

const post = (task: string, body: unknown) =>
  fetch(`/result?task=${task}`, { method: "POST", body: JSON.stringify(body) });
await post("seen", await visit().catch((error: Error) => ({ failed: error.message })));
await post("end", {});
