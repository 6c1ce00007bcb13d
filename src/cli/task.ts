/** The commands that do a task on each image, and print each result as soon as it is known. */
import { TASKS, type TaskName } from "../tasks/index.js";
import { describeBackend, forEachImage, type Invocation, loadModel, since } from "./invocation.js";

export const taskCommand = (name: TaskName) => async (invocation: Invocation) => {
  const { args, terminal, signal } = invocation;
  const { json, lines } = TASKS[name].command!;
  using model = await loadModel(invocation);
  const options = { ...args.task, signal };
  const perform = model[name] as (images: unknown, options: object) => Promise<unknown>;
  // A checkpoint that cannot do it is refused here, once, not with every image.
  await perform([], options);

  await forEachImage(invocation, async (image, input) => {
    const start = performance.now();
    const result = await perform(input, options);
    const ms = since(start);
    if (args.json) {
      terminal.printJson({ image, ...json(result), ms, backend: model.backend.name });
    } else {
      terminal.print(image, ...lines(result));
      terminal.printDim(`  ${ms.toFixed(1)} ms, ${describeBackend(model.backend)}`);
    }
  });
};
