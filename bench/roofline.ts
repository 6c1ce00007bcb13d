/**
 * What a GPU could do at best, on paper: a block of a ViT is run on the WebGPU backend with a device that computes nothing and
 * counts what it is told. `npm run roofline` writes bench/ROOFLINE.md. No time here was measured.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { Backend, Precision } from "../src/backend.js";
import type { Gpu } from "../src/backends/select.js";
import { createWebgpuBackend } from "../src/backends/webgpu/index.js";
import { type Block, encode } from "../src/vit/encoder.js";
import { table } from "./markdown.js";

interface Machine {
  readonly name: string;
  /** Published peaks: 10^12 operations a second, a multiply-add being two, and 10^9 bytes a second. */
  readonly peak: Record<Precision, number>;
  readonly bandwidth: number;
  /** Assumed, between two dispatches that depend on each other: µs. */
  readonly dispatch: number;
}

const MACHINES: readonly Machine[] = [
  // 96 units · 8 lanes · 2 · 1.35 GHz; halves twice, DP4A four times; LPDDR4X-4266, 128 bits.
  { name: "laptop, integrated (Iris Xe 96)", peak: { f32: 2.07, f16: 4.15, int8: 8.29 }, bandwidth: 68, dispatch: 5 },
  // 3072 lanes · 2 · 2.46 GHz; halves at the same rate outside of tensor cores, DP4A four times; GDDR6-17, 128 bits.
  { name: "discrete (RTX 4060)", peak: { f32: 15.1, f16: 15.1, int8: 60.5 }, bandwidth: 272, dispatch: 3 },
  // 5 cores · 128 lanes · 2 · 1.4 GHz; integers by four products each; LPDDR5-6400, 64 bits.
  { name: "phone (A16)", peak: { f32: 1.79, f16: 1.79, int8: 1.79 }, bandwidth: 51, dispatch: 10 },
];

const SIZES = {
  Ti: { width: 192, heads: 3, depth: 12 },
  S: { width: 384, heads: 6, depth: 12 },
  B: { width: 768, heads: 12, depth: 12 },
} as const;
const TOKENS = 197;

interface Count {
  dispatches: number;
  workgroups: number;
  /** Of the buffers that dispatches are bound to: each is read or written once, as if caches held nothing between two. */
  bytes: number;
}

/** A device that only counts. */
function paperGpu(count: Count): Gpu {
  const nothing = () => {};
  const buffer = ({ size }: GPUBufferDescriptor) => ({
    size,
    getMappedRange: () => new ArrayBuffer(size),
    mapAsync: async () => {},
    unmap: nothing,
    destroy: nothing,
  });
  let bound = 0;
  const pass = {
    setPipeline: nothing,
    setBindGroup: (_: number, group: { bytes: number }) => {
      bound = group.bytes;
    },
    dispatchWorkgroups(x: number, y = 1, z = 1) {
      count.dispatches++;
      count.workgroups += x * y * z;
      count.bytes += bound;
    },
    end: nothing,
  };
  const device = {
    limits: { maxStorageBufferBindingSize: 2 ** 31, maxComputeWorkgroupStorageSize: 32768 },
    lost: new Promise(nothing),
    queue: { submit: nothing, writeBuffer: nothing },
    createBuffer: buffer,
    createShaderModule: () => ({}),
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createComputePipelineAsync: async () => ({}),
    createBindGroup: ({ entries }: { entries: { resource: { buffer: { size: number } } }[] }) => ({
      bytes: entries.slice(1).reduce((sum, { resource }) => sum + resource.buffer.size, 0),
    }),
    createCommandEncoder: () => ({ beginComputePass: () => pass, copyBufferToBuffer: nothing, finish: nothing }),
    pushErrorScope: nothing,
    popErrorScope: async () => null,
    destroy: nothing,
  };
  return {
    device: device as unknown as GPUDevice,
    name: "paper",
    software: true,
    half: true,
    subgroups: true,
    packedDot: true,
  };
}

