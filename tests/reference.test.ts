import { createReferenceBackend } from "../src/backends/reference.js";
import { runBackendCases } from "./backend.cases.js";

// Compared with itself: what is tested here are the cases that state their result, and errors.
runBackendCases({ create: async () => createReferenceBackend(), tolerance: 0 });
