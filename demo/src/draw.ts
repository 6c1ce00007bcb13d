/** Drawing on canvases: patches are squares of one color, never blurred, with lead between them as in a church window. */
import type { Box } from "vitrail";
import { type Geometry, toPhoto } from "vitrail/image";
import type { Photo } from "./state.js";

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export type Grid = readonly [rows: number, columns: number];

/** Red, green and blue, and how opaque, each of 255. */
export type Color = readonly [number, number, number, number?];

/** Colors of a part from 0 to 1. */
export type Scale = (part: number) => Color;

const LEAD = "12 13 19";

/** Sizes of canvases on the screen: to ask for one has the browser lay out the page, after every change anew. */
const sizes = new WeakMap<Element, DOMRectReadOnly>();

const observer = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    if (contentRect.width > 0) {
      sizes.set(target, contentRect);
      wait(target);
    } else observer.unobserve(target);
  }
});

/** Milliseconds of drawing in a task: a page that draws for longer answers nobody. */
export const SLICE_MS = 8;

/** The newest drawing of each canvas, and the canvases that wait for theirs. */
const drawings = new WeakMap<Element, () => void>();
const waiting = new Set<Element>();
let timer = 0;

function wait(canvas: Element): void {
  waiting.add(canvas);
  if (timer === 0) timer = window.setTimeout(drawWaiting);
}

function drawWaiting(): void {
  const end = performance.now() + SLICE_MS;
  for (const canvas of waiting) {
    if (performance.now() > end) break;
    waiting.delete(canvas);
    if (canvas.isConnected) drawings.get(canvas)?.();
  }
  timer = waiting.size > 0 ? window.setTimeout(drawWaiting) : 0;
}

/** Has a canvas drawn soon, and again whenever its size changes: in a task that has time for it, not in the one that renders the page. */
export function show(canvas: HTMLCanvasElement, draw: () => void): void {
  drawings.set(canvas, draw);
  wait(canvas);
}

/** Fits a canvas to the place that it has on the screen; gives nothing yet where that is not known. */
export function fit(canvas: HTMLCanvasElement): CanvasRenderingContext2D | undefined {
  const size = sizes.get(canvas);
  if (!size) {
    observer.observe(canvas);
    return undefined;
  }
  const ratio = Math.min(2, devicePixelRatio);
  const width = Math.max(1, Math.round(size.width * ratio));
  const height = Math.max(1, Math.round(size.height * ratio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return canvas.getContext("2d")!;
}

export const whole = ({ canvas: { width, height } }: CanvasRenderingContext2D): Rect => ({ x: 0, y: 0, width, height });

const small = document.createElement("canvas");

/** Makes of a canvas a picture with a pixel for each patch, which the page shows enlarged. */
export function drawPixels(canvas: HTMLCanvasElement, [rows, columns]: Grid, color: (patch: number) => Color): void {
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const pixels = new ImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const [red, green, blue, opaque = 255] = color(i);
    pixels.data[4 * i] = red;
    pixels.data[4 * i + 1] = green;
    pixels.data[4 * i + 2] = blue;
    pixels.data[4 * i + 3] = opaque;
  }
  // So small a canvas is drawn sooner without a GPU.
  canvas.getContext("2d", { willReadFrequently: true })!.putImageData(pixels, 0, 0);
}

/** Fills `place` with a color for each patch: a picture as small as the grid, drawn large, so that it is one call. */
export function drawCells(
  context: CanvasRenderingContext2D,
  grid: Grid,
  place: Rect,
  color: (patch: number) => Color,
): void {
  drawPixels(small, grid, color);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, place.x, place.y, place.width, place.height);
  context.imageSmoothingEnabled = true;
}

