// Reads off the kernels' sources what the host must know of them, so that it is written once. An op is an exported function
// that takes a job, `attention(job: AttentionJob)`: a class of named fields, which the host writes into memory and gives the
// address of. Writes the exports of all ops (assembly/ops.gen.ts) and, for the host, the types of all exports and what
// writes jobs (src/backends/wasm/jobs.gen.ts), where TypeScript finds a field that is missing or misspelt.
//
// Fields lie as the compiler places those of unmanaged classes: behind those of the class that is extended, at multiples of
// their size. A class that extends a job has what its kernel keeps in it while it works; it counts for the room of jobs only.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** Types of arguments and results in the host; of fields also the array that they are written through, and their bytes. */
const TYPES = {
  usize: { host: "number", array: "u32", bytes: 4 },
  u32: { host: "number", array: "u32", bytes: 4 },
  f32: { host: "number", array: "f32", bytes: 4 },
  bool: { host: "boolean", array: "u8", bytes: 1 },
  i32: { host: "number" },
  void: { host: "void" },
};

const COMMENT = String.raw`(?:(?<comment>\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n))?(?:\/\/ @ts-ignore: decorator\n@inline\n)?`;
const HEAD = String.raw`@unmanaged\n(?:export )?class (?<name>\w+)(?: extends (?<base>\w+))? \{\n`;
const CLASS = new RegExp(String.raw`${COMMENT}${HEAD}(?<body>[\s\S]*?)^\}`, "gm");
const FUNCTION = new RegExp(
  String.raw`${COMMENT}export function (?<name>\w+)\((?<args>[^)]*)\): (?<result>\w+) \{`,
  "g",
);

const pairsOf = (text) => [...text.matchAll(/(?<name>\w+): (?<type>\w+)/g)].map(({ groups }) => groups);

/** The classes of a file by name, with their fields and where the last ends. */
function classesOf(source) {
  const classes = {};
  for (const { groups } of source.matchAll(CLASS)) {
    const { name, base, body, comment = "" } = groups;
    const fields = [...(classes[base]?.fields ?? [])];
    let end = classes[base]?.end ?? 0;
    let about = "";
    for (const [line] of body.matchAll(/\/\*\*[\s\S]*?\*\/|\S.*/g)) {
      if (line.startsWith("/**")) {
        about = `  ${line}\n`;
        continue;
      }
      const pairs = pairsOf(line);
      const isFields = pairs.map(({ name, type }) => `${name}: ${type};`).join(" ") === line;
      if (!isFields || pairs.some(({ type }) => !TYPES[type]?.bytes)) {
        throw new Error(`jobs: a line of ${name} must be fields, as x: usize; of usize, u32, f32 or bool; got ${line}`);
      }
      for (const { name, type } of pairs) {
        const { array, bytes } = TYPES[type];
        const index = Math.ceil(end / bytes);
        fields.push({ name, type, array, index, about });
        end = (index + 1) * bytes;
      }
      about = "";
    }
    classes[name] = { comment, fields, end };
  }
  return classes;
}

const functionsOf = (source) =>
  [...source.matchAll(FUNCTION)].map(({ groups }) => ({ ...groups, args: pairsOf(groups.args) }));

/** The ops of each file, their jobs, and what it exports for them: also functions that say how much scratch memory they need. */
function readOps(folder) {
  const names = readdirSync(folder).filter((name) => /^\w+\.ts$/.test(name));
  return names.sort().flatMap((file) => {
    const source = readFileSync(`${folder}/${file}`, "utf8");
    const functions = functionsOf(source);
    const isOp = ({ args }) => args.length === 1 && args[0].type.endsWith("Job");
    const isScratch = ({ name }) => functions.some((f) => isOp(f) && name === `${f.name}Scratch`);
    if (!functions.some(isOp)) return [];
    const classes = classesOf(source);
    const ops = functions.filter(isOp).map(({ name, args: [{ type }] }) => ({ name, type, job: classes[type] }));
    const room = Math.max(...Object.values(classes).map(({ end }) => end));
    return { module: file.slice(0, -3), ops, exported: functions.filter((f) => isOp(f) || isScratch(f)), room };
  });
}

/** The functions that an index exports by name, and its own. */
function readOthers(folder, index) {
  const listed = [...index.matchAll(/export \{([^}]+)\} from "\.\/(\w+)"/g)].flatMap(([, names, module]) => {
    const functions = functionsOf(readFileSync(`${folder}/${module}.ts`, "utf8"));
    return functions.filter(({ name }) => names.match(/\w+/g).includes(name));
  });
  return [...listed, ...functionsOf(index)];
}

const signature = ({ name, args, result, comment = "" }) => {
  const list = args.map(({ name, type }) => `${name}: ${TYPES[type]?.host ?? type}`).join(", ");
  return `${comment.replace(/^(?=.)/gm, "  ")}  ${name}(${list}): ${TYPES[result].host};`;
};

const jobType = ({ type, job }) =>
  `${job.comment}export interface ${type} {
${job.fields.map(({ name, type, about }) => `${about}  readonly ${name}: ${TYPES[type].host};`).join("\n")}
}
`;

function writer({ name, type, job: { fields } }) {
  const arrays = [...new Set(fields.map(({ array }) => array))].sort();
  const lines = fields.map(({ name, type, array, index }) => {
    return `    ${array}[${index}] = job.${name}${type === "bool" ? " ? 1 : 0" : ""};`;
  });
  return `  ${name}({ ${arrays.join(", ")} }: JobMemory, job: ${type}): void {\n${lines.join("\n")}\n  },`;
}

/** Exports for assembly/index.ts; the compiler compares where the fields end. */
const exportsOf = ({ module, ops, exported }) =>
  `import { ${ops.map(({ type }) => type).join(", ")} } from "./${module}";
export { ${exported.map(({ name }) => name).join(", ")} } from "./${module}";
${ops.map(({ type, job }) => `if (offsetof<${type}>() != ${job.end}) ERROR("jobs: the compiler lays ${type} out otherwise");`).join("\n")}
`;

/** Writes ops.gen.ts in `folder`, and the host's module. */
export function writeJobs(folder, host) {
  const files = readOps(folder);
  const ops = files.flatMap(({ ops }) => ops);
  const functions = [
    ...files.flatMap(({ exported }) => exported),
    ...readOthers(folder, readFileSync(`${folder}/index.ts`, "utf8")),
  ];
  writeFileSync(`${folder}/ops.gen.ts`, `// Written by assembly/jobs.js.\n${files.map(exportsOf).join("\n")}`);
  writeFileSync(
    host,
    `// Written by assembly/jobs.js.

${ops.map(jobType).join("\n")}
/** The exports of assembly/index.ts. Addresses and strides in bytes, sizes in elements. */
export interface Kernels {
${functions.map(signature).join("\n")}
}

/** Memory for a job. */
export interface JobMemory {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
}

/** Its bytes: room for any job. */
export const JOB_BYTES = ${Math.ceil(Math.max(...files.map(({ room }) => room)) / 64) * 64};

/** Functions that write a job, by op. */
export const writers = {
${ops.map(writer).join("\n")}
};
`,
  );
}
