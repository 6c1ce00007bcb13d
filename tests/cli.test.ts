/** The command line as a program sees it: exit status, standard output and standard error of the compiled CLI. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isWideKnown } from "../src/backends/wasm/wide.js";
import { COMMANDS, parseArguments } from "../src/cli/arguments.js";
import { createTerminal } from "../src/cli/terminal.js";
import { openImage } from "../src/image/index.js";
import { type Box, load } from "../src/index.js";
import { encode } from "../src/io/safetensors.js";
import { bar } from "../src/tasks/bar.js";
import { distinct } from "../src/tasks/palette.js";
import { readTensors } from "./tensors.js";

const CLI = fileURLToPath(new URL("../src/cli.js", import.meta.url));
const MODEL = "tests/fixtures/checkpoints/hf-vit";
const IMAGE = "tests/fixtures/image/rgb-420.jpg";
const OTHER = "tests/fixtures/image/rgb-8.png";

const scratch = mkdtempSync(join(tmpdir(), "vitrail-cli-"));
after(() => rmSync(scratch, { recursive: true }));
const inScratch = (name: string, content: string | Uint8Array = "") => {
  writeFileSync(join(scratch, name), content);
  return join(scratch, name);
};

function run(args: readonly string[], input?: Uint8Array) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { input, encoding: "utf8" });
  return { status, stdout, stderr };
}

const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

const onModel = (command: string, ...args: string[]) => run([command, "--model", MODEL, ...args]);

/** What transformers computes, from the same file to the probabilities. */
const golden = JSON.parse(readFileSync(join(MODEL, "case.json"), "utf8")).classify as { probabilities: number[] };
const { id2label } = JSON.parse(readFileSync(join(MODEL, "config.json"), "utf8"));
const best = golden.probabilities
  .map((probability, index) => ({ label: id2label[index] as string, index, probability }))
  .sort((a, b) => b.probability - a.probability);

test("no arguments and --help print help that fits a screen, and that of a command its options", () => {
  const help = run([]);
  assert.equal(help.status, 0);
  assert.equal(help.stderr, "");
  const lines = help.stdout.trimEnd().split("\n");
  assert.ok(lines.length <= 23, `${lines.length} lines`);
  for (const line of lines) assert.ok(line.length < 80, line);
  assert.match(help.stdout, /^example: vitrail classify /m);
  assert.deepEqual(run(["--help"]), help);
  const bench = run(["bench", "-h"]);
  assert.equal(bench.status, 0);
  assert.match(bench.stdout, /^usage: vitrail bench \[options\]\n {2}.*\n\n {2} {2}--batch 1 /);
  const zeroShot = run(["zero-shot", "--help"]);
  assert.match(zeroShot.stdout, /^ {4}--labels "A,B"[\s\S]*^ {2}IMAGES +files[\s\S]*^ {2}--model NAME/m);
  for (const line of zeroShot.stdout.split("\n")) assert.ok(line.length < 80, line);
});

test("--version is the package's", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  assert.deepEqual(run(["--version"]), { status: 0, stdout: `${version}\n`, stderr: "" });
});

test("a wrong command, option or value is one sentence", () => {
  const cases: [args: string[], message: string][] = [
    [["clasify", IMAGE], `there is no command "clasify"; there are ${Object.keys(COMMANDS).join(", ")}`],
    [["classify", "--topk", "3"], 'there is no option "--topk"; "vitrail --help" lists all'],
    [["-x"], 'there is no option "-x"; "vitrail --help" lists all'],
    [
      ["classify", "--out", "a.npy"],
      "--out is an option of detect, depth, segment, pose, matte, embed, index, learn, picture, quantize, not of classify",
    ],
    [["classify", "--top"], "--top needs a value"],
    [["classify", "--top", "--json"], "--top needs a value"],
    [["classify", "--top", "0"], '--top must be a whole number from 1 to 1000000; got "0"'],
    [["classify", "--top="], '--top must be a whole number from 1 to 1000000; got ""'],
    [["classify", "--top", "five"], '--top must be a whole number from 1 to 1000000; got "five"'],
    [["classify", "--json=yes"], '--json takes no value; got "yes"'],
    [["classify", "--threads", "no"], '--threads must be a whole number from 1 to 256; got "no"'],
    [["classify", "--threads", "1e9"], '--threads must be a whole number from 1 to 256; got "1e9"'],
    [["classify", "--top", "Infinity"], '--top must be a whole number from 1 to 1000000; got "Infinity"'],
    [["bench", "--batch", "1e7"], '--batch must be a whole number from 1 to 1024; got "1e7"'],
    [["bench", "--seconds", "1e9"], '--seconds must be above 0 and at most a day, 86400; got "1e9"'],
    [["bench", "--seconds", "-1"], '--seconds must be above 0 and at most a day, 86400; got "-1"'],
    [["bench", "--batch", "1.5"], '--batch must be a whole number from 1 to 1024; got "1.5"'],
  ];
  for (const [args, message] of cases) assert.throws(() => parseArguments(args), { message });
});

