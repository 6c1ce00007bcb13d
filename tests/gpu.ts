/**
 * The GPU that tests compute on. Where there is none, Chromium's software adapter, if Debian's package has brought it: in
 * Node it is reached through the package `webgpu`, which the machine's owner installs.
 */
import { existsSync } from "node:fs";
import { type Gpu, requestGpu } from "../src/backends/webgpu/device.js";

const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** `npm run test:gpu` runs what takes SwiftShader minutes. */
export const allOfGpu = process.env.npm_lifecycle_event === "test:gpu";
export const takesMinutes = allOfGpu ? false : "it takes minutes: npm run test:gpu";

/** Dawn looks for drivers when it is loaded. */
export function preferSoftware(): void {
  if (!process.env.VK_ICD_FILENAMES && existsSync(SWIFTSHADER)) process.env.VK_ICD_FILENAMES = SWIFTSHADER;
}

/** A device of its own for each caller, or why there is none. */
export function gpuForTests(): Promise<Gpu | { reason: string }> {
  preferSoftware();
  return requestGpu();
}
