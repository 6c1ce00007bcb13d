/** timm's architectures: what their functions set and no tensor tells, derived from the name as timm has it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Config } from "../src/checkpoint/config.js";
import { fromTimm } from "../src/checkpoint/families/timm.js";

type Row = readonly [
  heads: number,
  eps: number,
  activation: string | null,
  pooling: string,
  poolHeads: number | null,
  rotary: object | null,
  postNorm: boolean,
];

const { rows, widths } = JSON.parse(readFileSync("tests/fixtures/timm-architectures.json", "utf8")) as {
  readonly rows: Readonly<Record<string, Row>>;
  readonly widths: Readonly<Record<string, number>>;
};

/** As far as fromTimm reads what tensors tell; a pooled norm or a map is what the architecture's pooling implies. */
function configOf(architecture: string, [, , activation, pooling]: Row, args: object = {}): Omit<Config, "layout"> {
  const classToken = !/gap|siglip|aimv2|reg\d_map/.test(architecture);
  const seen = {
    width: widths[architecture]!,
    depth: 1,
    heads: undefined,
    mlpWidth: 4,
    gated: activation === null,
    qkvBias: true,
    qkNorm: false,
    relativePositions: false,
    patch: [16, 16],
    inputChannels: 3,
    naflex: false,
    units: [],
    channels: [],
    resnet: false,
    prefixTokens: 1,
    classToken,
    positions: 197,
    positioned: [0, 1, 1, 1],
    distilledHead: architecture.includes("distilled"),
    norm: pooling !== "avg",
    pooledNorm: pooling === "avg",
    attentionPool: pooling === "map",
    classes: 0,
    headInputs: 0,
    poolerWidth: 0,
    features: 0,
  } as const;
  const facts = {
    name: architecture,
    file: { architecture, model_args: args },
    seen,
    named: undefined,
    tensors: undefined,
  };
  return fromTimm(facts as never);
}

/** As JSON, with a reference even where there is none. */
const plain = (rotary: object | null | undefined) =>
  rotary ? { reference: null, ...JSON.parse(JSON.stringify(rotary)) } : null;

for (const [architecture, row] of Object.entries(rows)) {
  test(architecture, () => {
    const [heads, eps, activation, pooling, poolHeads, rotary, postNorm] = row;
    const config = configOf(architecture, row);
    const distilled = config.pooling === "distilled";
    assert.deepEqual(
      {
        heads: config.heads,
        eps: config.eps,
        activation: activation === null ? null : config.activation,
        pooling: distilled ? "token" : POOLINGS[config.pooling],
        poolHeads: poolHeads === null ? null : config.poolHeads,
        rotary: plain(config.rotary),
        postNorm: config.postNorm,
      },
      {
        heads,
        eps,
        activation,
        pooling: distilled ? "token" : pooling,
        poolHeads,
        rotary: plain(rotary),
        postNorm: postNorm && "branch",
      },
    );
  });
}

/** What the head reads, by timm's names. */
const POOLINGS: Readonly<Record<string, string>> = {
  token: "token",
  distilled: "token",
  mean: "avg",
  max: "max",
  attention: "map",
  "token+mean": "",
};

test("where model_args say where the norm is, the name alone tells the pooling", () => {
  for (const [architecture, row] of Object.entries(rows)) {
    for (const args of [{ fc_norm: true }, { fc_norm: false }, { use_fc_norm: true }]) {
      if (/distilled/.test(architecture)) continue;
      assert.equal(POOLINGS[configOf(architecture, row, args).pooling], row[3], architecture);
    }
  }
});

test("all of timm's Vision Transformers are among them", () => {
  assert.ok(Object.keys(rows).length > 250, `${Object.keys(rows).length}`);
});