test("what is given arrives, in any order, and the rest is by default", () => {
  const args = parseArguments(["--top", "3", "classify", "--model=m", "a.jpg", "--", "--b.jpg", "-"]);
  assert.deepEqual(
    [args.command, args.operands, args.model, args.task],
    ["classify", ["a.jpg", "--b.jpg", "-"], "m", { topK: 3 }],
  );
  assert.deepEqual(args.load, {
    backend: undefined,
    precision: undefined,
    threads: "auto",
    wide: undefined,
    processor: undefined,
    state: undefined,
    subfolder: undefined,
    prefix: undefined,
    ignore: undefined,
    base: undefined,
    head: undefined,
    textCache: undefined,
  });
  assert.deepEqual(parseArguments(["classify", "a.jpg"]).task, {});
  const { batch, seconds, json, quiet, out } = parseArguments([]);
  assert.deepEqual(
    { batch, seconds, json, quiet, out },
    {
      batch: 1,
      seconds: 5,
      json: false,
      quiet: false,
      out: undefined,
    },
  );
  const words = ["--threads", "2", "--backend", "wasm", "--precision", "int8", "--wide", "--processor", "torchvision"];
  words.push(
    "--subfolder",
    "vision",
    "--prefix",
    "tower.",
    "--ignore",
    "/^loss/",
    "--state",
    "teacher",
    "--base",
    "b",
    "--head",
    "h.pth",
    "--text-cache",
    "texts",
  );
  const { load } = parseArguments(words);
  const names = {
    subfolder: "vision",
    prefix: "tower.",
    ignore: /^loss/u,
    state: "teacher",
    base: "b",
    head: "h.pth",
    textCache: "texts",
  };
  assert.deepEqual(load, {
    backend: "wasm",
    precision: "int8",
    threads: 2,
    wide: true,
    processor: "torchvision",
    ...names,
  });
});

const BOXES_RULE = (got: string) =>
  `--boxes must be boxes of left, top, right and bottom, with semicolons between; got ${got}`;

test("options of tasks are read by their kinds", () => {
  const words = [
    "detect",
    "a.jpg",
    "--labels",
    " a cat ,dog",
    "--threshold",
    "0.25",
    "--iou=1",
    "--top",
    "3",
    "--query",
    "q.png",
  ];
  const args = parseArguments(words);
  const options = { labels: ["a cat", "dog"], query: "q.png", threshold: 0.25, topK: 3, iou: 1 };
  assert.deepEqual([args.task, args.taskArguments], [options, []]);
  const pose = parseArguments(["pose", "a.jpg", "--boxes=-1 2.5 30 40; 5,6,7,8", "--dataset", "0"]);
  const boxes = [
    { xmin: -1, ymin: 2.5, xmax: 30, ymax: 40 },
    { xmin: 5, ymin: 6, xmax: 7, ymax: 8 },
  ];
  assert.deepEqual(pose.task, { boxes, dataset: 0 });
  const zeroShot = parseArguments(["zero-shot", "a.jpg", "--labels", "a,b"]);
  assert.deepEqual([zeroShot.task, zeroShot.taskArguments], [{}, [["a", "b"]]]);
  const cases: [args: string[], message: string][] = [
    [["detect", "--labels", "a,,b"], '--labels must be texts with commas between; got "a,,b"'],
    [["detect", "--threshold", "2"], '--threshold must be a number from 0 to 1; got "2"'],
    [["zero-shot", "a.jpg"], "zero-shot needs --labels: texts, with commas between, or @FILE"],
    [["pose", "--boxes", "1 2 3"], BOXES_RULE('"1 2 3"')],
    [["pose", "--boxes", "1 2 3 4;"], BOXES_RULE('""')],
    [["pose", "--boxes", "1 2 3 x"], BOXES_RULE('"1 2 3 x"')],
    [["pose", "--dataset", "-1"], '--dataset must be a whole number from 0 to 1000000; got "-1"'],
    [["classify", "--labels", "a"], "--labels is an option of zero-shot, detect, segment, picture, not of classify"],
  ];
  for (const [args, message] of cases) assert.throws(() => parseArguments(args), { message });
});

const OWL = "tests/fixtures/checkpoints/hf-owlv2";
const owlCase = JSON.parse(readFileSync(join(OWL, "case.json"), "utf8")).detect;

test("detect prints transformers' boxes of texts and of a query image, as JSON and for people", () => {
  for (const { image, labels, query, iou, threshold, found } of owlCase) {
    if (iou === 1) continue;
    const asked = labels
      ? ["--labels", labels.join(","), "--threshold", String(threshold)]
      : ["--query", `tests/fixtures/image/${query}`, "--iou", String(iou)];
    const words = ["detect", "--model", OWL, `tests/fixtures/image/${image}`, ...asked];
    const { status, stdout, stderr } = run([...words, "--json"]);
    assert.deepEqual([status, stderr], [0, ""]);
    const [line] = jsonLines(stdout);
    const got = line.objects.map(({ probability }: { probability: number }) => probability);
    const want = [...found.scores].sort((a: number, b: number) => b - a);
    assert.equal(got.length, want.length);
    for (const [i, score] of want.entries()) assert.ok(Math.abs(got[i] - score) < 1e-5);
    const text = run(words).stdout;
    assert.equal(text.match(/^ +[\d.]+ % {2}.+ at( -?[\d.]+){4}$/gm)?.length, want.length);
  }
  const { status, stderr } = onModel("detect", "--labels", "a", IMAGE);
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^vitrail: detect: the checkpoint must have boxes; this one has none, and can classify, embed\n$/,
  );
});

