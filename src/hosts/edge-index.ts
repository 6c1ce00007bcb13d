import "./edge.js";

export * from "../index.js";
