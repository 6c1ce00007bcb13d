/** `vitrail classify`: the best classes of each image, as soon as they are known. */
import type { Prediction } from "../index.js";
import { describeBackend, forEachImage, type Invocation, loadModel, since } from "./invocation.js";
import { bar } from "./terminal.js";

export async function classify(invocation: Invocation): Promise<void> {
  const { args, terminal, signal } = invocation;
  using model = await loadModel(invocation);
  const options = { topK: args.top, signal };
  // A checkpoint without a classifier is refused here, once, not with every image.
  await model.classify([], options);

  await forEachImage(invocation, async (image, input) => {
    const start = performance.now();
    const top = await model.classify(input, options);
    const ms = since(start);
    if (args.json) {
      const classes = top.map(({ label, index, probability }) => ({ label, index, probability }));
      terminal.printJson({ image, top: classes, ms, backend: model.backend.name });
    } else {
      terminal.print(image, ...lines(top));
      terminal.printDim(`  ${ms.toFixed(1)} ms, ${describeBackend(model.backend)}`);
    }
  });
}

/** Labels longer than this push their percentage to the right. */
const LABEL_COLUMNS = 44;

/** A bar, the label and the percentage of each class. */
function lines(top: readonly Prediction[]): string[] {
  const columns = Math.min(LABEL_COLUMNS, Math.max(...top.map(({ label }) => label.length)));
  return top.map(({ label, probability }) => {
    const percent = `${(100 * probability).toFixed(1)} %`.padStart(7);
    return `  ${bar(probability, 20)} ${label.padEnd(columns)} ${percent}`;
  });
}
