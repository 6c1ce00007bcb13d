/** Photos of a folder for engines that take one after the other: the next ones are decoded while one is computed. */
import { joined } from "../work.js";

/** Decoded photos that wait, and one that is being decoded. */
const AHEAD = 2;

/** What `compute` makes of each file that `open` opens, one behind the other, in order. */
export async function rowsOf<Opened>(
  files: readonly string[],
  open: (file: string) => Promise<Opened>,
  compute: (opened: Opened) => Promise<Float32Array>,
): Promise<Float32Array> {
  const opened = files.slice(0, AHEAD).map(open);
  const rows: Float32Array[] = [];
  for (let i = 0; i < files.length; i++) {
    const one = await opened.shift()!;
    if (i + AHEAD < files.length) opened.push(open(files[i + AHEAD]!));
    rows.push(await compute(one));
  }
  return joined(rows);
}