test("matte prints how much is the object's, and cuts it out, with --out", async () => {
  const folder = join(scratch, "mattes");
  const model = "tests/fixtures/dense/hf-vitmatte";
  const words = ["matte", "--model", model, "tests/fixtures/image/rgb-420.jpg"];
  const trimap = ["--trimap", "tests/fixtures/image/trimap.png"];
  const { status, stdout, stderr } = run([...words, ...trimap, "--out", folder, "--json"]);
  assert.deepEqual([status, stderr], [0, ""]);
  const [{ width, height, area, files }] = jsonLines(stdout);
  const { dims, data } = readTensors(join(model, "photos.safetensors")).get("rgb-420.jpg.alphas")!;
  const want = data.reduce((sum, x) => sum + x, 0);
  assert.deepEqual([height, width], dims);
  assert.ok(Math.abs(area - want) < 0.01 * want, `${area}, not ${want}`);
  assert.deepEqual(files, [join(folder, "rgb-420.cutout.png"), join(folder, "rgb-420.alpha.png")]);
  const gray = await openImage(files[1]!);
  assert.deepEqual(
    gray.data.filter((_, i) => i % 3 === 0),
    Uint8Array.from(data, (x) => Math.round(255 * x)),
  );
  assert.match(run([...words, ...trimap]).stdout, /^ {2}37×29, \d+\.\d % of it the object$/m);
  assert.deepEqual(run(words), {
    ...{ status: 2, stdout: "" },
    stderr: "vitrail: matte: trimap must be an image, 0 beside the object, 255 on it and 128 between; got none\n",
  });
});

test("pose prints keypoints in boxes, and draws them with the checkpoint's lines on the photo, with --out", async () => {
  const folder = join(scratch, "poses");
  const model = "tests/fixtures/dense/hf-vitpose-plus";
  const image = "tests/fixtures/image/exif-6.jpg";
  const photo = await openImage(image);
  const { width, height } = photo;
  const words = ["pose", "--model", model, "--dataset", "1", image];
  const { status, stdout, stderr } = run([...words, `--boxes=0 0 ${width} ${height}`, "--out", folder, "--json"]);
  assert.deepEqual([status, stderr], [0, ""]);
  const [{ poses, files }] = jsonLines(stdout);
  const want = readTensors(join(model, "photos.safetensors")).get("exif-6.jpg.keypoints")!.data;
  const [{ box, keypoints }] = poses;
  assert.deepEqual(box, { xmin: 0, ymin: 0, xmax: width, ymax: height });
  for (const [k, { x, y }] of keypoints.entries()) {
    assert.ok(Math.abs(x - want[2 * k]!) < 0.05 && Math.abs(y - want[2 * k + 1]!) < 0.05);
  }
  assert.match(run(words).stdout, /^ {2}in 0\.0 0\.0 .*\n(?: +[\d.]+ {2}\w+ {2}at -?[\d.]+ -?[\d.]+\n){4}/m);

  assert.deepEqual(files, [join(folder, "exif-6.pose.png")]);
  const drawn = await openImage(files[0]!);
  assert.deepEqual([drawn.width, drawn.height], [width, height]);
  // Points have a radius of 2 pixels on a photo that is so small, lines are two pixels wide.
  const near = (x: number, y: number) => {
    const parts = [
      ...keypoints.map((point: { x: number; y: number }) => Math.hypot(point.x - x, point.y - y) / 2),
      ...[
        [0, 1],
        [0, 2],
        [1, 3],
      ].map(([a, b]) => {
        const [from, to] = [keypoints[a!], keypoints[b!]];
        const [dx, dy] = [to.x - from.x, to.y - from.y];
        const t = Math.min(Math.max(((x - from.x) * dx + (y - from.y) * dy) / (dx * dx + dy * dy), 0), 1);
        return Math.hypot(from.x + t * dx - x, from.y + t * dy - y);
      }),
    ];
    return Math.min(...parts);
  };
  let colored = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const distance = near(x + 0.5, y + 0.5);
      if (Math.abs(distance - 1) < 1e-3) continue;
      const at = 3 * (y * width + x);
      assert.deepEqual(
        [...drawn.data.subarray(at, at + 3)],
        [...(distance < 1 ? distinct(0) : photo.data.subarray(at, at + 3))],
      );
      colored += Number(distance < 1);
    }
  assert.ok(colored > 20);

  const bad = run([...words, "--boxes", "900 0 910 9", "--json"]);
  assert.equal(bad.status, 1);
  assert.match(jsonLines(bad.stdout)[0].error, /: boxes: box 0 must lie on the photo of 9×17, /);
});

test("detect draws the outlines of boxes on the photo, as a person sees it, with --out", async () => {
  const folder = join(scratch, "boxes");
  const image = "tests/fixtures/image/exif-6.jpg";
  const words = ["--labels", "cat,the dog", "--threshold", "0", "--top", "2", "--out", folder, "--json"];
  const { status, stdout } = run(["detect", "--model", OWL, image, ...words]);
  assert.equal(status, 0);
  const [{ objects, files }] = jsonLines(stdout);
  assert.deepEqual(files, [join(folder, "exif-6.boxes.png")]);
  const [photo, drawn] = [await openImage(image), await openImage(join(folder, "exif-6.boxes.png"))];
  assert.deepEqual([drawn.width, drawn.height], [photo.width, photo.height]);
  // Lines are two pixels wide on a photo that is so small.
  const onLine = (x: number, y: number) =>
    objects.findIndex(({ box }: { box: Box }) => {
      const [left, right] = [box.xmin, box.xmax].map((side) => Math.min(Math.max(Math.round(side), 0), photo.width));
      const [top, bottom] = [box.ymin, box.ymax].map((side) => Math.min(Math.max(Math.round(side), 0), photo.height));
      const inside = x >= left! && x < right! && y >= top! && y < bottom!;
      return inside && !(x >= left! + 2 && x < right! - 2 && y >= top! + 2 && y < bottom! - 2);
    });
  let lines = 0;
  for (let y = 0; y < photo.height; y++)
    for (let x = 0; x < photo.width; x++) {
      const at = 3 * (y * photo.width + x);
      const box = onLine(x, y);
      const want = box < 0 ? photo.data.subarray(at, at + 3) : distinct(objects[box].index);
      assert.deepEqual([...drawn.data.subarray(at, at + 3)], [...want], `${x}, ${y}`);
      if (box >= 0) lines++;
    }
  assert.ok(lines > 20, `${lines} pixels of lines`);
});

