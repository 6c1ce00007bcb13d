/** Python, for tests that compare with its libraries: VITRAIL_PYTHON names one that has them. */
import { execFileSync } from "node:child_process";

export const python = process.env.VITRAIL_PYTHON;

/** Why tests that need it are skipped, or false. */
export const withoutPython =
  python === undefined && "VITRAIL_PYTHON names no Python with scikit-learn, pandas, pyarrow and duckdb";

export const runPython = (...args: string[]): string =>
  execFileSync(python!, args, { encoding: "utf8", maxBuffer: 2 ** 28 });
