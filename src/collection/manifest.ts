/** A collection's manifest: which model made its vectors. */
import { checkIdentity, type Identity } from "../identity.js";
import type { Objects } from "../io/objects.js";
import { excerpt, parseJson } from "../json.js";

const VERSION = 1;
const MAX_BYTES = 2 ** 20;

const PATH = "manifest.json";

/**
 * The model of a collection; undefined where there is no manifest.
 * @throws Error: one sentence, for a manifest of a later version, and for what is none.
 */
export async function readManifest(objects: Objects): Promise<Identity | undefined> {
  const what = `collection: "${objects.nameOf(PATH)}"`;
  const bytes = await objects.read(PATH, MAX_BYTES);
  if (!bytes) return undefined;
  const { format, version, identity } = Object(parseJson(bytes, what));
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

export const writeManifest = (objects: Objects, identity: Identity): Promise<boolean> =>
  objects.create(PATH, `${JSON.stringify({ format: "vitrail-collection", version: VERSION, identity }, null, 2)}\n`);
