/** Takes a picture along: as PNG, SVG, numbers, or as a link. */
import { frameOf } from "./draw.js";
import { drawable } from "./photos.js";
import { say } from "./say.js";
import { ask, sentence } from "./session.js";
import { fromClass, layerOf, type Sight } from "./sight.js";
import { addressOf, set } from "./state.js";
import { percent, shortName } from "./text.js";
import { pictureOf } from "./views/code.js";
import { viewOf } from "./views/index.js";
import { paint } from "./window.js";

function save(blob: Blob, name: string): void {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  say(`Saved ${name}`);
}

const nameOf = (s: Sight, ending: string): string =>
  `vitrail-${s.opened.title
    .replace(/\.\w+$/, "")
    .replace(/\W+/g, "-")
    .toLowerCase()}-${s.view}.${ending}`;

const pngOf = (canvas: HTMLCanvasElement): Promise<Blob> =>
  new Promise((resolve) => canvas.toBlob((blob) => resolve(blob!), "image/png"));

/** The photo with its picture on a square of this many pixels. */
function squareOf(s: Sight, side: number): HTMLCanvasElement {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  paint(canvas.getContext("2d")!, s, viewOf(s.view));
  return canvas;
}

/** The picture on the photo, in the photo's own size. */
export async function savePicture(s: Sight): Promise<void> {
  const { opened } = s;
  const { width, height } = opened;
  const side = Math.max(width, height);
  const full = await drawable(opened.id, opened.title, opened.blob, opened.blob, side).catch(() => opened);
  const square = squareOf({ ...s, opened: full }, side);
  const { x, y } = frameOf(opened, side);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d")!.drawImage(square, -x, -y);
  save(await pngOf(canvas), nameOf(s, "png"));
}

/** A picture of 1200 × 630 pixels, as links are shown with. */
export async function saveCard(s: Sight): Promise<void> {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1200, height: 630 });
  const context = canvas.getContext("2d")!;
  const style = getComputedStyle(document.body);
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, 1200, 630);
  context.drawImage(squareOf(s, 630), 0, 0);
  const ink = style.color;
  const write = (
    text: string,
    y: number,
    size: number,
    { family = "Inter Variable", weight = 400, soft = false } = {},
  ) => {
    context.font = `${weight} ${size}px "${family}", system-ui, sans-serif`;
    context.globalAlpha = soft ? 0.7 : 1;
    context.fillStyle = ink;
    context.fillText(text, 678, y, 490);
    context.globalAlpha = 1;
  };
  write("What a Vision", 110, 44, { family: "Newsreader", weight: 500 });
  write("Transformer sees", 162, 44, { family: "Newsreader", weight: 500 });
  const [best] = s.seen.top;
  if (best) {
    write(shortName(best.label), 260, 30, { weight: 600 });
    write(`probability ${percent(best.probability)}`, 296, 24, { soft: true });
  }
  const at = fromClass(s) ? "class token" : `from row ${s.row + 1}, column ${s.col + 1}`;
  write(`${s.facts.name}, layer ${layerOf(s)}, ${at}`, 540, 20, { soft: true });
  write("Made in the browser with vitrail", 572, 20, { soft: true });
  save(await pngOf(canvas), nameOf(s, "card.png"));
}

/** The picture as the library makes it, a chart or a map with its legend, or its numbers as NumPy has them. */
export async function saveFile(s: Sight, type: "svg" | "npy"): Promise<void> {
  const made = viewOf(s.view).picture?.(s) ?? pictureOf("similarity", { layer: layerOf(s), from: [s.row, s.col] });
  try {
    const file = await ask("file", [s.opened.blob, made, type]);
    save(new Blob([file as string]), nameOf(s, type));
  } catch (error) {
    set({ notice: sentence(error) });
  }
}

export async function copyLink(s: Sight): Promise<void> {
  await navigator.clipboard.writeText(new URL(addressOf(s), location.href).href);
  say("Link copied. It holds the view, never the photo.");
}
