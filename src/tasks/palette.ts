/** Colors of pictures, by their lightness, chroma and hue in OKLab (Ottosson 2020), where equal steps look equal. */

export type Rgb = readonly [red: number, green: number, blue: number];

/** sRGB of an OKLab color; channels that do not exist are cut off. */
export function oklab(lightness: number, a: number, b: number): Rgb {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const encoded = (x: number) => {
    const linear = Math.min(Math.max(x, 0), 1);
    return Math.round(255 * (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055));
  };
  return [
    encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    encoded(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** The same of an OKLCh color, hue in turns. */
const rgbOf = (lightness: number, chroma: number, hue: number): Rgb =>
  oklab(lightness, chroma * Math.cos(2 * Math.PI * hue), chroma * Math.sin(2 * Math.PI * hue));

/** The color of a part from 0 to 1: from dark violet by red to light yellow, in equal steps of lightness. */
export const sequential = (part: number): Rgb =>
  rgbOf(0.2 + 0.72 * part, 0.04 + 0.5 * part * (1 - part) + 0.1 * part, 0.8 + 0.48 * part);

/** The golden ratio's part: hues of numbers that follow each other are far apart. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** A color for each number, those near each other far apart. */
export const distinct = (index: number): Rgb => rgbOf(0.55 + 0.12 * (index % 3), 0.16, (index * GOLDEN) % 1);
