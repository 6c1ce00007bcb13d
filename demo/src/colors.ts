/** Color scales of the page's maps. */
import type { Color, Scale } from "./draw.js";

const poly = (c: readonly (readonly number[])[]): Scale => {
  const table = Array.from({ length: 256 }, (_, i): Color => {
    const t = i / 255;
    const at = (k: number) => Math.round(255 * Math.max(0, Math.min(1, c.reduceRight((s, r) => s * t + r[k]!, 0))));
    return [at(0), at(1), at(2)];
  });
  return (part) => table[Math.round(255 * Math.max(0, Math.min(1, part)))]!;
};
export const viridis = poly([[0.27773, 0.00541, 0.3341], [0.10509, 1.4046, 1.38459], [-0.33086, 0.21485, 0.0951], [-4.63423, -5.7991, -19.33244], [6.22827, 14.17993, 56.69055], [4.77638, -13.74515, -65.35303], [-5.43546, 4.64585, 26.31244]]);
export const magma = poly([[-0.00214, -0.00075, -0.00539], [0.25166, 0.67752, 2.49403], [8.35372, -3.57772, 0.31447], [-27.66873, 14.26473, -13.64921], [52.17614, -27.94361, 12.94417], [-50.76853, 29.04658, 4.23415], [18.65571, -11.48978, -5.60196]]);
export const gray: Scale = (part) => [255 * part, 255 * part, 255 * part];

/** Blue to orange through light gray, for signed parts from -1 to 1. */
export const signed: Scale = (part) => {
  const end = part < 0 ? [28, 74, 150] : [176, 84, 10];
  const [r, g, b] = [236, 233, 226].map((middle, k) => middle + (end[k]! - middle) * Math.abs(part) ** 0.85);
  return [r!, g!, b!];
};