/** Lines between patches, where these are large enough for them. */
export function drawLead(
  context: CanvasRenderingContext2D,
  [rows, columns]: Grid,
  { x, y, width, height }: Rect,
  opaque: number,
): void {
  if (width / columns < 10) return;
  context.strokeStyle = `rgb(${LEAD} / ${opaque})`;
  context.lineWidth = Math.max(1, width / 360);
  context.beginPath();
  for (let column = 1; column < columns; column++) {
    const at = Math.round(x + (column * width) / columns);
    context.moveTo(at, y);
    context.lineTo(at, y + height);
  }
  for (let row = 1; row < rows; row++) {
    const at = Math.round(y + (row * height) / rows);
    context.moveTo(x, at);
    context.lineTo(x + width, at);
  }
  context.stroke();
}

export const cellOf = ([rows, columns]: Grid, { x, y, width, height }: Rect, patch: number): Rect => ({
  x: x + ((patch % columns) * width) / columns,
  y: y + (Math.floor(patch / columns) * height) / rows,
  width: width / columns,
  height: height / rows,
});

/** White within dark: to be seen on every color. */
export function drawMark(context: CanvasRenderingContext2D, { x, y, width, height }: Rect, line: number): void {
  for (const [color, thickness] of [
    [`rgb(${LEAD})`, 2.2 * line],
    ["#fff", line],
  ] as const) {
    context.strokeStyle = color;
    context.lineWidth = thickness;
    context.strokeRect(x, y, width, height);
  }
}

/** Where a photo lies in a square that it fits in. */
export function frameOf({ width, height }: { readonly width: number; readonly height: number }, side: number): Rect {
  const scale = side / Math.max(width, height);
  const [across, down] = [width * scale, height * scale];
  return { x: (side - across) / 2, y: (side - down) / 2, width: across, height: down };
}

/** Where the image that the model sees lies, in a frame of the photo; a border that it adds lies outside. */
export function seenIn(geometry: Geometry, frame: Rect): Rect {
  const { photo, model } = geometry;
  const [left, top] = toPhoto(geometry, [0, 0]);
  const [right, bottom] = toPhoto(geometry, [model.width, model.height]);
  const [across, down] = [frame.width / photo.width, frame.height / photo.height];
  return {
    x: frame.x + left * across,
    y: frame.y + top * down,
    width: (right - left) * across,
    height: (bottom - top) * down,
  };
}

/** Draws the part of a photo that a patch is. */
export function drawPatch(
  context: CanvasRenderingContext2D,
  { canvas }: Photo,
  geometry: Geometry,
  grid: Grid,
  patch: number,
): void {
  const { width, height } = canvas;
  const { x, y, width: across, height: down } = cellOf(grid, seenIn(geometry, { x: 0, y: 0, width, height }), patch);
  const to = whole(context);
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, x, y, across, down, to.x, to.y, to.width, to.height);
}

/** Colors of things by their numbers, those near each other far apart. */
const THINGS = [
  [109, 134, 255],
  [240, 185, 61],
  [242, 102, 124],
  [79, 195, 151],
  [185, 140, 240],
  [120, 205, 235],
] as const;
export const colorNumber = (number: number): readonly [number, number, number] => THINGS[number % THINGS.length]!;

/** A frame around a thing, with its name. */
export function drawBox(
  context: CanvasRenderingContext2D,
  frame: Rect,
  scale: number,
  { xmin, ymin, xmax, ymax }: Box,
  { color, label, strong }: { readonly color: number; readonly label: string; readonly strong: boolean },
): void {
  const [x, y] = [frame.x + xmin * scale, frame.y + ymin * scale];
  const paint = `rgb(${colorNumber(color).join(" ")})`;
  context.lineWidth = strong ? 4 : 2;
  context.strokeStyle = paint;
  context.strokeRect(x, y, (xmax - xmin) * scale, (ymax - ymin) * scale);
  if (!label) return;
  const size = Math.max(12, context.canvas.width / 45);
  context.font = `600 ${size}px "Inter Variable", system-ui, sans-serif`;
  const top = Math.max(frame.y, y - 1.5 * size);
  context.fillStyle = paint;
  context.fillRect(x, top, context.measureText(label).width + size, 1.5 * size);
  context.fillStyle = "#0c0d13";
  context.fillText(label, x + size / 2, top + 1.1 * size);
}