test("inspect tells of boxes, and what they are compared with", () => {
  const headOf = (folder: string) => run(["inspect", "--model", `tests/fixtures/checkpoints/${folder}`]).stdout;
  assert.match(headOf("hf-yolos"), /^ {2}head +5 boxes of 4 classes, or of none$/m);
  assert.match(headOf("hf-yolos"), /^ {2}labels +4: "tench", /m);
  const owl = /^ {2}head +a box a patch, compared with texts or an image by 16 features, with objectness$/m;
  assert.match(headOf("hf-owlv2"), owl);
});

test("zero-shot prints transformers' probabilities", () => {
  const folder = "tests/fixtures/checkpoints/hf-clip";
  const { labels, templates, probabilities } = JSON.parse(readFileSync(join(folder, "case.json"), "utf8")).zero_shot;
  const words = ["--labels", labels.join(","), "--template", templates[0], "--top", "2", "--json"];
  const { status, stdout } = run(["zero-shot", "--model", folder, IMAGE, ...words]);
  assert.equal(status, 0);
  const [{ top }] = jsonLines(stdout);
  assert.equal(top.length, 2);
  assert.ok(labels.includes(top[0].label) && top[0].probability >= top[1].probability);

  const list = (name: string, lines: readonly string[]) => `@${inScratch(name, `${lines.join("\r\n")}\n\n`)}`;
  const lists = ["--labels", list("labels.txt", labels), "--template", list("templates.txt", templates), "--json"];
  const kept = join(scratch, "texts");
  for (let i = 0; i < 2; i++) {
    const { stdout } = run(["zero-shot", "--model", folder, IMAGE, ...lists, "--text-cache", kept]);
    const [{ top }] = jsonLines(stdout);
    for (const { index, probability } of top) assert.ok(Math.abs(probability - probabilities[index]) < 2e-5);
  }
  assert.equal(readdirSync(kept).length, labels.length);
  assert.match(
    run(["zero-shot", "--model", folder, IMAGE, "--labels", list("none.txt", [])]).stderr,
    /none\.txt must be a list with a text a line; it has none\n$/,
  );
});

