/** Pictures in terminals: what each protocol says is decoded back to pixels; and the command that draws them. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseArguments } from "../src/cli/arguments.js";
import { graphicsOf, graphicsText } from "../src/cli/draw.js";
import type { Invocation } from "../src/cli/invocation.js";
import { picture } from "../src/cli/picture.js";
import { taskCommand } from "../src/cli/task.js";
import { createTerminal } from "../src/cli/terminal.js";
import { decode, type RgbImage } from "../src/image/index.js";
import { absent, find } from "./installed.js";

const scratch = mkdtempSync(join(tmpdir(), "vitrail-draw-"));
after(() => rmSync(scratch, { recursive: true }));

/** Colors that change slowly, 37 × 15: a line and a column less than blocks and sixels come in. */
const IMAGE: RgbImage = {
  width: 37,
  height: 15,
  data: Uint8Array.from({ length: 37 * 15 * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % 37, Math.floor(i / 111), i % 3];
    return [7 * x, 17 * y, 255 - 7 * x][c]!;
  }),
};

/** The text with letters for its control characters, which are easier to read. */
const shown = (text: string) => text.replaceAll("\x1b", "␛").replaceAll("\x07", "␇");

test("kitty's and iTerm2's graphics are PNG files of the pixels", async () => {
  const kitty = shown(await graphicsText(IMAGE, "kitty"));
  const commands = [...kitty.matchAll(/␛_G(?:(a=T,f=100,q=2),)?m=([01]);([A-Za-z0-9+/=]*)␛\\/g)];
  assert.equal(commands.map(([all]) => all).join(""), kitty.trimEnd(), "nothing else is written");
  assert.deepEqual(
    commands.map(([, keys, more]) => [keys !== undefined, more]),
    commands.map((_, i) => [i === 0, i < commands.length - 1 ? "1" : "0"]),
  );
  for (const [, , , letters] of commands) assert.ok(letters!.length <= 4096);
  const png = Buffer.from(commands.map(([, , , letters]) => letters).join(""), "base64");
  assert.deepEqual(await decode(png), IMAGE);

  const iterm2 = shown(await graphicsText(IMAGE, "iterm2"));
  const [, size, letters] = /^␛\]1337;File=inline=1;size=(\d+);preserveAspectRatio=1:([A-Za-z0-9+/=]*)␇\n$/.exec(
    iterm2,
  )!;
  const file = Buffer.from(letters!, "base64");
  assert.equal(file.length, Number(size));
  assert.deepEqual(await decode(file), IMAGE);
});

/** Pixels of sixels, as a terminal draws them. */
function ofSixels(text: string): RgbImage {
  const [, size, body] = /^␛P0;1q"1;1;(\d+;\d+)([\s\S]*)␛\\\n$/.exec(shown(text))!;
  const [width, height] = size!.split(";").map(Number) as [number, number];
  const data = new Uint8Array(3 * width * height);
  const palette = new Map<number, number[]>();
  let [x, y, color] = [0, 0, 0];
  for (const [word, index, levels, count, letter] of body!.matchAll(
    /#(\d+)(?:;2;(\d+;\d+;\d+))?|(?:!(\d+))?([?-~])|[$-]/g,
  )) {
    if (levels)
      palette.set(
        Number(index),
        levels.split(";").map((level) => Math.round(2.55 * Number(level))),
      );
    else if (index) color = Number(index);
    else if (word === "$") x = 0;
    else if (word === "-") [x, y] = [0, y + 6];
    else {
      const bits = letter!.charCodeAt(0) - 63;
      for (let n = 0; n < Number(count ?? 1); n++, x++)
        for (let i = 0; i < 6; i++) if (bits & (1 << i)) data.set(palette.get(color)!, 3 * ((y + i) * width + x));
    }
  }
  return { width, height, data };
}

