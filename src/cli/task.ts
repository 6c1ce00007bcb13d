/** The commands that do a task on each image, and print each result as soon as it is known. */
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { openImage } from "../image/source.js";
import { isFile } from "../platform/files.js";
import { nameOf } from "../platform/web.js";
import { TASKS, type TaskName } from "../tasks/index.js";
import { describeBackend, forEachImage, type Invocation, loadModel, since } from "./invocation.js";

export const taskCommand = (name: TaskName) => async (invocation: Invocation) => {
  const { args, terminal, signal } = invocation;
  const { images = [], command } = TASKS[name];
  const { json, lines, pictures } = command!;
  using model = await loadModel(invocation);
  const options = { ...(await withFiles(args.task, images)), signal };
  const perform = (input: unknown) =>
    (model[name] as (images: unknown, ...rest: unknown[]) => Promise<unknown>)(input, ...args.taskArguments, options);
  // A checkpoint that cannot do it is refused here, once, not with every image.
  await perform([]);
  const { out } = args;
  if (out !== undefined) mkdirSync(out, { recursive: true });
  const taken = new Set<string>();

  await forEachImage(invocation, async (image, input) => {
    const start = performance.now();
    const result = await perform(input);
    const ms = since(start);
    const files: string[] = [];
    if (out !== undefined && pictures) {
      const drawn = await pictures(result, () => openImage(input, { signal }), model);
      const stem = stemOf(image, taken);
      for (const [kind, bytes] of Object.entries(drawn)) {
        const file = join(out, `${stem}.${kind}.png`);
        writeFileSync(file, bytes);
        files.push(file);
      }
    }
    if (args.json) {
      const written = files.length > 0 ? { files } : {};
      terminal.printJson({ image, ...json(result), ...written, ms, backend: model.backend.name });
    } else {
      terminal.print(image, ...lines(result), ...files.map((file) => `  ${file}`));
      terminal.printDim(`  ${ms.toFixed(1)} ms, ${describeBackend(model.backend)}`);
    }
  });
};

/** Options whose images are files, read: what is made of them is kept from one image to the next. */
async function withFiles(options: Readonly<Record<string, unknown>>, images: readonly string[]): Promise<object> {
  const read = images.flatMap((name) => {
    const path = options[name];
    if (typeof path !== "string" || !isFile(path)) return [];
    // What cannot be read is opened by the task, whose message says why.
    return [
      readFile(path).then(
        (bytes) => [[name, new File([bytes], basename(path))]],
        () => [],
      ),
    ];
  });
  return { ...options, ...Object.fromEntries((await Promise.all(read)).flat()) };
}

/** The name of an image's pictures: its own without the ending, and a number where another image has it already. */
function stemOf(image: string, taken: Set<string>): string {
  const name = basename(image === "-" ? "stdin" : nameOf(image).split(/[?#]/)[0]!);
  const own = name.slice(0, name.length - extname(name).length) || "image";
  let stem = own;
  for (let i = 2; taken.has(stem); i++) stem = `${own}-${i}`;
  taken.add(stem);
  return stem;
}