test("images are files, folders, patterns and lists, each in the order of its names", () => {
  const folder = join(scratch, "photos");
  mkdirSync(join(folder, "b", "c"), { recursive: true });
  const photo = readFileSync(IMAGE);
  for (const name of ["z.jpg", "a.JPG", "notes.txt", ".hidden.jpg", "b/one[1].jpg", "b/c/deep.jpg"]) {
    writeFileSync(join(folder, name), name.endsWith("txt") ? "no" : photo);
  }
  const list = inScratch("list.txt", `${folder}/z.jpg\r\n\n${folder}/b\n`);
  const imagesIn = (...words: string[]): [status: number | null, images: string[]] => {
    const { status, stdout } = onModel("classify", "--json", ...words);
    return [status, jsonLines(stdout).map(({ image, error }) => error ?? image.slice(folder.length + 1))];
  };
  const all = ["a.JPG", "b/c/deep.jpg", "b/one[1].jpg", "z.jpg"];
  assert.deepEqual(imagesIn(folder), [0, all]);
  assert.deepEqual(imagesIn(`${folder}/*.jpg`), [0, ["z.jpg"]]);
  assert.deepEqual(imagesIn(`${folder}/**/*.jpg`), [0, ["b/c/deep.jpg", "b/one[1].jpg", "z.jpg"]]);
  assert.deepEqual(imagesIn(`${folder}/[!z].???`), [0, ["a.JPG"]]);
  // A file of that name comes before a pattern.
  assert.deepEqual(imagesIn(`${folder}/b/one[1].jpg`), [0, ["b/one[1].jpg"]]);
  assert.deepEqual(imagesIn(`@${list}`), [0, ["z.jpg", "b/c/deep.jpg", "b/one[1].jpg"]]);
  const none = `images: ${JSON.stringify(`${folder}/*.gif`)} is a pattern that no file has`;
  assert.deepEqual(imagesIn(`${folder}/*.gif`, `${folder}/z.jpg`), [1, [none, "z.jpg"]]);
  const [, [missing]] = imagesIn("@absent.txt");
  assert.equal(missing, 'images: "@absent.txt" names a list that does not exist');
  const [, [itself]] = imagesIn(`@${inScratch("loop.txt", `@${join(scratch, "loop.txt")}`)}`);
  assert.match(itself!, /loop\.txt" is in 8 lists, one in the other$/);
});

const TEXT = inScratch("text.jpg", "not an image");

for (const [args, message] of [
  [["classify"], "classify takes at least one image; got none"],
  [["--json"], `a command must be given: ${Object.keys(COMMANDS).join(", ")}`],
  [["classify", "--frob", IMAGE], 'there is no option "--frob"; "vitrail --help" lists all'],
  [["classify", "--model", MODEL], "classify takes at least one image; got none"],
  [["inspect", "--model", MODEL, IMAGE], `inspect takes no images; got "${IMAGE}"`],
  [
    ["embed", "--model", MODEL, IMAGE],
    "embed needs --out FILE with .safetensors, .npy or .jsonl at its end, or --json to print the rows",
  ],
  [["embed", "--model", MODEL, "--out", "a.txt", IMAGE], '--out must end in .safetensors, .npy, .jsonl; got "a.txt"'],
  [
    ["embed", "--model", MODEL, "--out", "absent/a.npy", IMAGE],
    '--out must be in a folder that exists; got "absent/a.npy"',
  ],
  [
    ["embed", "--model", MODEL, "--json", "--pooling", "max", IMAGE],
    'embed: pooling must be one of head, token, mean, map, pooler, none, features; got "max"',
  ],
  [
    ["classify", "--model", MODEL, "--backend", "gpu", IMAGE],
    'load: backend must be auto, wasm, webgpu or reference; got "gpu"',
  ],
  [["classify", "--model", "absent", IMAGE], 'file: "absent" does not exist'],
  [
    ["inspect", "--model", TEXT],
    `checkpoint: "${TEXT}" must be a file of weights; it is text, as a server sends in place of a file`,
  ],
] as const) {
  test(`exit status 2 and one line: vitrail ${args.join(" ")}`, () => {
    assert.deepEqual(run(args), { status: 2, stdout: "", stderr: `vitrail: ${message}\n` });
  });
}

test("classify --json gives transformers' classes of an image, from the file and from standard input", () => {
  const fromFile = onModel("classify", IMAGE, "--json", "--top", "3");
  assert.deepEqual([fromFile.status, fromFile.stderr], [0, ""]);
  const [result, ...rest] = jsonLines(fromFile.stdout);
  assert.deepEqual(rest, []);
  assert.deepEqual(Object.keys(result), ["image", "top", "ms", "backend"]);
  assert.equal(result.image, IMAGE);
  assert.equal(result.backend, "wasm");
  assert.ok(result.ms > 0);
  assert.equal(result.top.length, 3);
  for (const [i, { label, index, probability }] of result.top.entries()) {
    assert.deepEqual([label, index], [best[i]!.label, best[i]!.index]);
    assert.ok(Math.abs(probability - best[i]!.probability) < 1e-5, `${probability}, not ${best[i]!.probability}`);
  }
  const piped = run(["classify", "--model", MODEL, "--json", "--top=3", "-"], readFileSync(IMAGE));
  assert.deepEqual(jsonLines(piped.stdout)[0].top, result.top);
});

test("classify for people: a bar, the label and the percentage of each class; the backend on the last line", () => {
  const { status, stdout, stderr } = onModel("classify", IMAGE, "--backend", "reference");
  assert.deepEqual([status, stderr], [0, ""]);
  const [name, ...rest] = stdout.trimEnd().split("\n");
  assert.equal(name, IMAGE);
  const columns = Math.max(...best.slice(0, 5).map(({ label }) => label.length));
  const expected = best.slice(0, 5).map(({ label, probability }) => {
    const percent = `${(100 * probability).toFixed(1)} %`.padStart(7);
    return `  ${bar(probability, 20)} ${label.padEnd(columns)} ${percent}`;
  });
  assert.deepEqual(rest.slice(0, -1), expected);
  assert.match(rest.at(-1)!, /^ {2}\d+\.\d ms, reference, f32, 1 thread$/);
});

const folder = mkdtempSync(join(scratch, "folder.jpg"));
const cut = inScratch("cut.jpg", readFileSync(IMAGE).subarray(0, 300));
const absent = join(scratch, "absent.jpg");
const BAD: readonly (readonly [image: string, message: RegExp])[] = [
  [absent, /^file: ".*absent\.jpg" does not exist$/],
  [folder, /^images: ".*folder\.jpg.*" is a folder without images$/],
  [TEXT, /^decode: ".*text\.jpg" is not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file$/],
  [cut, /^decode: ".*cut\.jpg" .*$/],
];

test("images that fail are named on standard error, one line each; the others are done; exit status 1", () => {
  const { status, stdout, stderr } = onModel("classify", ...BAD.map(([image]) => image), IMAGE);
  assert.equal(status, 1);
  assert.equal(stdout.split("\n")[0], IMAGE);
  const lines = stderr.trimEnd().split("\n");
  assert.equal(lines.length, BAD.length);
  for (const [i, [, message]] of BAD.entries()) assert.match(lines[i]!.replace(/^vitrail: /, ""), message);
});

test("with --json, images that fail are objects among the others and nothing is on standard error", () => {
  for (const command of ["classify", "embed"]) {
    const images = [IMAGE, ...BAD.map(([image]) => image), OTHER];
    const { status, stdout, stderr } = onModel(command, "--json", ...images);
    assert.deepEqual([status, stderr], [1, ""]);
    const results = jsonLines(stdout);
    assert.deepEqual(
      results.map(({ image }) => image),
      images,
    );
    for (const [i, [, message]] of BAD.entries()) {
      assert.deepEqual(Object.keys(results[i + 1]), ["image", "error"]);
      assert.match(results[i + 1].error, message);
    }
    assert.equal(results[0].error ?? results.at(-1).error, undefined);
  }
});

test("a checkpoint without a classifier is refused once", () => {
  const path = inScratch("headless.safetensors", headless());
  const message = "classify: the checkpoint must have a classifier; this one has none, and can embed";
  assert.deepEqual(run(["classify", "--model", path, IMAGE, OTHER]), {
    status: 2,
    stdout: "",
    stderr: `vitrail: ${message}\n`,
  });
});

/** A ViT of width 64 with one block in timm's names. */
function headless(): Uint8Array {
  const D = 64;
  const shapes: Record<string, number[]> = {
    cls_token: [1, 1, D],
    pos_embed: [1, 5, D],
    "patch_embed.proj.weight": [D, 3, 4, 4],
    "patch_embed.proj.bias": [D],
    "norm.weight": [D],
    "norm.bias": [D],
  };
  for (const norm of ["norm1", "norm2"]) {
    for (const part of ["weight", "bias"]) shapes[`blocks.0.${norm}.${part}`] = [D];
  }
  const layers: [string, number, number][] = [
    ["attn.qkv", 3 * D, D],
    ["attn.proj", D, D],
    ["mlp.fc1", 2 * D, D],
    ["mlp.fc2", D, 2 * D],
  ];
  for (const [layer, outputs, inputs] of layers) {
    shapes[`blocks.0.${layer}.weight`] = [outputs, inputs];
    shapes[`blocks.0.${layer}.bias`] = [outputs];
  }
  const value = (i: number) => Math.sin(i + 1) / 8;
  return encode(
    Object.entries(shapes).map(([name, shape]) => {
      const length = shape.reduce((product, n) => product * n, 1);
      return { name, shape, data: Float32Array.from({ length }, (_, i) => value(i)) };
    }),
  );
}

test("embed writes the library's rows in three formats, and prints them", async () => {
  using model = await load(MODEL);
  const images = [IMAGE, OTHER];
  const expected = Array.from(await model.embed(images));
  const D = model.config.width;
  const given = [IMAGE, absent, OTHER];

  const tensors = join(scratch, "rows.safetensors");
  const run1 = onModel("embed", ...given, "--out", tensors);
  assert.deepEqual([run1.status, run1.stdout], [1, ""]);
  assert.equal(run1.stderr, `vitrail: file: "${absent}" does not exist\n${tensors}: 2 × ${D}\n`);
  assert.deepEqual(readTensors(tensors).get("embeddings"), { dims: [2, D], data: Float32Array.from(expected) });
  const bytes = readFileSync(tensors);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString());
  assert.deepEqual(JSON.parse(header.__metadata__.images), images);

  const lines = join(scratch, "rows.jsonl");
  const run2 = onModel("embed", ...given, "--out", lines, "--json");
  assert.deepEqual([run2.status, run2.stderr], [1, `${lines}: 2 × ${D}\n`]);
  assert.deepEqual(
    jsonLines(run2.stdout).map(({ image, row, error }) => [image, row ?? error]),
    [
      [IMAGE, 0],
      [absent, `file: "${absent}" does not exist`],
      [OTHER, 1],
    ],
  );
  const rows = [0, 1].map((i) => ({ image: images[i], embedding: expected.slice(i * D, (i + 1) * D) }));
  assert.deepEqual(jsonLines(readFileSync(lines, "utf8")), rows);

  const array = join(scratch, "rows.npy");
  assert.deepEqual(onModel("embed", ...images, "--out", array, "--quiet"), { status: 0, stdout: "", stderr: "" });
  const npy = readFileSync(array);
  assert.equal(npy.subarray(0, 8).toString("latin1"), "\x93NUMPY\x01\x00");
  const start = 10 + npy.readUInt16LE(8);
  assert.equal(start % 64, 0);
  assert.match(
    npy.subarray(10, start).toString("latin1"),
    new RegExp(`^\\{'descr': '<f4', 'fortran_order': False, 'shape': \\(2, ${D}\\), \\} *\\n$`),
  );
  assert.deepEqual(Array.from(new Float32Array(new Uint8Array(npy.subarray(start)).buffer)), expected);

  const printed = onModel("embed", ...images, "--json");
  assert.deepEqual([printed.status, printed.stderr], [0, ""]);
  assert.deepEqual(
    jsonLines(printed.stdout).map(({ image, embedding }) => ({ image, embedding })),
    rows,
  );
});

test("embed passes --pooling and --normalize on, and writes nothing where no image is read", async () => {
  using model = await load(MODEL);
  const expected = await model.embed(IMAGE, { pooling: "mean", normalize: true });
  const { stdout } = onModel("embed", IMAGE, "--json", "--pooling", "mean", "--normalize");
  assert.deepEqual(jsonLines(stdout)[0].embedding, Array.from(expected));

  const none = join(scratch, "none.npy");
  assert.equal(onModel("embed", absent, "--out", none).status, 1);
  assert.equal(existsSync(none), false);
});

test("inspect tells what a checkpoint is, for people and as JSON", () => {
  const { status, stdout, stderr } = onModel("inspect");
  assert.deepEqual([status, stderr], [0, ""]);
  const rows = stdout
    .trimEnd()
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/)[0]);
  assert.deepEqual(rows, [
    "family",
    "images",
    "encoder",
    "head",
    "labels",
    "preprocessing",
    "parameters",
    "memory",
    "work",
  ]);
  const config = JSON.parse(readFileSync(join(MODEL, "config.json"), "utf8"));
  const [height, width] = config.image_size;
  assert.ok(
    stdout.startsWith(
      `${MODEL}\n  family         vit, by model_type in config.json; tensors named as in transformers\n`,
    ),
    stdout,
  );
  assert.ok(stdout.includes(`  images         ${height}×${width}, in `), stdout);
  assert.ok(stdout.includes(`"tench", "goldfish", "great white shark, man-eater", …\n`), stdout);

  const [json, ...rest] = jsonLines(onModel("inspect", "--json").stdout);
  assert.deepEqual(rest, []);
  assert.equal(json.model, MODEL);
  assert.equal(json.family, "vit");
  assert.equal(json.width, config.hidden_size);
  assert.equal(json.labels.length, 7);
  assert.equal(json.memory.weights, 4 * json.parameters);
});

