/** Numbers as the page says them, and pointing. */

/** True where a finger points, which taps and cannot hover. */
export const touches = matchMedia("(pointer: coarse)").matches;

const WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/** A count in words, where it has a short one. */
export const counted = (count: number): string => WORDS[count] ?? count.toLocaleString("en");

/** A name without its synonyms: "crayfish" of "crayfish, crawfish, crawdad". */
export const shortName = (label: string): string => label.split(",")[0]!;

export const percent = (part: number): string => {
  if (part > 0.999 && part < 1) return "> 99.9 %";
  if (part < 0.001 && part > 0) return "< 0.1 %";
  return `${(100 * part).toFixed(1)} %`;
};

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
