/** Results of a list of images, some of which may be bad. */

/**
 * The error of a call on several images of which some failed: `errors` has each image's error, in order, and `results`
 * what came of the others, undefined where an image failed.
 */
export interface BatchError<Result> extends AggregateError {
  readonly results: readonly (Result | undefined)[];
}

/**
 * Collects what `compute` makes of the pixels of all images, begun one after the other; an error, when all are through, if any failed.
 * @param atOnce how many may be under way: two for a GPU, which then has work while results are on their way.
 * @param check throws when nobody wants them any more.
 * @throws BatchError
 */
export async function collect<Pixels, Result>(
  name: string,
  images: AsyncIterable<Pixels | Error>,
  compute: (pixels: Pixels, place: number) => Promise<Result>,
  atOnce: () => number,
  check: () => void,
): Promise<Result[]> {
  const results: (Result | undefined)[] = [];
  const failed: Error[] = [];
  async function take(place: number, pixels: Pixels | Error): Promise<void> {
    try {
      if (pixels instanceof Error) throw pixels;
      results[place] = await compute(pixels, place);
    } catch (error) {
      check();
      failed[place] = error as Error;
    }
  }
  const begun: Promise<void>[] = [];
  for await (const pixels of images) {
    const taken = take(results.push(undefined) - 1, pixels);
    taken.catch(() => {});
    begun.push(taken);
    while (begun.length >= atOnce()) await begun.shift();
  }
  await Promise.all(begun);
  const errors = Object.values(failed);
  if (errors.length === 0) return results as Result[];
  const message = `${name}: ${errors.length} of ${results.length} images failed; ${errors[0]!.message}`;
  throw Object.assign(new AggregateError(errors, message), { results }) satisfies BatchError<Result>;
}