test("inspect tells of the processor that is asked for", () => {
  const inspect = (...words: string[]) => run(["inspect", "--model", "tests/fixtures/checkpoints/hf-vit", ...words]);
  assert.match(
    inspect().stdout,
    / {2}preprocessing {2}resize to 12×16, bilinear; times 1\/255; mean 0.5, deviation 0.5\n/,
  );
  assert.match(
    inspect("--processor", "torchvision").stdout,
    / {2}preprocessing {2}resize to 12×16, bilinear of torchvision; mean 127.5, deviation 127.5\n/,
  );
  const { status, stderr } = inspect("--processor", "PIL");
  assert.equal(status, 2);
  assert.match(stderr, /preprocessing: processor must be pillow or torchvision; got "PIL"\n/);
});

test("inspect tells the format, the part of a training checkpoint and what its names begin with", () => {
  const inspect = (file: string, ...words: string[]) =>
    run(["inspect", "--model", `tests/fixtures/torch/${file}`, ...words]).stdout;
  assert.match(
    inspect("../checkpoints/hf-vit"),
    / {2}parameters {5}[\d,]+, stored as F32 in [\d.]+ KB of safetensors\n/,
  );
  assert.match(inspect("../checkpoints/npz-vit"), / of npz\n/);
  const training = inspect("training/checkpoint.pth.tar");
  assert.match(training, / of PyTorch, under "state_dict_ema"\n/);
  assert.match(training, / {2}prefix {9}"module\." before the names of its tensors\n/);
  assert.match(inspect("training/checkpoint.pth.tar", "--state", "state_dict"), / of PyTorch, under "state_dict"\n/);
  assert.match(
    inspect("lightning/last.ckpt"),
    /prefix {9}"model\." before the names of its tensors; 1 tensor without it is left out\n/,
  );
  const json = JSON.parse(inspect("training/checkpoint.pth.tar", "--json"));
  assert.deepEqual([json.format, json.state, json.prefix], ["PyTorch", "state_dict_ema", "module."]);
  const { status, stderr } = run([
    "inspect",
    "--model",
    "tests/fixtures/torch/training/checkpoint.pth.tar",
    "--state",
    "student",
  ]);
  assert.equal(status, 2);
  assert.match(stderr, /must hold tensors under the state "student"; its dicts are "state_dict", "state_dict_ema", /);
});

