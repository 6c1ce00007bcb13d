import "./edge.js";

export * from "../serve/index.js";
