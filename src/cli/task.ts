/** The commands that do a task on each image, and print each result as soon as it is known. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { isFile } from "../platform/files.js";
import { TASKS, type TaskName } from "../tasks/index.js";
import { describeBackend, forEachImage, type Invocation, loadModel, since } from "./invocation.js";

export const taskCommand = (name: TaskName) => async (invocation: Invocation) => {
  const { args, terminal, signal } = invocation;
  const { images = [], command } = TASKS[name];
  const { json, lines } = command!;
  using model = await loadModel(invocation);
  const options = { ...(await withFiles(args.task, images)), signal };
  const perform = (input: unknown) =>
    (model[name] as (images: unknown, ...rest: unknown[]) => Promise<unknown>)(input, ...args.taskArguments, options);
  // A checkpoint that cannot do it is refused here, once, not with every image.
  await perform([]);

  await forEachImage(invocation, async (image, input) => {
    const start = performance.now();
    const result = await perform(input);
    const ms = since(start);
    if (args.json) {
      terminal.printJson({ image, ...json(result), ms, backend: model.backend.name });
    } else {
      terminal.print(image, ...lines(result));
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
