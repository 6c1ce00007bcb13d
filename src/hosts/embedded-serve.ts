import "./embedded.js";

export * from "../serve/index.js";
