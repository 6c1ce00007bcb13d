/** A program of tests/torch.test.ts: reads files of weights, and prints how much each made the process grow at the most. */
import { readCheckpoint } from "./tensors.js";

export interface Outcome {
  /** Bytes beyond the most that the process had before. */
  readonly grown: number;
}

const most = () => 1024 * process.resourceUsage().maxRSS;

const [, , ...paths] = process.argv;
for (const path of paths) {
  const before = most();
  await readCheckpoint(path).catch(() => undefined);
  console.log(JSON.stringify({ grown: most() - before } satisfies Outcome));
}
