import "./edge.js";

export * from "../image/index.js";
