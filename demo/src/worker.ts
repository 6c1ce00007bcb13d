/**
 * The worker's entry, apart from all that it loads: WebKit evaluates an entry once more when a chunk of the bundle imports from it, and the
 * second one would know of no model.
 */
import { serve } from "./rpc.js";

serve(import("./model.js").then(({ functions }) => functions));
