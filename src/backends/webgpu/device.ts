/** The GPU that this runtime offers, and what of it a backend may use. */
import { gpuOf } from "../../platform/gpu.js";

export interface Gpu {
  readonly device: GPUDevice;
  /** Vendor, architecture and driver, as far as the runtime tells. */
  readonly name: string;
  /** A processor that plays a GPU: it computes right, and slowly. */
  readonly software: boolean;
  /** shader-f16 */
  readonly half: boolean;
  readonly subgroups: boolean;
  /** dot4I8Packed */
  readonly packedDot: boolean;
}

/** Software adapters by name: not every runtime has `isFallbackAdapter`. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/** Asked of the adapter in full: the defaults are what every phone has. */
const LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
] as const satisfies readonly (keyof GPUSupportedLimits)[];

/** The device that the runtime prefers, or why there is none. */
export async function requestGpu(): Promise<Gpu | { reason: string }> {
  const gpu = await gpuOf();
  if ("reason" in gpu) return gpu;
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    return { reason: `no adapter: ${(error as Error).message.split("\n")[0]}` };
  }
  if (!adapter) return { reason: "no adapter" };
  const { info, features, limits } = adapter;
  const name = [info.vendor, info.architecture, info.description].filter((part) => /[a-z]/i.test(part ?? "")).join(" ");
  const wanted = ["shader-f16", "subgroups"].filter((feature) => features.has(feature)) as GPUFeatureName[];
  try {
    const device = await adapter.requestDevice({
      requiredFeatures: wanted,
      requiredLimits: Object.fromEntries(LIMITS.map((limit) => [limit, limits[limit]])),
    });
    return {
      device,
      name: name || "an unnamed adapter",
      software: (info as { isFallbackAdapter?: boolean }).isFallbackAdapter === true || SOFTWARE.test(name),
      half: features.has("shader-f16"),
      subgroups: features.has("subgroups" as GPUFeatureName),
      packedDot: gpu.wgslLanguageFeatures?.has("packed_4x8_integer_dot_product") ?? false,
    };
  } catch (error) {
    return { reason: `no device of ${name || "the adapter"}: ${(error as Error).message.split("\n")[0]}` };
  }
}
