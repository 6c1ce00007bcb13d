import "./bun.js";

export * from "../image/index.js";
