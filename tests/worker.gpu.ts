/** Every tenth case of the conformance file in a worker of a page: its thread is another, and its shaders those of the page. */
import { conformance } from "./page.gpu.js";

postMessage(await conformance(10));