const blockOf = (backend: Backend, width: number, precision: Precision): Block => {
  const vector = () => backend.createTensor(1, width);
  const norm = () => ({ scale: vector(), shift: vector(), eps: 1e-6 });
  const linear = (outputs: number, inputs: number) => backend.createLinear(outputs, inputs, precision);
  return [
    [
      {
        ...{ kind: "attention", norm: norm(), qkv: linear(3 * width, width), out: linear(width, width) },
        ...{ qkNorm: undefined, relativePositions: undefined, subNorm: undefined },
      },
    ],
    [
      {
        ...{ kind: "mlp", norm: norm(), fc1: linear(4 * width, width), out: linear(width, 4 * width) },
        ...{ gated: false, subNorm: undefined, experts: undefined },
      },
    ],
  ];
};

/** What a block of a ViT asks of a device. */
export async function countBlock(size: keyof typeof SIZES, precision: Precision, images: number) {
  const { width, heads } = SIZES[size];
  const count: Count = { dispatches: 0, workgroups: 0, bytes: 0 };
  const backend = createWebgpuBackend(paperGpu(count));
  const block = blockOf(backend, width, precision);
  backend.mark();
  const rows = images * TOKENS;
  const z = backend.createTensor(rows, width);
  const config = { width, depth: 1, heads, mlpWidth: 4 * width, eps: 1e-6, activation: "gelu" } as const;
  await encode(backend, config, [block], z, { images, tokens: TOKENS }, {});
  await backend.read(z);
  const products = 2 * rows * 12 * width * width;
  return { ...count, products, attention: 4 * rows * TOKENS * width };
}

/** The whole text of bench/ROOFLINE.md. */
export async function roofline(): Promise<string> {
  const blocks: string[][] = [];
  const bounds: string[][] = [];
  for (const size of ["Ti", "S", "B"] as const) {
    for (const images of [1, 8]) {
      for (const precision of ["f32", "f16", "int8"] as const) {
        const { dispatches, workgroups, bytes, products, attention } = await countBlock(size, precision, images);
        const flops = products + attention;
        const work = [`ViT-${size}/16`, String(images), precision];
        const intensity = flops / bytes;
        const numbers = [(flops / 1e9).toFixed(2), (bytes / 1e6).toFixed(1), intensity.toFixed(0)];
        blocks.push([...work, String(dispatches), String(workgroups), ...numbers]);
        bounds.push([
          ...work,
          ...MACHINES.map(({ peak, bandwidth, dispatch }) => {
            // Attention is f32 in every precision.
            const compute = products / (peak[precision] * 1e6) + attention / (peak.f32 * 1e6);
            const memory = bytes / (bandwidth * 1e3);
            const waiting = dispatches * dispatch;
            const time = Math.max(compute, memory) + waiting;
            const what =
              waiting > Math.max(compute, memory) ? "dispatches" : compute > memory ? "arithmetic" : "memory";
            return `${Math.round((images * 1e6) / (time * SIZES[size].depth)).toLocaleString("en-US")}, ${what}`;
          }),
        ]);
      }
    }
  }
  const head = ["model", "batch", "precision"];
  const waits = MACHINES.map(({ dispatch }) => `${dispatch} µs`).join(", ");
  return `# WebGPU on paper

By \`npm run roofline\`: one block on a device that counts dispatches and the bytes of the buffers that they bind, each read
or written once. Nothing here was measured; how fast a GPU is with vitrail is unmeasured until someone measures it.

${table([...head, "dispatches", "workgroups", "GFLOP", "MB", "FLOP/byte"], blocks)}

Images a second at best, and what bounds them: the larger of arithmetic at the published peak and memory at the published
bandwidth, and the assumed wait between dependent dispatches (${waits}). Every precision has its attention in f32.

${table([...head, ...MACHINES.map(({ name }) => name)], bounds)}
`;
}

const FILE = "bench/ROOFLINE.md";
if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  writeFileSync(FILE, await roofline());
  console.log(readFileSync(FILE, "utf8"));
}