test("quantize takes a PyTorch file", () => {
  const out = join(scratch, "of-torch");
  const { status, stderr } = run(["quantize", "tests/fixtures/torch/training/checkpoint.pth.tar", "--out", out]);
  assert.equal(status, 0, stderr);
  assert.match(run(["inspect", "--model", out]).stdout, /family {9}vit/);
});

test("inspect tells of convolutions, texts, rotary positions and layer scale where there are any", () => {
  const rowsOf = (name: string) => run(["inspect", "--model", `tests/fixtures/checkpoints/${name}`]).stdout;
  assert.match(rowsOf("hf-clip"), /texts {10}depth 1, width 20, heads 2, 60 tokens of which a text has 12, causal\n/);
  assert.match(
    rowsOf("timm-bit"),
    /convolutions {3}ResNetV2 of 1 units, channels 32, 128, 32 groups, norm before conv/,
  );
  assert.match(rowsOf("timm-eva02"), /encoder .*, SwiGLU, rotary positions \(axial\)\n/);
  assert.match(rowsOf("hf-beit"), /encoder .*, relative positions, LayerScale\n/);
  assert.match(rowsOf("hf-dinov3"), /images .* and a class token, 1 more token; other sizes too\n/);
  assert.match(
    rowsOf("npz-vit"),
    /family {9}vit, by google-research's tensor names; tensors named as in google-research/,
  );
});

test("inspect tells what no file says, what was looked through, and keys that say nothing", () => {
  const inspect = (name: string, ...words: string[]) =>
    run(["inspect", "--model", `tests/fixtures/wild/${name}/model`, ...words]).stdout;
  const assumed = inspect("vit-without-preprocessor");
  assert.match(assumed, /\n {2}preprocessing .*; no file says so: ViTImageProcessor's defaults\n/);
  assert.match(inspect("prefix-compile"), /\n {2}prefix {9}"_orig_mod\.module\." before the names of its tensors\n/);
  const strays = ["license", "_num_labels", "auto_map", "my_note", "_attn_implementation_autoset"];
  const shown = strays.map((key) => JSON.stringify(key)).join(", ");
  assert.ok(inspect("strays").includes(`\n  strays         ${shown}: keys that its library does not know\n`));
  const [json] = jsonLines(inspect("strays", "--json"));
  assert.deepEqual([json.strays, json.prefix, json.assumed], [strays, "", undefined]);
  const tower = ["--prefix", "vision_tower.", "--ignore", "/^language/"];
  assert.match(inspect("tower-of-llava", ...tower), /clip_vision_model, by model_type/);
  assert.match(inspect("subfolder", "--subfolder", "parts/image_encoder"), /clip_vision_model, by model_type/);
});

test("inspect does not read the weights", () => {
  const nan = inScratch("nan.safetensors", headless().fill(0xff, -64));
  const { status, stdout } = run(["inspect", "--json", "--model", nan]);
  assert.equal(status, 0);
  assert.equal(JSON.parse(stdout).width, 64);
  const { stderr } = run(["embed", "--json", "--model", nan, IMAGE]);
  assert.match(stderr, /^vitrail: checkpoint: ".*" in ".*nan\.safetensors" must be finite; element \d+ is NaN\n$/);
});

test("bench --json has the keys of the interface", () => {
  const { status, stdout, stderr } = onModel("bench", "--json", "--seconds", "0.2", "--batch", "2", "--threads", "1");
  assert.deepEqual([status, stderr], [0, ""]);
  const [result, ...rest] = jsonLines(stdout);
  assert.deepEqual(rest, []);
  const { model, backend, precision, threads, wide, batch, ...numbers } = result;
  assert.deepEqual(
    { model, backend, precision, threads, wide, batch },
    { model: MODEL, backend: "wasm", precision: "f32", threads: 1, wide: isWideKnown(), batch: 2 },
  );
  const keys = ["medianMs", "minMs", "imagesPerSecond", "gflops", "loadMs", "firstMs", "peakRssMb", "wasmMb"];
  assert.deepEqual(Object.keys(numbers), keys);
  for (const key of keys) assert.ok(numbers[key] > 0, `${key} is ${numbers[key]}`);
  assert.ok(numbers.minMs <= numbers.medianMs);

  const text = onModel("bench", "--seconds", "0.1", "--threads", "1");
  assert.deepEqual([text.status, text.stderr], [0, ""]);
  assert.match(text.stdout, new RegExp(`^${MODEL}: wasm, f32, 1 thread, batch 1\n {2}[\\d.]+ ms median of \\d+ calls`));
});

/** Starts a long run and calls back at its first line. */
function long(atFirstLine: (child: ReturnType<typeof spawn>) => void) {
  const images = Array.from({ length: 3000 }, () => IMAGE);
  const child = spawn(process.execPath, [CLI, "classify", "--model", MODEL, "--json", ...images]);
  let stderr = "";
  let stdout = "";
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  child.stdout.on("data", (text) => {
    if (stdout === "") atFirstLine(child);
    stdout += text;
  });
  return new Promise<{ status: number | null; lines: number; stderr: string }>((resolve) =>
    child.on("close", (status) => resolve({ status, lines: stdout.split("\n").length - 1, stderr })),
  );
}

test("Ctrl-C ends the run with exit status 130 and nothing more to say", async () => {
  const { status, lines, stderr } = await long((child) => child.kill("SIGINT"));
  assert.deepEqual([status, stderr], [130, ""]);
  assert.ok(lines > 0 && lines < 3000, `${lines} lines`);
});

test("a reader that closes the pipe ends the run without a word", async () => {
  const { status, stderr } = await long((child) => child.stdout?.destroy());
  assert.deepEqual([status, stderr], [0, ""]);
});

/** Keeps what is written. */
function recorder(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, write: (text: string) => written.push(text), written };
}

