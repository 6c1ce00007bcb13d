/**
 * Packages that are loaded for the first text that needs them. On a page an import map says where they are;
 * it does not reach workers, so the page tells its worker.
 */

/** Each by the name that an import map or a bundler knows. */
const NAMES = ["@huggingface/tokenizers"] as const;
export type PackageName = (typeof NAMES)[number];

/** Where they are, if something else than their names says so. */
let located: Partial<Record<PackageName, string>> = {};

/** Where the page's import map puts them: for `setPackages` in a worker. */
export function locatePackages(): Partial<Record<PackageName, string>> {
  const urls: Partial<Record<PackageName, string>> = {};
  for (const name of NAMES) {
    try {
      urls[name] = import.meta.resolve(name);
    } catch {
      // Not in an import map, as in a bundle, which has it in it.
    }
  }
  return urls;
}

export function setPackages(urls: Partial<Record<PackageName, string>>): void {
  located = urls;
}

/** @param load imports the package by its name, which bundlers must see. */
export async function importPackage<T>(name: PackageName, load: () => Promise<T>): Promise<T> {
  const url = located[name];
  return url ? ((await import(url)) as T) : load();
}
