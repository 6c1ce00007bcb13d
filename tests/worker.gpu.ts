/** The conformance file in a worker of a page. */
import { conformance } from "./page.gpu.js";

postMessage(await conformance());
