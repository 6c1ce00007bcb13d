/** `resize` of small pictures to any size, by any window: an input is the picture's size and the options, as JSON. */
import { type Raster, type ResizeOptions, resize } from "../../src/image/resize.js";
import { mutateJson } from "../mutate/json.js";
import { expect, type Target } from "../target.js";
import { noise, readJson, seedOf } from "./json.js";

const picture = (width: number, height: number, rest: object = {}) => ({ width, height, channels: 3, ...rest });
/** Pictures and results of more are not made. */
const MOST_PIXELS = 1 << 16;
const FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"];

const target: Target = {
  seeds: [
    ...FILTERS.map((filter) => seedOf({ image: picture(13, 7), options: { width: 8, height: 9, filter } })),
    seedOf({
      image: picture(9, 9, { channels: 4, orientation: 6 }),
      options: { width: 3, height: 20, filter: "bicubic" },
    }),
    seedOf({
      image: picture(8, 5, { channels: 1 }),
      options: { width: 8, height: 5, filter: "box", box: [1, 0.5, 7, 4] },
    }),
    seedOf({
      image: picture(30, 20, { orientation: 3 }),
      options: { width: 300, height: 200, filter: "bilinear", window: { left: 100, top: 50, width: 9, height: 8 } },
    }),
    seedOf({ image: picture(30, 40), options: { width: 10, height: 10, filter: "lanczos", order: "pillow13" } }),
  ],
  mutators: [mutateJson],
  refusal: /^resize: /,
  run(input) {
    const given = readJson<{ image: Raster; options: ResizeOptions }>(input);
    const { image, options } = given ?? {};
    if (typeof image !== "object" || typeof options !== "object" || !image || !options) return undefined;
    const { width, height, channels } = image;
    // Pictures are made here, of any length that can be made.
    const length = product(width, height, channels);
    const data = noise(length >= 0 && length <= MOST_PIXELS ? length : 0);
    // What the caller asks for, the caller gets.
    const { window = options } = options;
    if (product(window?.width, window?.height) > MOST_PIXELS) return undefined;
    const result = resize({ ...image, data }, options);
    expect(result.width === window.width && result.height === window.height, () => `${result.width}×${result.height}`);
    expect(result.data.length === result.width * result.height * result.channels, () => `${result.data.length} bytes`);
    return undefined;
  },
};
export default target;

/** Of what may be no numbers; then 0. */
const product = (...sizes: readonly unknown[]): number =>
  sizes.reduce<number>((product, size) => product * (typeof size === "number" ? size : 0), 1);
