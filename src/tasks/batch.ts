/** Results of a list of images, some of which may be bad. */

/**
 * The error of a call on several images of which some failed: `errors` has each image's error, in order, and `results`
 * what came of the others, undefined where an image failed.
 */
export interface BatchError<Result> extends AggregateError {
  readonly results: readonly (Result | undefined)[];
}

/**
 * Collects what `compute` makes of the pixels of all images, one after the other; an error, when all are through, if any failed. A
 * second is begun before the first is there: a GPU then has work while its results are on their way.
 * @param check throws when nobody wants them any more.
 * @throws BatchError
 */
export async function collect<Pixels, Result>(
  name: string,
  images: AsyncIterable<Pixels | Error>,
  compute: (pixels: Pixels) => Promise<Result>,
  check: () => void,
): Promise<Result[]> {
  const results: (Result | undefined)[] = [];
  const failed: Error[] = [];
  async function take(place: number, pixels: Pixels | Error): Promise<void> {
    try {
      if (pixels instanceof Error) throw pixels;
      results[place] = await compute(pixels);
    } catch (error) {
      check();
      failed[place] = error as Error;
    }
  }
  let before: Promise<void> | undefined;
  for await (const pixels of images) {
    const taken = take(results.push(undefined) - 1, pixels);
    taken.catch(() => {});
    await before;
    before = taken;
  }
  await before;
  const errors = Object.values(failed);
  if (errors.length === 0) return results as Result[];
  const message = `${name}: ${errors.length} of ${results.length} images failed; ${errors[0]!.message}`;
  throw Object.assign(new AggregateError(errors, message), { results }) satisfies BatchError<Result>;
}