test("the progress bar is drawn on a terminal only, erased before other lines, and silenced by --quiet", () => {
  for (const [isTTY, quiet] of [
    [true, false],
    [true, true],
    [false, false],
  ] as const) {
    const [out, err] = [recorder(isTTY), recorder(isTTY)];
    const terminal = createTerminal(out, err, { quiet });
    terminal.progress("loading weights", 1, 4);
    terminal.print("a result");
    terminal.fail(new Error("broken\nin two"));
    const drawn = isTTY && !quiet ? [`\rloading weights ${bar(0.25, 30)} 25 %\x1b[K`, "\r\x1b[K"] : [];
    assert.deepEqual(err.written, [...drawn, "vitrail: broken in two\n"]);
    assert.deepEqual(out.written, ["a result\n"]);
  }
});

test("dim lines are dim on a terminal without NO_COLOR, and control characters of labels never reach it", () => {
  const dimmed = (isTTY: boolean, noColor: string | undefined) => {
    const out = recorder(isTTY);
    createTerminal(out, recorder(isTTY), { env: { NO_COLOR: noColor } }).printDim("5 ms");
    return out.written.join("");
  };
  assert.equal(dimmed(true, undefined), "\x1b[2m5 ms\x1b[22m\n");
  assert.equal(dimmed(true, "1"), "5 ms\n");
  assert.equal(dimmed(false, undefined), "5 ms\n");

  const out = recorder(true);
  createTerminal(out, recorder(true)).print("one\x1b[2J\ntwo", "three");
  assert.deepEqual(out.written, ["one [2J two\nthree\n"]);
});

test("a bar is as long as its part, to an eighth of a column", () => {
  assert.equal(bar(0, 4), "    ");
  assert.equal(bar(1, 4), "████");
  assert.equal(bar(0.5, 4), "██  ");
  assert.equal(bar(17 / 32, 4), "██▏ ");
});

const REAL = "../shared/models/vit-tiny-patch16-224";
const PHOTOS = "../shared/images/imagenet";
const skip =
  existsSync(REAL) && existsSync(PHOTOS) ? false : `${REAL} and ${PHOTOS} are absent: not part of the package`;

test("real photos get the classes that timm gives them", { skip }, () => {
  const { files } = JSON.parse(readFileSync(join(REAL, "golden/logits.json"), "utf8")) as { files: string[] };
  const { data, dims } = readTensors(join(REAL, "golden/logits.safetensors")).get("logits")!;
  const chosen = [0, 50, 100, 199];
  const images = chosen.map((i) => join(PHOTOS, files[i]!));
  const { status, stdout } = run(["classify", "--model", join(REAL, "timm"), "--json", "--top", "1", ...images]);
  assert.equal(status, 0);
  const classes = dims[1]!;
  const expected = chosen.map((i) => {
    const logits = Array.from(data.subarray(i * classes, (i + 1) * classes));
    return logits.indexOf(Math.max(...logits));
  });
  assert.deepEqual(
    jsonLines(stdout).map(({ top }) => top[0].index),
    expected,
  );
});

test("inspect counts the parameters and the work of the real ViT-Ti/16", { skip }, () => {
  for (const layout of ["hf", "timm"]) {
    const [json] = jsonLines(run(["inspect", "--model", join(REAL, layout), "--json"]).stdout);
    // As google-research/vision_transformer counts them.
    assert.equal(json.parameters, 5_717_416);
    const multiplyAdds = 12 * (197 * 12 * 192 ** 2 + 2 * 197 ** 2 * 192) + 196 * 768 * 192 + 192 * 1000;
    assert.equal(json.gflop, (2 * multiplyAdds) / 1e9);
  }
});
