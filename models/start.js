// npm start: the command line; without arguments, the sample photos through the default model.
import { readdirSync } from "node:fs";

if (process.argv.length === 2) {
  const samples = readdirSync("models/samples").filter((name) => name.endsWith(".jpg"));
  process.argv.push("classify", "--top", "3", ...samples.map((name) => `models/samples/${name}`));
  process.once("exit", () => {
    console.log(
      "\nNext: npm start -- classify your.jpg --model google/vit-base-patch16-224, or another ViT of Hugging Face.",
    );
  });
}
await import("../dist/src/cli.js");
