/** `vitrail picture`: what a model sees, as a file or in the terminal. */
import { writeFileSync } from "node:fs";
import { extname } from "node:path";
import type { ImageInput } from "../index.js";
import { excerpt } from "../json.js";
import { type DrawOptions, type KindName, kinds, type Picture, picture as pictureOf } from "../pictures/index.js";
import { imagesOf, stemOf } from "./images.js";
import { describeBackend, forEachImage, type Invocation, loadModel, since } from "./invocation.js";

type Flags = Readonly<Partial<Record<string, string>>>;

/** Kinds of which there is one picture for all photos, or for none. */
const JOINT: readonly string[] = ["filters", "positions", "distance"] satisfies KindName[];

/** Kinds that are charts, which a terminal has as lines. */
const CHARTS: readonly string[] = ["distance", "lens"] satisfies KindName[];

/** Pixels across of a picture in a terminal, unless it has fewer. */
const MOST = 480;

/** Kinds whose photos are fitted together. */
const TOGETHER: readonly string[] = ["features"] satisfies KindName[];

const number = (name: string, text: string): number => {
  if (text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
  throw new Error(`--${name} must be a number; got ${excerpt(text)}`);
};
const numberOrWord = (text: string): number | string => (/^\d+$/.test(text) ? Number(text) : text);

/** A patch as --from names it. */
function placeOf(text: string): number[] {
  const place = text.split(",").map(Number);
  if (place.length === 2 && place.every(Number.isSafeInteger)) return place;
  throw new Error(`--from must be class, pool, mean or a patch's "ROW,COLUMN"; got ${excerpt(text)}`);
}

/** Values of flags by the option of the kind that each is. */
const READERS: Readonly<Record<string, (text: string) => object>> = {
  layer: (text) => ({ layer: number("layer", text) }),
  from: (text) => ({ from: text.includes(",") ? placeOf(text) : text }),
  rollout: () => ({ rollout: true }),
  discard: (text) => ({ discard: number("discard", text) }),
  unit: () => ({ unit: true }),
  outliers: (text) => ({ outliers: number("outliers", text) }),
  keep: (keep) => ({ keep }),
  components: (text) => ({ components: number("components", text) }),
  class: (text) => ({ class: numberOrWord(text) }),
  labels: (text) => ({ labels: text.split(",").map((label) => label.trim()) }),
  size: (text) => ({ size: number("size", text) }),
  stride: (text) => ({ stride: number("stride", text) }),
  seed: (text) => ({ seed: number("seed", text) }),
  top: (text) => ({ topK: number("top", text) }),
};

/** Options of a kind from its flags; --heads is a head, or how rollout takes them as one. */
function optionsOf(flags: Flags): object {
  const { heads, alone: _, smooth: __, width: ___, ...others } = flags;
  const how = heads === undefined ? {} : { [flags.rollout === undefined ? "head" : "heads"]: numberOrWord(heads) };
  return Object.assign(how, ...Object.entries(others).map(([name, text]) => READERS[name]!(text!)));
}

const FORMATS = [".png", ".svg", ".npy"];

export async function picture(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  const [name = "", ...words] = args.operands;
  if (!Object.hasOwn(kinds, name)) {
    throw new Error(`picture takes a kind, then images: ${Object.keys(kinds).join(", ")}; got ${excerpt(name)}`);
  }
  const kind = name as KindName;
  const { out, picture: flags } = args;
  const ending = out === undefined ? undefined : extname(out);
  if (ending !== undefined && !FORMATS.includes(ending)) {
    throw new Error(`--out of picture must end with ${FORMATS.join(", ")}; got ${excerpt(out)}`);
  }
  if (ending === ".png" && CHARTS.includes(kind)) {
    throw new Error(`picture: ${kind} is a chart, so --out must end with .svg or .npy; got ${excerpt(out)}`);
  }
  if (out === undefined && !args.json && terminal.canvas === undefined) {
    throw new Error("picture needs --out FILE (.png, .svg, .npy), as standard output is no terminal that shows colors");
  }
  const width = flags.width === undefined ? undefined : number("width", flags.width);
  const smooth = flags.smooth !== undefined;
  const options = { ...optionsOf(flags), signal };
  using model = await loadModel(invocation);
  const ask = (images: ImageInput | readonly ImageInput[]) =>
    pictureOf(
      model,
      kind,
      images as ImageInput,
      {
        ...options,
        ...(kind === "occlusion" && {
          onProgress: (done: number, all: number) => terminal.progress("covering places", done, all),
        }),
      } as never,
    ) as Promise<Picture | Picture[]>;
  const taken = new Set<string>();

  /** Writes a picture to its file, or the terminal, or as JSON. */
  async function show(
    made: Picture,
    image: string | undefined,
    input: ImageInput | undefined,
    alone: boolean,
    start: number,
  ) {
    const ms = since(start);
    const over = input !== undefined && flags.alone === undefined && !JOINT.includes(kind) ? { over: input } : {};
    const draw: DrawOptions = { ...over, width, smooth, signal };
    let file: string | undefined;
    if (out !== undefined) {
      file = alone ? out : `${out.slice(0, out.length - ending!.length)}-${stemOf(image!, taken)}${ending}`;
      writeFileSync(
        file,
        ending === ".npy" ? made.npy() : ending === ".svg" ? await made.svg(draw) : await made.png(draw),
      );
    }
    const { dims, title, note } = made;
    if (args.json) {
      const numbers = file === undefined ? { data: Array.from(made.data) } : { file };
      terminal.printJson({ image, kind, dims, title, note, ...numbers, ms, backend: model.backend.name });
      return;
    }
    if (image !== undefined) terminal.print(image);
    if (file === undefined && !CHARTS.includes(kind)) {
      const { most, draw: put } = terminal.canvas!;
      await put(await made.pixels({ ...draw, width: Math.min(width ?? MOST, most) }));
    }
    terminal.print(...made.lines(), ...(file === undefined ? [] : [`  ${file}`]));
    terminal.printDim(`  ${ms.toFixed(1)} ms, ${describeBackend(model.backend)}`);
  }

  const start = performance.now();
  if (JOINT.includes(kind) || TOGETHER.includes(kind)) {
    const operands = await imagesOf(words, signal);
    for (const { error } of operands) if (error) throw error;
    const images = operands.map(({ image }) => image);
    const made = await ask(images);
    for (const [i, one] of (Array.isArray(made) ? made : [made]).entries()) {
      await show(one, images[i], images[i], images.length < 2 || !Array.isArray(made), start);
    }
    return;
  }
  await forEachImage({ ...invocation, args: { ...args, operands: words } }, async (image, input, _, all) => {
    const start = performance.now();
    await show((await ask(input)) as Picture, image, input, all === 1, start);
  });
}
