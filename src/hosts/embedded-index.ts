import "./embedded.js";

export * from "../index.js";
