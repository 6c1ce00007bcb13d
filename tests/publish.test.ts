/** What other programs say of the package as it is packed: publint, Are the types wrong?, TypeDoc. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { absent, installed, toolNode } from "./installed.js";
import { createProject, packedFile, temporary } from "./project.js";

/** Runs one of them, which fails by its exit status. */
function tool(path: string, ...args: string[]): string {
  try {
    return execFileSync(toolNode, [installed(path)!, ...args], { encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return assert.fail(stdout + stderr);
  }
}

const publint = "publint/src/cli.js";
test("publint has nothing to say", { skip: absent("publint", installed(publint)) }, () => {
  const output = tool(publint, "run", join(createProject("publint"), "node_modules/vitrail"), "--strict");
  assert.match(output, /All good!/);
});

const attw = "@arethetypeswrong/cli/dist/index.js";
test("the types are right for every entry, as modules", { skip: absent("attw", installed(attw)) }, () => {
  // require() and Node 10's resolution are not served: the package is of modules only.
  const output = tool(attw, packedFile(), "--profile", "esm-only", "--format", "json");
  const { analysis, problems } = JSON.parse(output);
  assert.deepEqual(Object.keys(analysis.entrypoints).slice(0, 2), [".", "./image"]);
  const ignored = ["node10", "node16-cjs"];
  const found = Object.values(problems ?? {}).flat() as { kind: string; resolutionKind?: string }[];
  assert.deepEqual(
    found.filter(({ resolutionKind }) => !ignored.includes(resolutionKind ?? "")),
    [],
  );
});

test("the reference has every public entry", () => {
  const json = (file: string) => JSON.parse(readFileSync(file, "utf8"));
  const entries = Object.values<{ types?: string } | string>(json("package.json").exports)
    .map((entry) => (typeof entry === "string" ? undefined : entry.types))
    .filter((types) => types?.startsWith("./dist/src/"));
  assert.deepEqual(
    (json("typedoc.json").entryPoints as string[]).sort(),
    entries.map((types) => types!.replace("./dist/", "").replace(/\.d\.ts$/, ".ts")).sort(),
  );
});

const typedoc = "typedoc/bin/typedoc";
test("the reference is made of the docstrings, with its version", {
  skip: absent("TypeDoc", installed(typedoc)),
}, () => {
  const out = temporary("docs");
  tool(typedoc, "--out", out, "--logLevel", "Warn", "--treatWarningsAsErrors");
  for (const page of ["functions/index.load", "interfaces/index.Model", "functions/image.decode"]) {
    assert.ok(existsSync(join(out, `${page}.html`)), page);
  }
});
