/** What the page does: opens photos and models, and asks the worker, of which there is one. */
import { useEffect } from "preact/hooks";
import type { ModelFunctions, PhotoBytes, Seen, Source } from "./model.js";
import { shortName } from "./models.js";
import { drawable, sampleBlob, sampleOf } from "./photos.js";
import { type Asking, connect } from "./rpc.js";
import { type Address, type Answer, get, type Photo, type State, set } from "./state.js";

export const ask = connect<ModelFunctions>(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }));

/** A sentence of an error: without the name of the function that threw it, which a person on the page has not called. */
export function sentence(error: unknown): string {
  const text = (error as Error).message
    .replace(/^(decode|load|hub|image|picture|preprocess|web|fetch): /, "")
    .replace(/, and no token was given; .*/, "; if you may use it, give a token of huggingface.co")
    .replace(/\.$/, "");
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Ends what a later wish makes needless. */
function newest() {
  let controller = new AbortController();
  return () => {
    controller.abort();
    controller = new AbortController();
    return controller.signal;
  };
}

const nextPhoto = newest();
const nextModel = newest();
let count = 0;

/** Has the model look at a photo, and then draws and shows it; an error leaves the old one. */
async function look(photo: PhotoBytes, draw: () => Promise<Photo>, more: Partial<State> = {}): Promise<void> {
  const signal = nextPhoto();
  const veil = setTimeout(() => set({ busy: true }), 150);
  try {
    const seen = await ask("see", [photo], { signal });
    const opened = await draw();
    if (signal.aborted) return;
    set({ ...more, opened, seen, answers: {}, points: [], boxes: [], name: 0, held: false, ...placeIn(seen) });
  } catch (error) {
    if (!signal.aborted) set({ notice: sentence(error) });
  } finally {
    clearTimeout(veil);
    if (!signal.aborted) set({ busy: false });
  }
}

/** The patch that was pointed at, or the one that is worth it; none is outside of the grid. */
function placeIn({ photo, grid: [rows, columns] }: Seen): Pick<State, "row" | "col"> {
  const { row, col, opened } = get();
  const [x, y] = sampleOf(photo).point;
  const stays = row >= 0 && row < rows && col >= 0 && col < columns && (!opened || opened.id === photo);
  return stays ? { row, col } : { row: Math.floor(y * rows), col: Math.floor(x * columns) };
}

export async function openSample(id: string): Promise<void> {
  const sample = sampleOf(id);
  try {
    const photo = await drawable(sample.id, sample.title, await sampleBlob(sample));
    // At once, where there is none yet; else with what the model saw.
    if (!get().opened) set({ opened: photo });
    if (get().facts) await look([photo.id, photo.blob], async () => photo, { photo: sample.id, notice: "" });
  } catch (error) {
    set({ notice: sentence(error) });
  }
}

/** Opens a file that was dropped, pasted, taken or chosen. */
export async function openFile(file: File): Promise<void> {
  const id = `own-${count++}`;
  // What a browser cannot draw, such as TIFF, the library decodes.
  const decoded = async () => {
    const { data, width, height } = await ask("pixels", [file]);
    return drawable(id, file.name, file, new ImageData(data, width, height));
  };
  await look([id, file], () => drawable(id, file.name, file).catch(decoded), { notice: "" });
}

/** Tells whether the page's own policy (vite.config.js) keeps it from an address. */
const isForbidden = (source: string): boolean =>
  /^https?:/.test(source) &&
  new URL(source).origin !== location.origin &&
  !/^(huggingface\.co|.*\.hf\.co)$/.test(new URL(source).hostname);

/** A token of the Hub for private and gated models, which is kept nowhere else than here. */
let token: string | undefined;

/** Tells by an error whether a model may open with a token, or with another. */
const wantsToken = (error: unknown): boolean =>
  /is private, gated or does not exist|the token does not open/.test((error as Error).message);

/** Gets a private or gated model. */
export function openGated(source: string, given: string): Promise<void> {
  token = given;
  return openModel(source, get().precision);
}

/** Gets a model, and looks at the photo with it; what was there stays until then, and if it fails. */
export async function openModel(source: Source, precision: Address["precision"]): Promise<void> {
  const signal = nextModel();
  const files = typeof source === "object";
  const name = files ? source[0]!.name : shortName(source ?? "");
  const controller = new AbortController();
  signal.addEventListener("abort", () => controller.abort());
  const loading = { name, loaded: 0, total: 0, since: performance.now(), cancel: () => controller.abort() };
  set({ loading, failed: "", gated: "" });
  const onProgress = ({ loaded, total }: { loaded: number; total: number }) => {
    if (!controller.signal.aborted) set({ loading: { ...loading, loaded, total } });
  };
  const asking: Asking = { signal: controller.signal, onProgress };
  try {
    if (typeof source === "string" && isForbidden(source)) {
      throw new Error("This page gets models from huggingface.co and from its own address, and from nowhere else");
    }
    const loaded = await ask("load", [source || undefined, { precision, token }], asking);
    const facts = { ...loaded, name, ...(files && { file: name }) };
    const changed = {
      model: typeof source === "string" ? source : "",
      precision,
      layer: -1,
      head: 0,
      rollout: "",
    } as const;
    const first = get().facts === undefined;
    set({ facts, loading: undefined, seen: undefined, answers: {}, dialog: "", ...(!first && changed) });
    const { opened } = get();
    if (opened) await look([opened.id, opened.blob], async () => opened);
  } catch (error) {
    if (signal.aborted) return;
    const isGated = typeof source === "string" && wantsToken(error);
    const failure = {
      failed: controller.signal.aborted ? "" : sentence(error),
      gated: isGated ? source : "",
    };
    set({ loading: undefined, ...failure });
    if (get().facts) return;
    // A link to a model that cannot be had still shows the page.
    set({ model: "", precision: "f32" });
    if (source) await openModel(undefined, "f32");
    set(isGated ? { ...failure, dialog: "models" } : { notice: failure.failed });
  }
}

/**
 * The worker's answer to what a view shows: the newest of its kind, and until it is there the one before it.
 * @param key what the answer depends on, beside the model and the photo.
 */
export function useAnswer<T>(kind: string, key: string, question: (asking: Asking) => Promise<T>): T | undefined {
  const { answers, seen } = get();
  const ready = seen !== undefined;
  useEffect(() => {
    if (!ready || get().answers[kind]?.key === key) return;
    const controller = new AbortController();
    const { signal } = controller;
    const { view } = get();
    /** With the answer that is no longer waited for, as each change draws the page once. */
    const answer = (answer: Omit<Answer, "key">, waits: number) => {
      const { answers, waiting } = get();
      set({
        waiting: waiting + waits,
        ...(!signal.aborted && { answers: { ...answers, [kind]: { key, ...answer } } }),
      });
    };
    set({ waiting: get().waiting + 1 });
    question({ signal, onProgress: (value: unknown) => answer({ value }, 0) }).then(
      (value) => answer({ value }, -1),
      (error) => answer({ failed: sentence(error), view }, -1),
    );
    return () => controller.abort();
  }, [kind, key, seen]);
  return answers[kind]?.value as T | undefined;
}
