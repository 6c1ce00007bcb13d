/** A collection's manifest: which model made its vectors. */
import { checkIdentity, type Identity } from "../identity.js";
import { excerpt, parseJson } from "../json.js";
import { readFile, writeWhole } from "../platform/files.js";

const VERSION = 1;
const MAX_BYTES = 2 ** 20;

/** @throws Error: one sentence, for a manifest of a later version, and for what is none. */
export async function readManifest(path: string): Promise<Identity> {
  const what = `collection: "${path}"`;
  const { format, version, identity } = Object(parseJson(await readFile(path, { maxBytes: MAX_BYTES }), what));
  if (format !== "vitrail-collection") {
    throw new Error(`${what} must be of the format "vitrail-collection"; got ${excerpt(format ?? null)}`);
  }
  if (version !== VERSION) {
    const later = Number.isSafeInteger(version) && version > VERSION;
    const rule = later ? "was written by a later vitrail" : "must have a version";
    throw new Error(`${what} ${rule}, and this one reads version ${VERSION}; got ${excerpt(version ?? null)}`);
  }
  return checkIdentity(what, identity);
}

export const writeManifest = (path: string, identity: Identity): Promise<void> =>
  writeWhole(path, `${JSON.stringify({ format: "vitrail-collection", version: VERSION, identity }, null, 2)}\n`);
