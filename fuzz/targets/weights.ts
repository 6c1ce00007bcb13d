/** Files of weights, safetensors, NumPy's and PyTorch's: `openCheckpoint` on bytes, and all that it then reads; the Rust library beside it for safetensors. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { openCheckpoint } from "../../src/io/checkpoint.js";
import { encode } from "../../src/io/safetensors.js";
import { mutateSafetensors } from "../mutate/safetensors.js";
import { mutateTorch } from "../mutate/torch.js";
import { joinZip, mutateNpz, npy } from "../mutate/zip.js";
import { type Answer, expect, type Result, type Target } from "../target.js";
import { outline } from "../verdict.js";
import { fixture } from "./json.js";

/** Every tensor's type, shape and digest; reads those that convert to f32. */
async function readAll(bytes: Uint8Array): Promise<Result> {
  const checkpoint = await openCheckpoint({ weights: bytes });
  const tensors: Record<string, unknown> = Object.create(null);
  try {
    let place = new Uint8Array();
    let read = 0;
    await checkpoint.read({
      wanted: ({ dtype }) => ["F64", "F32", "F16", "BF16", "I8", "U8"].includes(dtype),
      stage(length) {
        place = new Uint8Array(length);
        return place;
      },
      store(_info, _row, bytes) {
        read += bytes.length;
        return -1;
      },
    });
    expect(read <= checkpoint.bytes, () => `${read} bytes of ${checkpoint.bytes}`);
    for (const name of [...checkpoint.tensors.keys()].sort()) {
      const { dtype, shape, begin, end } = checkpoint.tensors.get(name)!;
      const sha256 = createHash("sha256").update(bytes.subarray(begin, end)).digest("hex");
      tensors[name] = [dtype, shape, sha256];
    }
  } finally {
    await checkpoint.close();
  }
  return { tensors };
}

function compare(ours: Answer, theirs: Answer): string | undefined {
  if ("error" in ours) {
    return "error" in theirs ? undefined : `only the Rust library reads it; here: ${outline(ours.error)}`;
  }
  if ("error" in theirs) return `only read here; the Rust library: ${outline(theirs.error)}`;
  const [a, b] = [ours, theirs].map(({ result }) => JSON.stringify(Object.entries(result.tensors as object).sort()));
  return a === b ? undefined : "other tensors";
}

const FIXTURES = fixture("safetensors/");

export const safetensors: Target = {
  seeds: [
    ...readdirSync(FIXTURES)
      .filter((name) => name.endsWith(".safetensors"))
      .map((name) => new Uint8Array(readFileSync(FIXTURES + name)))
      .filter(({ length }) => length <= 2048),
    encode([]),
    encode(
      [
        { name: "a", shape: [2, 3], data: new Float32Array(6) },
        { name: "b", shape: [], data: new Float32Array(1) },
      ],
      {
        format: "pt",
      },
    ),
  ],
  mutators: [mutateSafetensors],
  refusal: /^(safetensors|checkpoint|npz|torch|weights): /,
  run: readAll,
  against: { safetensors: compare },
};

const head = (descr: string, shape: string) => `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;

export const npz: Target = {
  seeds: [
    joinZip([]),
    joinZip([
      { tag: "a.npy", data: npy(head("<f4", "(2, 3)"), new Uint8Array(24)) },
      { tag: "b/c.npy", data: npy(head("<f2", "()"), new Uint8Array(2)) },
      { tag: "d.npy", data: npy(head("|V2", "(3,)"), new Uint8Array(6)) },
    ]),
  ],
  mutators: [mutateNpz],
  refusal: /^(npz|torch|checkpoint|weights|safetensors)[:[]/,
  run: async (input) => void (await readAll(input)),
};

/** Small files that tests/fixtures/torch/make.py writes. */
const TORCH = ["kinds/kinds.pt", "big-endian/big-endian.pt", "deflated/deflated.pt", "zip64/zip64.pt"].concat(
  ...["views", "views-legacy", "views-protocol-5"].map((name) => `${name}/views.pt`),
);

export const torch: Target = {
  seeds: TORCH.map((name) => new Uint8Array(readFileSync(fixture("torch/") + name))),
  mutators: [mutateTorch],
  refusal: /^(torch|npz|checkpoint|weights|safetensors)[:[]/,
  longest: 8192,
  run: async (input) => void (await readAll(input)),
};