/** Pixels of half blocks. */
function ofBlocks(text: string, color: (codes: readonly string[]) => number[]): RgbImage {
  const lines = text.trimEnd().split("\n");
  const pixels = lines.flatMap((line) => {
    let [ink, paper]: (number[] | undefined)[] = [];
    const rows: [number[], number[]] = [[], []];
    for (const [word, codes] of shown(line).matchAll(/␛\[([\d;]*)m|▀/g)) {
      if (word === "▀") {
        rows[0].push(...ink!);
        if (paper) rows[1].push(...paper);
      } else if (codes !== "0") {
        // 38, then 2 and three levels or 5 and a number; 48 and the same again, or 49 for none.
        const all = codes!.split(";");
        const size = all[1] === "2" ? 5 : 3;
        ink = color(all.slice(1, size));
        paper = all.length > size + 1 ? color(all.slice(size + 1)) : undefined;
      }
    }
    return rows;
  });
  const rows = pixels.filter((row) => row.length > 0);
  return { width: rows[0]!.length / 3, height: rows.length, data: Uint8Array.from(rows.flat()) };
}

/** Largest and mean difference. */
function differences(a: RgbImage, b: RgbImage): { most: number; mean: number } {
  assert.deepEqual([a.width, a.height, a.data.length], [b.width, b.height, b.data.length]);
  const all = Array.from(a.data, (x, i) => Math.abs(x - b.data[i]!));
  return { most: Math.max(...all), mean: all.reduce((sum, x) => sum + x, 0) / all.length };
}

const meanOf = ({ data }: RgbImage): number => data.reduce((sum, x) => sum + x, 0) / data.length;

test("sixels are the pixels in 252 colors, and their means the same", async () => {
  const made = ofSixels(await graphicsText(IMAGE, "sixel"));
  const { most } = differences(made, IMAGE);
  assert.ok(most <= 64, `${most}`);
  assert.ok(Math.abs(meanOf(made) - meanOf(IMAGE)) < 2, `${meanOf(made)} of ${meanOf(IMAGE)}`);
});

const sixel2png = find("sixel2png");
test("libsixel reads the same of them", { skip: absent("sixel2png", sixel2png) }, async () => {
  const text = await graphicsText(IMAGE, "sixel");
  const { data, width, height } = await decode(execFileSync(sixel2png!, { input: text }));
  const { most } = differences({ data: new Uint8Array(data), width, height }, ofSixels(text));
  assert.ok(most <= 1, `${most}`);
});

test("half blocks are two pixels each, in 24-bit colors or the nearest of 256", async () => {
  assert.deepEqual(
    ofBlocks(await graphicsText(IMAGE, "blocks"), (codes) => codes.slice(1).map(Number)),
    IMAGE,
  );
  const cube = [0, 95, 135, 175, 215, 255];
  const xterm = ([, index]: readonly string[]) => {
    const i = Number(index);
    if (i >= 232) return [8 + 10 * (i - 232), 8 + 10 * (i - 232), 8 + 10 * (i - 232)];
    return [Math.floor((i - 16) / 36), Math.floor((i - 16) / 6) % 6, (i - 16) % 6].map((level) => cube[level]!);
  };
  const few = ofBlocks(await graphicsText(IMAGE, "blocks256"), xterm);
  const { most } = differences(few, IMAGE);
  assert.ok(most <= 96, `${most}`);
  assert.ok(Math.abs(meanOf(few) - meanOf(IMAGE)) < 2, `${meanOf(few)} of ${meanOf(IMAGE)}`);
});

test("the environment says what a terminal draws", () => {
  const cases: [Record<string, string>, ReturnType<typeof graphicsOf>][] = [
    [{ TERM: "xterm-kitty" }, "kitty"],
    [{ TERM: "xterm-256color", KITTY_WINDOW_ID: "1" }, "kitty"],
    [{ TERM: "xterm-ghostty" }, "kitty"],
    [{ TERM: "xterm-256color", TERM_PROGRAM: "iTerm.app" }, "iterm2"],
    [{ TERM: "xterm-256color", TERM_PROGRAM: "WezTerm" }, "iterm2"],
    [{ TERM: "foot" }, "sixel"],
    [{ TERM: "xterm-256color", COLORTERM: "truecolor" }, "blocks"],
    [{ TERM: "xterm-256color" }, "blocks256"],
    [{ TERM: "tmux-256color", KITTY_WINDOW_ID: "1", COLORTERM: "truecolor" }, "blocks"],
    [{ TERM: "xterm-kitty", TMUX: "/tmp/tmux", COLORTERM: "24bit" }, "blocks"],
    [{ TERM: "xterm-256color", NO_COLOR: "1" }, undefined],
    [{ TERM: "dumb" }, undefined],
    [{}, undefined],
  ];
  for (const [env, graphics] of cases) assert.equal(graphicsOf(env), graphics, JSON.stringify(env));
});

const CLI = fileURLToPath(new URL("../src/cli.js", import.meta.url));
const MODEL = "tests/fixtures/checkpoints/hf-vit";
const PHOTO = "tests/fixtures/image/rgb-420.jpg";

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, "picture", ...args, "--model", MODEL], {
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

test("picture writes PNG on the photo, SVG, numbers, and JSON", async () => {
  const photo = await decode(readFileSync(PHOTO));
  const png = join(scratch, "attention.png");
  assert.deepEqual(run("attention", PHOTO, "--layer", "0", "--heads", "1", "--out", png).status, 0);
  const made = await decode(readFileSync(png));
  assert.deepEqual([made.width, made.height], [photo.width, photo.height]);
  const alone = join(scratch, "alone.png");
  run("attention", PHOTO, "--out", alone, "--alone", "--width", "40");
  assert.deepEqual((({ width, height }) => [width, height])(await decode(readFileSync(alone))), [40, 30]);
  const json = JSON.parse(run("attention", PHOTO, "--from", "1,2", "--json").stdout);
  assert.deepEqual([json.kind, json.dims, json.data.length], ["attention", [3, 4], 12]);
  const npy = join(scratch, "lens.npy");
  assert.equal(run("lens", PHOTO, "--out", npy).status, 0);
  const file = readFileSync(npy);
  assert.match(file.toString("latin1"), /NUMPY.*'descr': '<f4', 'fortran_order': False, 'shape': \(3, 7\), \} *\n/s);
  assert.equal(file.length, 128 + 4 * 21);
  const svg = join(scratch, "distance.svg");
  assert.equal(run("distance", PHOTO, PHOTO, "--out", svg).status, 0);
  const drawn = readFileSync(svg, "utf8");
  assert.equal(drawn.match(/<circle /g)!.length, 6);
  assert.match(drawn, /mean attention distance \(pixels\)/);
  const two = run(
    "norms",
    PHOTO,
    "tests/fixtures/image/rgb-8.png",
    "--out",
    join(scratch, "norms.svg"),
    "--json",
  ).stdout;
  assert.deepEqual(
    two
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).file),
    ["norms-rgb-420.svg", "norms-rgb-8.svg"].map((name) => join(scratch, name)),
  );
});

