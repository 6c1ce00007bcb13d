import "./bun.js";

export * from "../index.js";
