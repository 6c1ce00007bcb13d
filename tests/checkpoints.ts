/**
 * Folders of tiny checkpoints with goldens: those in the repository, and a wider set that lies beside a developer's checkout,
 * or that VITRAIL_GOLDENS names.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LoadOptions } from "../src/index.js";
import { compareAll } from "./goldens.js";

/** Folders, and why one of them is not there. */
export const ROOTS = ["tests/fixtures/checkpoints", process.env.VITRAIL_GOLDENS ?? "../shared/goldens"].map((root) => ({
  root,
  skip: existsSync(root) ? false : `${root} is absent: it is not part of the package`,
  folders: existsSync(root)
    ? readdirSync(root)
        .filter((name) => existsSync(join(root, name, "case.json")))
        .map((name) => join(root, name))
    : [],
}));

export const compareFolder = (folder: string, options: LoadOptions): Promise<void> =>
  compareAll(folder, (file) => readFileSync(join(folder, file)), options);

/** Whether it is a ViT as in the paper, by its name. */
export const isPlain = (folder: string): boolean => /-(vit|deit3?)(-|$)/.test(folder);
