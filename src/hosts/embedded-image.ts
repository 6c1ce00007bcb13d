import "./embedded.js";

export * from "../image/index.js";
