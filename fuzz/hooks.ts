/** Module hooks of Node: the library and the packages it brings are instrumented when they are imported. */
import type { LoadHook } from "node:module";
import { instrument } from "./instrument.js";

const WANTED = [
  new URL("../src/", import.meta.url).href,
  new URL("./targets/planted", import.meta.url).href,
  ...["@huggingface/tokenizers", "unzipit"].map((name) => `/node_modules/${name}/`),
];

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (!WANTED.some((part) => url.includes(part)) || loaded.format !== "module" || !loaded.source) return loaded;
  const source = typeof loaded.source === "string" ? loaded.source : new TextDecoder().decode(loaded.source);
  return { ...loaded, source: instrument(source) };
};