test("a wrong kind, flag or ending, and no terminal to draw in, are one sentence", () => {
  const refused = (code: number, message: RegExp, ...args: string[]) => {
    const { status, stdout, stderr } = run(...args);
    assert.deepEqual([status, stdout], [code, ""], stderr);
    assert.match(stderr, message);
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  };
  refused(
    2,
    /^vitrail: picture takes a kind, then images: filters, .*; got "attenton"\n$/,
    "attenton",
    PHOTO,
    "--out",
    "a.png",
  );
  refused(2, /picture needs --out FILE \(\.png, \.svg, \.npy\), as standard output is no terminal/, "attention", PHOTO);
  refused(2, /--out of picture must end with \.png, \.svg, \.npy; got "a\.gif"/, "attention", PHOTO, "--out", "a.gif");
  refused(2, /lens is a chart, so --out must end with \.svg or \.npy/, "lens", PHOTO, "--out", "a.png");
  refused(2, /--layer must be a number; got "last"/, "attention", PHOTO, "--layer", "last", "--out", "a.png");
  refused(1, /layer must be from 0 to 1; got 2/, "attention", PHOTO, "--layer", "2", "--out", "a.png");
  refused(2, /there is no option "--colour"/, "attention", PHOTO, "--colour", "red");
});

/** A command of the command line. */
type Command = (invocation: Invocation) => Promise<void>;

/** What a command writes to a terminal of kitty's, 80 columns wide. */
const onTerminal = (command: Command, ...words: string[]) => on({ TERM: "xterm-kitty" }, 80, command, ...words);

async function on(env: object, columns: number, command: Command, ...words: string[]): Promise<string> {
  const written: string[] = [];
  const output = { isTTY: true, columns, write: (text: string) => written.push(text) };
  const terminal = createTerminal(output, { write: () => {} }, { env: { ...env } });
  const args = parseArguments([...words, "--model", MODEL]);
  await command({ args, terminal, signal: new AbortController().signal });
  return shown(written.join(""));
}

/** Sizes of the pictures in what was written. */
async function sizesIn(text: string): Promise<[width: number, height: number][]> {
  const pictures = text.split("␛_Ga=T").slice(1);
  return Promise.all(
    pictures.map(async (commands) => {
      const letters = [...commands.matchAll(/m=[01];([A-Za-z0-9+/=]*)/g)].map(([, some]) => some).join("");
      const { width, height } = await decode(Buffer.from(letters, "base64"));
      return [width, height];
    }),
  );
}

test("in a terminal, picture draws, a chart is lines, and classify shows its photos", async () => {
  const { width, height } = await decode(readFileSync(PHOTO));
  const map = await onTerminal(picture, "picture", "attention", PHOTO, "--width", "40");
  assert.deepEqual(await sizesIn(map), [[40, Math.round((40 * height) / width)]]);
  assert.match(map, /Attention of the class token, block 2, mean of heads\n/);
  const chart = await onTerminal(picture, "picture", "distance", PHOTO);
  assert.deepEqual(await sizesIn(chart), []);
  assert.match(chart, /layer {2}1 {2}[·●]{48} {2}mean \d+\.\d px\n {2}layer {2}2 /);
  const classes = await onTerminal(taskCommand("classify"), "classify", PHOTO, PHOTO, "--top", "1");
  const sizes = await sizesIn(classes);
  assert.equal(sizes.length, 2);
  assert.ok(Math.max(...sizes[0]!) <= 160, `${sizes[0]}`);
  assert.deepEqual(await sizesIn(await onTerminal(taskCommand("classify"), "classify", PHOTO, "--json")), []);
});

test("no picture is wider than the terminal", async () => {
  for (const columns of [20, 80]) {
    for (const kind of ["filters", "positions", "attention", "features"]) {
      const images = kind === "filters" || kind === "positions" ? [] : [PHOTO];
      const blocks = await on({ TERM: "xterm" }, columns, picture, "picture", kind, ...images);
      const lines = blocks.split("\n").map((line) => line.match(/▀/g)?.length ?? 0);
      assert.ok(Math.max(...lines) > 0 && Math.max(...lines) < columns, `${kind}: ${Math.max(...lines)} of ${columns}`);
      const sizes = await sizesIn(await on({ TERM: "xterm-kitty" }, columns, picture, "picture", kind, ...images));
      assert.equal(sizes.length, 1);
      assert.ok(sizes[0]![0] < 8 * columns, `${kind}: ${sizes[0]} of ${8 * columns}`);
    }
  }
});
